"""Turns a finished temporary file into the file of that name, whole or not at all."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bark.errors import BarkError, StorageError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an
    error.

    A crash or an exception leaves the earlier file as it was. The temporary name keeps the suffix,
    since writers such as soundfile and numpy choose the format by it."""
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, BarkError):  # the writer's own complaint
            raise
        raise StorageError(
            f"cannot write {path}",
            error.strerror or error,
            fix="Choose a folder you may write to with space left",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    atomic_write_bytes(path, text.encode("utf-8"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def replace_all(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Give finished files, in the folder of their names or below, their names, in this order."""
    for source, final in pairs:
        try:
            source.chmod(0o666 & ~_umask())
            os.replace(source, final)
        except OSError as error:
            raise StorageError(f"cannot write {final}", error.strerror or error) from error
