"""Have files decoded by a worker process, so that a file which breaks a decoder costs one error.

The worker is started when first needed, kept for the next file, replaced when it dies, takes too
long or has read many files, and ended with this process. A second one runs only while two
recordings are read at the same time.
"""

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from bark.errors import AudioError

from . import protocol
from .decoders import Probe

TIMEOUT = 30.0  # seconds for one answer: a probe, or a block of some seconds of sound
MOST_FILES = 200  # for one worker, should a library leak


def probe(path: Path) -> Probe:
    """Look into a file, as `decoders.probe` does here."""
    with _worker() as worker:
        answer, _ = worker.ask(protocol.Look(os.fsencode(path.absolute())))
    if not isinstance(answer, protocol.Found):
        raise _confused()
    return Probe(*msgspec.structs.astuple(answer))


def sample_blocks(
    path: Path, demuxer: str | None, sample_rate: int, first: int
) -> Iterator[np.ndarray]:
    """Yield blocks of a file, as `decoders.sample_blocks` does here."""
    request: msgspec.Struct = protocol.Decode(
        os.fsencode(path.absolute()), demuxer, sample_rate, first
    )
    with _worker() as worker:
        try:
            while True:
                answer, samples = worker.ask(request)
                if not isinstance(answer, protocol.Block) or len(samples) % (
                    4 * answer.channels or 1
                ):
                    raise _confused()
                if not answer.channels:
                    return
                block = np.frombuffer(samples, dtype=np.float32).reshape(-1, answer.channels)
                yield block.copy()  # a view of bytes cannot be written to
                request = protocol.Next()
        except GeneratorExit:  # the caller has what it wants; Windows deletes no open file
            if worker.usable and not sys.is_finalizing():
                with suppress(AudioError):
                    worker.ask(protocol.Close())
            raise


class Worker:
    """A process that decodes one file at a time."""

    def __init__(self) -> None:
        self.files = 0
        self.asking = False  # an answer is owed, so the next one would be the wrong one
        self.late = False
        paths = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
        settings = {"PYTHONPATH": os.pathsep.join(paths)}
        settings |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bark.audio.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # decoders write notes there
                env=os.environ | settings,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise AudioError(
                "needs a process of its own to be decoded in, which cannot be started",
                error.strerror or error,
            ) from error
        self.end = weakref.finalize(self, _end, self.process, os.getpid())

    @property
    def usable(self) -> bool:
        return not self.asking and self.files < MOST_FILES and self.process.poll() is None

    def ask(self, request: msgspec.Struct) -> tuple[msgspec.Struct, bytes]:
        """Send a request and return the answer; a fault of the file or of its decoder is raised."""
        self.asking = True
        timer = threading.Timer(TIMEOUT, self._stop)
        timer.daemon = True
        timer.start()
        try:
            protocol.send(self.process.stdin, request)  # type: ignore[arg-type]
            message, samples = protocol.receive(self.process.stdout)  # type: ignore[arg-type]
        except OSError:  # the pipe is broken
            message, samples = b"", b""
        finally:
            timer.cancel()
        if not message:
            raise self._death()
        try:
            answer = protocol.ANSWERS.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _confused() from error
        self.asking = False
        if isinstance(answer, protocol.Refused):
            raise protocol.as_error(answer)
        return answer, samples

    def _stop(self) -> None:
        self.late = True
        self.process.kill()

    def _death(self) -> AudioError:
        self.process.kill()
        code = self.process.wait()
        if self.late:
            return AudioError("takes too long to decode", f"more than {TIMEOUT:g} s")
        try:
            reason = signal.Signals(-code).name
        except ValueError:
            reason = f"exit code {code}"
        return AudioError("makes its decoder fail", reason, fix="Export it as wav")


class Pool:
    """The idle worker, if there is one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[Worker] = []

    def take(self) -> Worker:
        with self.lock:
            worker = self.idle.pop() if self.idle else None
        if worker is not None and not worker.usable:
            worker.end()
            worker = None
        worker = worker or Worker()
        worker.files += 1
        return worker

    def give_back(self, worker: Worker) -> None:
        with self.lock:
            if worker.usable and not self.idle:
                self.idle.append(worker)
                return
        worker.end()


@lru_cache(maxsize=1)
def _pool(process: int) -> Pool:
    """Return the pool of this process: after a fork, the parent's worker is not to be spoken to."""
    return Pool()


@contextmanager
def _worker() -> Iterator[Worker]:
    pool = _pool(os.getpid())
    worker = pool.take()
    try:
        yield worker
    finally:
        pool.give_back(worker)


def _end(process: "subprocess.Popen[bytes]", parent: int) -> None:
    if os.getpid() != parent:
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not flushed goes to nobody
                pipe.close()


def _confused() -> AudioError:
    return AudioError("makes its decoder fail", "a wrong answer", fix="Export it as wav")
