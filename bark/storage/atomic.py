"""Files and folders that appear whole under their name, or not at all.

They are made in ``.bark-tmp-USER`` beside their place, which goes when it is empty. What a killed
process leaves in it is removed by the next write to the same folder, once it is a day old."""

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bark.errors import StorageError, TakenError

from .files import storing
from .locks import lock

A_DAY = 86_400  # seconds
_LOCK = ".lock"  # in a workshop that is in use


@contextmanager
def atomic_write(path: str | Path, *, exclusive: bool = False) -> Iterator[Path]:
    """Yield a temporary path; it becomes `path` when the block ends without an error.

    A crash or an exception leaves the earlier file as it was. The temporary name keeps the suffix,
    since writers such as soundfile and numpy choose the format by it.

    Parameters
    ----------
    exclusive : never replace a file, but raise `TakenError`, also where several processes write to
        one name at once.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    path = Path(path)
    with storing(path), _place(path.parent) as place:
        temporary = _made(place, path.suffix, file=True)
        ordinary = temporary.stat().st_mode
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(ordinary)  # some writers replace the file by one that only we may read
            if exclusive:
                link_new(temporary, path)
            else:
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    atomic_write_bytes(path, text.encode("utf-8"))


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, out of which finished files can be linked or renamed to `folder`.

    Raises
    ------
    StorageError
        If `folder`, or what the block writes, cannot be written.
    """
    with storing(f"to {folder}"), _place(folder) as place:
        shop = _made(place, "", file=False)
        try:
            with lock(shop / _LOCK):
                yield shop
        finally:
            shutil.rmtree(shop, ignore_errors=True)


def link_new(source: Path, final: Path) -> None:
    """Give a finished file its name, or raise `TakenError`; never replaces anything."""
    try:
        try:
            os.link(source, final)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: reserve the name, then fill it
            os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.replace(source, final)
    except FileExistsError as error:
        raise TakenError(f"{final} exists already", fix="Choose another name") from error


def replace_all(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Give finished files of a workshop their names, in this order; earlier files are replaced."""
    for source, final in pairs:
        with storing(final):
            os.replace(source, final)


@contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """Yield the folder for temporary files inside `folder`, swept; it goes when it is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f".bark-tmp-{getattr(os, 'getuid', lambda: 0)()}"
    _ensure(place)
    _sweep(place)
    try:
        yield place
    finally:
        with suppress(OSError):  # others write here, too
            place.rmdir()


def _ensure(place: Path) -> None:
    with suppress(FileExistsError):
        place.mkdir(0o700)
    if place.is_symlink():
        raise StorageError(f"{place} is a link", fix="Remove it")


def _made(place: Path, suffix: str, *, file: bool) -> Path:
    """Make an empty file or folder of a new name, with ordinary permissions."""
    for attempt in range(100):
        new = place / f"{secrets.token_hex(8)}{suffix}"
        try:
            if file:
                os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            else:
                new.mkdir()
            return new
        except FileNotFoundError:  # another process has just found it empty, and removed it
            if attempt == 99:
                raise
            _ensure(place)
    raise AssertionError  # pragma: no cover - the last attempt returns or raises


def _sweep(place: Path) -> None:
    """Remove what was left here more than a day ago and nobody works on."""
    oldest = time.time() - A_DAY
    entries: list[os.DirEntry[str]] = []
    with suppress(OSError):
        entries = list(os.scandir(place))
    for entry in entries:
        with suppress(OSError):  # gone by now, or not ours to remove: the others are swept
            _sweep_one(entry, oldest)


def _sweep_one(entry: os.DirEntry[str], oldest: float) -> None:
    stat = entry.stat(follow_symlinks=False)
    if max(stat.st_mtime, stat.st_ctime) > oldest:
        return
    if not entry.is_dir(follow_symlinks=False):
        os.unlink(entry)
        return
    with lock(Path(entry) / _LOCK) as free:
        if free:
            shutil.rmtree(entry, ignore_errors=True)
