"""Locks that keep two processes off one file or folder; the system undoes them when one dies."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .files import storing

_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}  # some file systems


@contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Hold a lock file while the block runs; yield False where another process holds it.

    The file holds one line about its owner and goes with the lock. A link is never followed, and
    nothing is written before the lock is held.

    Raises
    ------
    StorageError
        If the lock file cannot be made.
    """
    from filelock import FileLock, Timeout

    # an iterator may be advanced by several threads, so the lock belongs to none of them
    held = FileLock(path, timeout=0, thread_local=False, on_acquired=_sign)
    mine = True
    with storing(path):
        try:
            held.acquire()
        except Timeout:
            mine = False
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
    try:
        yield mine
    finally:
        if held.is_locked:
            with suppress(OSError):  # Windows removes no open file
                path.unlink()
            held.release()


def owner(path: Path) -> str:
    """Return the line in a lock file that says who holds it."""
    with suppress(OSError), path.open("rb") as file:  # Windows reads no locked file
        if line := file.read(200).decode("utf-8", "replace").strip():
            return line
    return "no name in its lock"


def _sign(descriptor: int) -> None:
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    line = f"process {os.getpid()} on {socket.gethostname()} since {started}\n"
    os.ftruncate(descriptor, 0)
    os.write(descriptor, line.encode("utf-8", "replace"))
