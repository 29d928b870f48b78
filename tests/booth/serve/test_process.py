"""`bark serve` as a process: it says where it listens, and ends cleanly when it is told to."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from booth.cli.main import main
from tests.conftest import ROOT


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Kill the process after the block: `Popen` waits for it, for ever after a failure."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_is_spoken_is_finished_when_the_process_is_told_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bark", "serve", "--model", "nano", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BARK_VOICES": str(tmp_path)}
    with (
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        ended(process),
    ):
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"nano speaks on (http://127.0.0.1:\d+)/\n", line)
        assert found, line + process.stderr.read()
        asked = {"input": "[voice:alba] Yes. [voice:bruno] No.", "response_format": "flac"}
        with httpx.Client(base_url=found[1], timeout=60) as client:
            assert client.get("/ready").json()["status"] == "ready"
            with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
                process.send_signal(signal.SIGTERM)
                assert answer.read().startswith(b"fLaC")
        assert process.wait(30) == 0
        assert process.stderr.read() == "loading nano\n"


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["serve", "--model", "nano", "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1, port {port}: got Address already in use" in error
    assert error.count("\n") == 1
