"""What is finished of a command that takes hours, so that it can be given again after a kill.

A run keeps ``.bark-ID.run`` in the output folder: its seed, then a line for each finished take;
and, for texts of several parts, ``.bark-ID-N.journal`` with the parts of take N
(`bark.longform.journal`). ID is a hash of all that the command asks for, so the same command finds
its files and goes on. A run that ends removes them; while it lasts, ``.bark-ID.run.lock`` keeps
other processes away."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec

from bark.errors import BarkError
from bark.stages.seeds import new_seed
from bark.storage.files import storing
from bark.storage.json import Count, FileName, decode, encode, read_as
from bark.storage.locks import lock

MOST_BYTES = 16 << 20


class _Head(msgspec.Struct):
    """The first line of a run's file."""

    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Finished(msgspec.Struct):
    """The line of a finished take."""

    take: Count  # from 0
    name: FileName  # of its record


class _Saved(msgspec.Struct):
    """What is read of a take's record to find it again."""

    run: str | None = None
    seed: int | None = None
    audio: FileName | None = None


@dataclass
class Run:
    """What is finished of a command; `open_run` makes one."""

    path: Path
    name: str
    seed: int
    done: dict[int, str] = field(
        default_factory=dict
    )  # number of the take, from 0 → its record's name
    file: IO[bytes] | None = None
    resumed: bool = False  # an earlier process began it

    def journal(self, number: int) -> Path:
        """Return the journal of one take's parts."""
        return self.path.with_name(f"{self.path.stem}-{number + 1}.journal")

    def has(self, number: int, seed: int | None = None) -> bool:
        """Tell whether a take was finished before, and is still there.

        Its `seed` finds one, too, whose process was killed between saving it and noting so.
        """
        if number not in self.done and self.resumed and seed is not None:
            if (found := self._saved(seed)) is not None:
                self.finish(number, found)
        return number in self.done and self.path.with_name(self.done[number]).exists()

    def _saved(self, seed: int) -> str | None:
        for path in sorted(self.path.parent.glob("*.json")):
            if path.name in self.done.values():
                continue
            with suppress(BarkError):  # somebody else's JSON
                record = read_as(path, _Saved)
                mine = record.run == self.name and record.seed == seed
                if mine and record.audio and path.with_name(record.audio).is_file():
                    return path.name
        return None

    def finish(self, number: int, name: str) -> None:
        """Note that a take is on disk."""
        self.done[number] = name
        self._append({"take": number, "name": name})

    def _append(self, line: Mapping[str, Any]) -> None:
        if self.file is None:
            return
        with storing(self.path):
            self.file.write(f"{encode(line)}\n".encode())
            self.file.flush()
            os.fsync(self.file.fileno())

    def _read(self, data: bytes) -> None:
        head, *lines = data[: data.rfind(b"\n") + 1].splitlines() or [b""]  # the last may be torn
        seed = decode(head, _Head, self.path).seed
        done = [decode(line, _Finished, self.path) for line in lines]
        self.seed, self.resumed = seed, True
        self.done = {finished.take: finished.name for finished in done}


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
        yield Run(folder / f".bark-{name}.run", name, new_seed(seed))
        return
    with ExitStack() as stack:
        path = _own(folder, name, stack)
        with storing(path):
            file = stack.enter_context(path.open("ab+"))
        file.seek(0)
        run = Run(path, name, new_seed(seed), file=file)
        try:
            run._read(file.read(MOST_BYTES))
        except BarkError:  # new, or torn in its first line
            file.truncate(0)
            run._append({"seed": run.seed})
        yield run
        file.close()
        for left in [path, *path.parent.glob(f"{path.stem}-*.journal*")]:  # of takes that are saved
            left.unlink(missing_ok=True)


def _own(folder: Path, name: str, stack: ExitStack) -> Path:
    """Lock the first run of this name that no other process works on; return its file."""
    with storing(f"to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = folder / f".bark-{name}{'' if number == 1 else f'_{number}'}.run"
        if stack.enter_context(lock(path.with_name(f"{path.name}.lock"))):
            return path
    raise AssertionError  # pragma: no cover - count() never ends
