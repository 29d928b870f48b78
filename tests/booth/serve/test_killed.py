"""A server that is killed in the middle of a long job, and its successor."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
import httpx

from tests.conftest import ROOT

LONG = "/v1/audio/speech/long"
ASKED = {
    "input": "ANA: one.\nBEN: two.\n" * 3,
    "voices": {"ANA": "alba", "BEN": "bruno"},
    "seed": 11,
}
START = 120  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """``bark serve`` as people start it; killed at the end if it is still there."""
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "bark", "serve", "--model", "nano", "--port", str(port),
            "--voices", str(folder / "voices"), "--jobs", str(folder / "jobs"),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            end = time.monotonic() + START
            while True:
                try:
                    client.get("/ready").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None and time.monotonic() < end
                    time.sleep(0.1)
            yield process, client
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def until(client: httpx.Client, job: str, parts: int) -> int:
    """Wait for so many parts; return how many there are."""
    end = time.monotonic() + 300
    while (done := client.get(f"{LONG}/{job}").json()["parts_done"]) < parts:
        assert time.monotonic() < end
        time.sleep(0.02)
    return done


@pytest.mark.slow
def test_after_kill_9_and_a_restart_a_job_goes_on_byte_for_byte(tmp_path: Path) -> None:
    with server(tmp_path) as (process, client):
        job = client.post(LONG, json=ASKED).json()
        total = job["parts_total"]
        assert total == 6
        done = until(client, job["id"], 1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert done < total
    with server(tmp_path) as (process, client):
        until(client, job["id"], total)
        other = client.post(LONG, json=ASKED).json()
        until(client, other["id"], total)
        for kind in ("wav", "mp3"):
            first, second = (
                client.get(f"{LONG}/{name}/audio", params={"format": kind}).content
                for name in (job["id"], other["id"])
            )
            assert first == second and len(first) > 10_000
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    journals = [
        (tmp_path / "jobs" / name / "parts.journal").read_bytes().split(b"\n", 1)[1]
        for name in (job["id"], other["id"])
    ]
    assert journals[0] == journals[1]
