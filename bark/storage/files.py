"""Paths as people type them, files as they are found, and what a disk may answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bark.errors import BarkError, CheckpointError, MissingFileError, StorageError


def expand(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~name`` replaced by that user's home folder.

    Raises
    ------
    MissingFileError
        If this computer knows no such user, or no home folder for this one.
    """
    try:
        if "\0" in str(path):
            raise MissingFileError("a path cannot hold a zero byte", path)
        return Path(path).expanduser()
    except RuntimeError:
        raise MissingFileError(
            f"{Path(path).parts[0]} stands for a home folder that is not known here",
            fix="Write the whole path, or set HOME",
        ) from None


def read_bounded(path: Path, most: int, error: type[BarkError]) -> bytes:
    """Return the bytes of a regular file of at most `most` bytes; a pipe or device is never opened.

    `error` is the class for what cannot be used; an absent file is a `MissingFileError`.
    """
    try:
        if not path.exists():
            raise MissingFileError(f"no file {path}")
        if not path.is_file():
            raise error(f"{path} is not a regular file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as fault:
        if isinstance(fault, BarkError):
            raise
        raise error(f"{path} cannot be read", fault.strerror) from fault
    if len(data) > most:
        raise error(
            f"{path} is too large", f"{path.stat().st_size:,} bytes", f"up to {most:,} bytes"
        )
    return data


def check_file(path: Path) -> None:
    """Refuse what is absent, empty or a web page before a decoder sees it."""
    if not path.is_file():
        raise MissingFileError(f"no file {path}")
    with path.open("rb") as file:
        check_start(path, file.read(64))


def check_start(path: Path, start: bytes) -> None:
    """Refuse a file that begins with nothing, or as a web page does."""
    start = start[:64].lstrip().lower()
    if not start:
        raise CheckpointError(f"{path} is empty", fix="Delete it and fetch it again")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path} is a web page, not weights", fix="Delete it and fetch it again"
        )
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the weights", fix="Run `git lfs pull` in its folder"
        )


@contextmanager
def storing(what: object) -> Iterator[None]:
    """Make a `StorageError`, "cannot write `what`", of what the system refuses inside the block.

    Our own errors pass, and so does a broken pipe, which is nothing that was to be stored.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, (BarkError, BrokenPipeError)):
            raise
        raise StorageError(
            f"cannot write {what}",
            error.strerror or error,
            fix="Choose a folder you may write to with space left",
        ) from error
