"""Turns a command that takes hours into one that can be given again after a kill: what is finished
stays so.

A run keeps ``.bark-ID.run`` in the output folder: its seed, then a line for each finished take;
and, for texts of several parts, ``.bark-ID-N.journal`` with the parts of take N
(`bark.longform.journal`). ID is a hash of all that the command asks for, so the same command finds
its files and goes on. A run that ends removes them."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

from bark.errors import StorageError
from bark.stages.seeds import new_seed


@dataclass
class Run:
    """What is finished of a command; `open_run` makes one."""

    path: Path
    seed: int
    done: dict[int, str] = field(
        default_factory=dict
    )  # number of the take, from 0 → its record's name
    file: IO[bytes] | None = None
    resumed: bool = False  # an earlier process began it

    def journal(self, number: int) -> Path:
        """Return the journal of one take's parts."""
        return self.path.with_name(f"{self.path.stem}-{number + 1}.journal")

    def has(self, number: int) -> bool:
        """Tell whether a take was finished before, and is still there."""
        return number in self.done and self.path.with_name(self.done[number]).exists()

    def finish(self, number: int, name: str) -> None:
        """Note that a take is on disk."""
        self.done[number] = name
        self._append({"take": number, "name": name})

    def _append(self, line: Mapping[str, Any]) -> None:
        if self.file is None:
            return
        try:
            self.file.write(json.dumps(line).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise StorageError(f"cannot write {self.path}", error.strerror) from error

    def _read(self, data: bytes) -> None:
        lines = [
            json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()
        ]  # the last may be torn
        self.seed = int(lines[0]["seed"])
        self.resumed = True
        self.done = {int(line["take"]): str(line["name"]) for line in lines[1:]}


def identity(asked: Mapping[str, Any]) -> str:
    """Return 12 letters that stand for all that a command asks for."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:12]


@contextmanager
def open_run(folder: Path, name: str, seed: int | None, *, kept: bool = True) -> Iterator[Run]:
    """Yield the run of this name in `folder`: the one that was killed, or a new one.

    While one process works on a run, another with the same command gets a run of its own. The run's
    file goes when the block ends well.

    Parameters
    ----------
    seed : None draws one, which a later process on this run takes over.
    kept : False keeps nothing, for work of a moment.
    """
    if not kept:
        yield Run(folder / f".bark-{name}.run", new_seed(seed))
        return
    file, path = _own(folder, name)
    with file:
        run = Run(path, new_seed(seed), file=file)
        data = file.read()
        try:
            run._read(data)
        except (ValueError, KeyError, TypeError, IndexError):  # new, or torn in its first line
            file.seek(0)
            file.truncate()
            run._append({"seed": run.seed})
        yield run
        file.truncate(0)
        with suppress(PermissionError):  # Windows removes no open file; an empty one is a new run
            path.unlink(missing_ok=True)


def _own(folder: Path, name: str) -> tuple[IO[bytes], Path]:
    """Open and lock the first file of this name that no other process works on."""
    for number in count(1):
        path = folder / f".bark-{name}{'' if number == 1 else f'_{number}'}.run"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("ab+")
        except OSError as error:
            raise StorageError(
                f"cannot write to {folder}",
                error.strerror,
                fix="Choose a folder with room you may write to",
            ) from error
        if _locked(file) and _same(file, path):
            file.seek(0)
            return file, path
        file.close()
    raise AssertionError  # pragma: no cover - count() never ends


def _same(file: IO[bytes], path: Path) -> bool:
    """Tell whether the open file still has its name: its owner may have ended between opening and
    locking.
    """
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _locked(file: IO[bytes]) -> bool:
    """Lock a file for this process, which a kill undoes; False if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
