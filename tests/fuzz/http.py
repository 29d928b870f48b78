"""Hostile requests to a running server: ``python -m tests.fuzz http SEED MINUTES``.

Shapes, sizes, encodings, slow bodies, aborted uploads, path tricks in names: whatever comes, the
answer is one of ours, no 500, within bounds of time, and no file appears outside the folders of
voices and jobs. The same seed gives the same requests.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import uvicorn

from bark.pipeline import Bark
from booth.serve.app import create_app
from booth.serve.config import ServeSettings
from booth.serve.engine import Engine
from tests.fuzz import Outcome
from tests.fuzz.requests import MARK, Sent, request_of

SIDE_BY_SIDE = 8  # connections
MOST_SECONDS = 300.0  # for an answer, on a machine that does other things as well
MOST_GROWTH, MOST_FILES = 400 << 20, 16  # bytes of memory; file descriptors that may stay open
MOST_ANSWER = 4 << 20  # bytes that are read of one


def campaign(seed: int, seconds: float, requests: int | None = None) -> Outcome:
    """Send requests for so long, or so many, and return what came of them."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), outcome) as port:
        asyncio.run(_storm(port, seed, seconds, requests, outcome))
        outcome.faults += [f"outside: {path}" for path in strays(Path(folder))]
    return outcome


@contextlib.contextmanager
def served(root: Path, outcome: Outcome) -> Iterator[int]:
    """Run a server in a thread, all its folders below `root`; yield its port."""
    home = root / "a" / "b" / "c"  # so that ../../.. stays below the root
    for place in ("voices", "jobs", "here", "temporary"):
        (home / place).mkdir(parents=True)
    bark = Bark.from_pretrained("nano")
    bark.defaults = replace(bark.defaults, max_duration_s=0.2)
    settings = ServeSettings(
        "nano", port=0, voices=home / "voices", jobs=home / "jobs", text_letters=1_000,
        long_letters=2_000, upload_bytes=1 << 20, body_seconds=1.0,
    )  # fmt: skip
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings, Engine(bark)), port=0, log_config=None)
    )
    seen = _Errors(outcome)
    logging.getLogger().addHandler(seen)
    before = tempfile.tempdir
    tempfile.tempdir = str(home / "temporary")
    thread = threading.Thread(target=server.run, daemon=True)
    try:
        with contextlib.chdir(home / "here"):
            thread.start()
            while not server.started:
                time.sleep(0.02)
            yield int(server.servers[0].sockets[0].getsockname()[1])
            server.should_exit = True
            thread.join(60)
            if thread.is_alive():
                outcome.faults.append("the server does not stop")
    finally:
        tempfile.tempdir = before
        logging.getLogger().removeHandler(seen)


class _Errors(logging.Handler):
    """Takes what the server logs as an error for a fault."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(logging.ERROR)
        self.outcome = outcome

    def emit(self, record: logging.LogRecord) -> None:
        told = record.getMessage().splitlines()[0][:200]
        cause = record.exc_info[1] if record.exc_info else None
        self.outcome.faults.append(f"logged: {told}: {cause!r}"[:400])


def strays(root: Path) -> list[str]:
    """Return what lies where no file belongs."""
    home = root / "a" / "b" / "c"
    found = [path for path in root.rglob("*") if not path.is_dir()]
    inside = [home / "voices", home / "jobs"]
    stray = [path for path in found if not any(path.is_relative_to(place) for place in inside)]
    kept = {".npz"}, {".json", ".audio"}  # voices, and recordings of consent
    odd = [
        path
        for path in inside[0].rglob("*")
        if path.is_file() and path.suffix not in kept[path.parent.name == "consents"]
    ]
    marked = [path for path in Path(tempfile.gettempdir()).glob(f"*{MARK}*")]
    return [str(path) for path in [*stray, *odd, *marked]]


async def _storm(
    port: int, seed: int, seconds: float, requests: int | None, outcome: Outcome
) -> None:
    begun, numbers = time.monotonic(), iter(range(1 << 30))

    async def send_some() -> None:
        for number in numbers:
            if time.monotonic() - begun > seconds or (requests and number >= requests):
                return
            await _one(port, request_of(random.Random(f"{seed}/{number}")), number, outcome)

    warm = request_of(random.Random("warm"))
    await _one(port, warm, -1, outcome)  # what is imported late is no growth
    before = _memory(), _descriptors()
    await asyncio.gather(*(send_some() for _ in range(SIDE_BY_SIDE)))
    outcome.seconds = time.monotonic() - begun
    await _settled(port, before[1], outcome)
    outcome.growth = _memory() - before[0]
    if outcome.growth > MOST_GROWTH:
        outcome.faults.append(f"memory grew by {outcome.growth >> 20} MB")


async def _settled(port: int, files: int, outcome: Outcome) -> None:
    """See that the server is well, and that it gives all its file descriptors back."""
    end = time.monotonic() + MOST_SECONDS
    while _descriptors() > files + MOST_FILES and time.monotonic() < end:
        await asyncio.sleep(0.2)
    if (left := _descriptors() - files) > MOST_FILES:
        outcome.faults.append(f"{left} file descriptors are left open")
    body = json.dumps({"input": "one", "voice": "alba", "response_format": "pcm"}).encode()
    plain = Sent("well", b"POST", b"/v1/audio/speech", body, b"application/json")
    for _ in range(100):
        if (await _one(port, plain, -1, outcome)).startswith("200"):
            return
        await asyncio.sleep(0.2)
    outcome.faults.append("a plain request is not answered any more")


async def _one(port: int, sent: Sent, number: int, outcome: Outcome) -> str:
    """Send one request, and judge what comes back; return its status."""
    begun = time.monotonic()
    try:
        answer = await asyncio.wait_for(_exchange(port, sent), MOST_SECONDS)
    except TimeoutError:
        answer = b""
        outcome.faults.append(f"{number} {sent}: no answer in {MOST_SECONDS:.0f} s")
    except OSError:  # it closes the connection while we still write
        answer = b""
    outcome.inputs += number >= 0
    outcome.slowest = max(outcome.slowest, time.monotonic() - begun)
    status = answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1.") else "none"
    outcome.kinds[f"{sent.kind}: {status}"] += 1
    if fault := _fault(sent, status, answer):
        outcome.faults.append(f"{number} {sent}: {fault}")
    return status


def _fault(sent: Sent, status: str, answer: bytes) -> str | None:
    """Return what is wrong with an answer."""
    if status == "none":
        return None if sent.broken or sent.leaves is not None else "no answer"
    if status >= "500" and status != "503":
        return answer[:300].decode("utf-8", "replace")
    if b"Traceback" in answer or b'File "' in answer:
        return "a traceback"
    head, _, body = answer.partition(b"\r\n\r\n")
    if sent.leaves is not None or sent.method == b"HEAD":
        return None  # the body is not whole, or there is none
    if status >= "400" and b"application/json" in head:
        try:
            told = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            return f"no error of ours: {body[:200]!r}"
        if set(told) != {"message", "type", "param", "code"} or "\n" in told["message"]:
            return f"no error of ours: {told}"
    elif status >= "400" and not sent.broken:
        return f"an error that is no JSON: {answer[:200]!r}"
    return None


async def _exchange(port: int, sent: Sent) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in sent.pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
                continue
            writer.write(piece)
            with contextlib.suppress(ConnectionError):  # an early refusal is read below
                await writer.drain()
        if sent.leaves is not None:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(reader.read(1 << 16), sent.leaves)
            return b""
        return await _whole(reader)
    finally:
        writer.transport.abort()


async def _whole(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    with contextlib.suppress(ConnectionError):
        while len(answer) < MOST_ANSWER and (data := await reader.read(1 << 16)):
            answer += data
    return bytes(answer)


def _memory() -> int:
    """Return the bytes that this process holds, on Linux."""
    status = Path("/proc/self/statm")
    pages = int(status.read_text().split()[1]) if status.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") if pages else 0


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
