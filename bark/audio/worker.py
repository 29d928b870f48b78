"""Decode files in a process of its own, ``python -m bark.audio.worker``: a broken decoder ends it
alone.

It imports neither torch nor anything above `bark.audio`, answers one request at a time, and ends
with its parent, whose end closes the pipe.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from bark.errors import AudioError

from . import decoders, protocol

MEMORY = 512 << 20  # bytes of data
SECONDS = 60  # of computing for one answer; the parent waits less


def main() -> int:
    """Answer requests from standard input until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    _limit_memory()
    blocks: Iterator[np.ndarray] = iter(())
    while (message := protocol.receive(source)[0]) != b"":
        request = protocol.REQUESTS.decode(message)
        _limit_time()
        try:
            if isinstance(request, protocol.Look):
                with Path(os.fsdecode(request.path)).open("rb") as file:
                    found = decoders.probe(file)
                protocol.send(answers, protocol.Found(*found))
                continue
            if isinstance(request, protocol.Decode):
                path = Path(os.fsdecode(request.path))
                blocks = decoders.sample_blocks(
                    path, request.demuxer, request.sample_rate, request.first
                )
            elif isinstance(request, protocol.Close):
                blocks = iter(())
            block = next(blocks, None)
        except AudioError as error:
            got, allowed = (None if it is None else str(it) for it in (error.got, error.allowed))
            protocol.send(answers, protocol.Refused(error.what, got, allowed, error.fix))
            continue
        except OSError as error:
            reason = error.strerror or str(error)
            protocol.send(answers, protocol.Refused("cannot be read", reason, None, None))
            continue
        if block is None:
            protocol.send(answers, protocol.Block(0))
            continue
        samples = np.ascontiguousarray(block, dtype=np.float32)
        protocol.send(answers, protocol.Block(samples.shape[1]), samples.tobytes())
    return 0


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_CORE, 0)):
        _set_limit(what, most)


def _limit_time() -> None:
    """Let the system end this process should it hang after its parent was killed."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + SECONDS)


def _set_limit(what: int, most: int) -> None:
    import resource

    hard = resource.getrlimit(what)[1]
    with suppress(ValueError, OSError):  # a system that has this limit in name only
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, hard))


if __name__ == "__main__":
    sys.exit(main())
