"""Long jobs on disk: a folder for each, in which several processes may look and one works.

::

    JOBS/<id>/job.json            what is to be spoken; never changes
    JOBS/<id>/voice-0.npz ...     the voices, copied: the library may change meanwhile
    JOBS/<id>/parts.journal       the tokens of each finished part: `bark.longform.journal`
    JOBS/<id>/paused, deleted     empty files: what somebody asked for
    JOBS/<id>/redo-3-1-77         part 3 is wanted again, as its take 1, with seed 77
    JOBS/<id>/failed.json         why it does not go on
    JOBS/<id>/pace.json           how far the part at work is
    JOBS/.locks/<id>.lock         held by the process that works on it

What a job's state is follows from these files alone, so a killed process leaves nothing to mend.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from bark.errors import BarkError, MissingFileError, SettingError, StorageError
from bark.longform.journal import Journal, Record
from bark.stages.seeds import check_seed, part_seed
from bark.storage.atomic import atomic_write_text, workshop
from bark.storage.files import storing
from bark.storage.json import read_as
from bark.storage.locks import lock
from bark.tokens import TokenLayout
from bark.voice.voice import Voice

from .record import Failure, JobRecord, Pace

MOST_JOBS = 1_000  # kept at a time, finished ones too
MOST_REDOS = 1_000  # of one part
MOST_RECORD = 64 << 20  # bytes
SEEN = 16  # records and journals that are kept in memory

Note = TypeVar("Note")
_ID = re.compile(r"[0-9a-f]{32}")
_REDO = re.compile(r"redo-(\d{1,6})-(\d{1,4})-(\d{1,19})")


class Wanted(NamedTuple):
    """A take of a part that is asked for."""

    number: int  # of the part, from 1
    take: int  # 0, and one more each time it is to be drawn anew
    seed: int


@dataclass(frozen=True)
class JobStore:
    """The folder of long jobs."""

    folder: Path
    _records: dict[str, JobRecord] = field(default_factory=dict, repr=False, compare=False)
    _journals: dict[str, tuple[tuple[int, int], dict[int, Record]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    # ---- all of them -----------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """Return the jobs, the oldest first; one that is being deleted is not among them."""
        try:
            names = sorted(path.name for path in self.folder.iterdir() if _ID.fullmatch(path.name))
        except OSError:
            return []
        return [name for name in names if not self.is_deleted(name)]

    def doomed(self) -> list[str]:
        """Return the jobs that somebody asked to delete while a process worked on them."""
        return [path.parent.name for path in self.folder.glob("*/deleted")]

    def create(self, record: JobRecord, voices: Sequence[Voice]) -> str:
        """Keep a new job, whole or not at all, and return its id; `voices` as in the record."""
        if len(self.ids()) >= MOST_JOBS:
            raise StorageError(
                "no more jobs can be kept", f"{MOST_JOBS} jobs", fix="Delete some that are done"
            )
        # the time first, so that names sort by age
        name = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
        with workshop(self.folder) as shop:
            made = shop / name
            made.mkdir()
            for number, voice in enumerate(voices):
                voice.save(made / f"voice-{number}.npz", strict=False)
            (made / "job.json").write_bytes(msgspec.json.encode(record))
            with storing(f"to {self.folder}"):
                made.rename(self.folder / name)
        return name

    # ---- one of them -----------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        """Return the folder of a job; whatever is no id of one is a `MissingFileError`."""
        if not _ID.fullmatch(name) or not self._has(name) or self.is_deleted(name):
            raise MissingFileError("there is no job", ascii(name[:80]))
        return self.folder / name

    def _has(self, name: str) -> bool:
        return (self.folder / name / "job.json").is_file()

    def is_deleted(self, name: str) -> bool:
        """Tell whether somebody asked to delete it."""
        return (self.folder / name / "deleted").exists()

    def is_paused(self, name: str) -> bool:
        """Tell whether it is to rest."""
        return (self.folder / name / "paused").exists()

    def is_held(self, name: str) -> bool:
        """Tell whether a process works on it, or was killed doing so and has no successor yet."""
        return self._lock(name).exists()

    def record(self, name: str) -> JobRecord:
        """Return what it is to speak."""
        path = self.path(name) / "job.json"
        if (record := self._records.get(name)) is None:
            record = read_as(path, JobRecord, BarkError, MOST_RECORD)
            _keep(self._records, name, record)
        return record

    def voices(self, name: str, layout: TokenLayout) -> dict[str | None, Voice]:
        """Return the voice of each speaker, as it was when the job was made."""
        found = {}
        for number, noted in enumerate(self.record(name).voices):
            path = self.path(name) / f"voice-{number}.npz"
            voice = Voice.load(path, layout)
            if voice.digest != noted.sha256:
                raise StorageError(f"{path.name} of the job was changed", voice.digest[:12])
            found[noted.speaker] = voice
        return found

    def journal(self, name: str) -> Journal:
        """Return the journal of its parts, to be read or, while it is held, added to."""
        return Journal(self.path(name) / "parts.journal")

    def parts(self, name: str) -> Mapping[int, Record]:
        """Return what is finished, by the number of the part; read again only when it has grown."""
        path = self.path(name) / "parts.journal"
        try:
            stat = path.stat()
        except OSError:  # nothing is finished
            return {}
        key = (stat.st_mtime_ns, stat.st_size)
        seen = self._journals.get(name)
        if seen is None or seen[0] != key:
            seen = (key, Journal(path).parts)
            _keep(self._journals, name, seen)
        return seen[1]

    def failure(self, name: str) -> Failure | None:
        """Return why it does not go on."""
        return self._note(name, "failed.json", Failure)

    def pace(self, name: str) -> Pace | None:
        """Return how far the part at work is."""
        return self._note(name, "pace.json", Pace)

    def _note(self, name: str, file: str, kind: type[Note]) -> Note | None:
        try:
            return msgspec.json.decode((self.folder / name / file).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):  # not there, or of another version
            return None

    def waiting(self, name: str, record: JobRecord, done: Mapping[int, Record]) -> list[Wanted]:
        """Return the takes that are still to be spoken, in the order of the parts."""
        wanted = {
            number: Wanted(number, 0, part_seed(record.seed, number))
            for number in range(1, len(record.parts) + 1)
        }
        for redo in self._redos(name):
            if redo.number in wanted and redo > wanted[redo.number]:
                wanted[redo.number] = redo
        return [
            want
            for number, want in wanted.items()
            if number not in done or done[number].take < want.take
        ]

    def _redos(self, name: str) -> Iterator[Wanted]:
        with suppress(OSError):  # deleted meanwhile
            for path in (self.folder / name).iterdir():
                if found := _REDO.fullmatch(path.name):
                    yield Wanted(*map(int, found.groups()))

    # ---- what people ask for ---------------------------------------------------------------------

    def pause(self, name: str) -> None:
        """Let it rest, also in the middle of a part, which is then spoken from its beginning."""
        self._mark(name, "paused")

    def resume(self, name: str) -> None:
        """Let it go on, also after a failure."""
        for marker in ("paused", "failed.json"):
            (self.path(name) / marker).unlink(missing_ok=True)

    def redo(self, name: str, number: int, seed: int | None = None) -> int:
        """Ask for another take of a part, and return its seed: the one given, or a new one."""
        record, path = self.record(name), self.path(name)
        if not 1 <= number <= len(record.parts):
            raise SettingError("part", number, f"1 to {len(record.parts)}")
        done = self.parts(name).get(number)
        takes = [redo.take for redo in self._redos(name) if redo.number == number]
        take = max([*takes, 0 if done is None else done.take]) + 1
        if take > MOST_REDOS:
            raise SettingError(f"takes of part {number}", take, f"up to {MOST_REDOS}")
        seed = part_seed(record.seed, number, take) if seed is None else check_seed(seed)
        self._mark(name, f"redo-{number}-{take}-{seed}")
        (path / "failed.json").unlink(missing_ok=True)
        return seed

    def delete(self, name: str) -> None:
        """Remove it; while a process works on it, that one does so when it notices."""
        self._mark(name, "deleted")
        self.sweep(name)

    def _mark(self, name: str, marker: str) -> None:
        with storing(f"the job {name}"), suppress(FileExistsError):
            (self.path(name) / marker).touch()

    # ---- what the process that works on it does --------------------------------------------------

    @contextmanager
    def held(self, name: str) -> Iterator[bool]:
        """Keep other processes from working on it; yield False if one does so already."""
        path = self._lock(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path) as mine:
            yield mine

    def _lock(self, name: str) -> Path:
        return self.folder / ".locks" / f"{name}.lock"

    def sweep(self, name: str) -> None:
        """Remove a deleted job, unless a process still works on it."""
        with self.held(name) as mine:
            if mine:
                shutil.rmtree(self.folder / name, ignore_errors=True)
                self._records.pop(name, None)
                self._journals.pop(name, None)

    def tell(self, name: str, pace: Pace | None) -> None:
        """Say how far the part at work is; None: nobody works on it."""
        path = self.folder / name / "pace.json"
        if pace is None:
            path.unlink(missing_ok=True)
        else:
            atomic_write_text(path, msgspec.json.encode(pace).decode())

    def fail(self, name: str, failure: Failure) -> None:
        """Say why it does not go on."""
        path = self.folder / name / "failed.json"
        atomic_write_text(path, msgspec.json.encode(failure).decode())

    def signature(self, name: str) -> tuple[int, ...]:
        """Return times in nanoseconds that change with whatever is done to a job."""
        path, times = self.folder / name, []
        for each in (path, path / "parts.journal"):
            with suppress(OSError):
                times.append(os.stat(each).st_mtime_ns)
        return tuple(times)


def _keep(kept: dict[str, Note], name: str, value: Note) -> None:
    """Keep what was read in memory, in place of what was read first."""
    while len(kept) >= SEEN:
        with suppress(KeyError, StopIteration, RuntimeError):  # other threads do so, too
            kept.pop(next(iter(kept)))
    kept[name] = value
