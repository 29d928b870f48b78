"""The finished parts of a long job, in a file of lines that outlives a kill."""

import base64
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np

from bark.errors import SettingError, StorageError
from bark.speech import Part
from bark.storage.files import storing
from bark.storage.json import Count, decode, encode
from bark.storage.locks import lock, owner
from bark.voice.voice import Voice

FORMAT = 1
MOST_LINE = 16 << 20  # bytes of one part
MOST_NUMBERS = 1 << 20  # tokens in one array of a part

Packed = tuple[list[Count], str]  # shape, base64 of the compressed numbers
T = TypeVar("T")


class _Head(msgspec.Struct):
    """The first line."""

    journal: int
    job: dict[str, Any]


class Record(msgspec.Struct):
    """The line of a finished part."""

    part: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]  # number
    take: Annotated[int, msgspec.Meta(ge=0, le=1_000)]  # 0, and one more each time it is drawn anew
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    semantic: Packed
    coarse: Packed
    fine: Packed
    score: float | None = None  # what a judge gave it
    heard: dict[str, float] | None = None  # how it sounds, where it was measured
    spoken: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1  # times, of which the best was kept


class Journal:
    """An append-only file of JSON lines: the job first, then each finished part with its tokens.

    A line is on the disk before the next part begins. The last line of a killed run may be torn; it
    is cut off, and that part is made again."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.job: dict[str, Any] | None = None  # None: a new journal
        self.parts: dict[int, Record] = {}  # number → its newest record
        self._held = ExitStack()
        self._read()

    def begin(self, job: Mapping[str, Any]) -> None:
        """Write the job into a new journal, or check that an old one belongs to the same job.

        From here to `close`, or as long as this object lives, no other process can begin.

        Raises
        ------
        StorageError
            If another process is speaking it.
        """
        try:
            self._hold()
            self._begin(job)
        except BaseException:
            self.close()
            raise

    def _begin(self, job: Mapping[str, Any]) -> None:
        if self.job is None:
            self._append({"journal": FORMAT, "job": dict(job)})
            self.job = dict(job)
            return
        for key in [*job, *self.job]:
            if self.job.get(key) != job.get(key):
                raise SettingError(
                    f"{self.path} belongs to another job: its {key} differs",
                    encode(job.get(key)),
                    encode(self.job.get(key)),
                    "Repeat the command that began it, or name another journal",
                )

    def _hold(self) -> None:
        file = self.path.with_name(f"{self.path.name}.lock")
        with storing(f"the journal {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            mine = self._held.enter_context(lock(file))
        if not mine:
            raise StorageError(
                f"another process is speaking this: {self.path}",
                owner(file),
                fix="Wait for it to end, or name another journal",
            )
        whole = self._read()  # the one before may have added to it
        if self.path.exists() and self.path.stat().st_size > whole:
            with storing(f"the journal {self.path}"), self.path.open("rb+") as torn:
                torn.truncate(whole)

    def close(self) -> None:
        """Let other processes begin."""
        self._held.close()

    def while_held(self, items: Iterator[T]) -> Iterator[T]:
        """Yield the items, and close the journal after them or where they are left."""
        with closing(self):
            yield from items

    def add(self, part: Part) -> None:
        """Keep a finished part."""
        tokens = part.tokens
        record = Record(
            part=part.number, take=part.take, seed=part.seed, score=part.score, spoken=part.spoken,
            semantic=_packed(tokens.semantic), coarse=_packed(tokens.coarse),
            fine=_packed(tokens.fine), heard=None if part.heard is None else dict(part.heard),
        )  # fmt: skip
        self._append(msgspec.structs.asdict(record))
        self.parts[part.number] = record

    def tokens(self, number: int) -> Voice:
        """Return the tokens of a finished part."""
        record = self.parts[number]
        try:
            return Voice(
                _unpacked(record.semantic), _unpacked(record.coarse), _unpacked(record.fine)
            )
        except (ValueError, zlib.error) as error:
            raise SettingError(
                f"{self.path}: part {number} is damaged", fix="Remove its line"
            ) from error

    def _read(self) -> int:
        """Read all whole lines, and return how many bytes they are."""
        self.job, self.parts, whole = None, {}, 0
        if not self.path.exists():
            return whole
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(iter(lambda: file.readline(MOST_LINE), b""), 1):
                    if number == 1 and not line.startswith(b'{"journal":'[: len(line)]):
                        raise SettingError(f"{self.path} is no journal", fix="Name another file")
                    if not line.endswith(b"\n") and len(line) < MOST_LINE:
                        break  # torn
                    whole += len(line)
                    self._take(number, line)
        except OSError as error:
            raise StorageError(f"cannot read {self.path}", error.strerror) from error
        return whole

    def _take(self, number: int, line: bytes) -> None:
        where = f"{self.path}: line {number}"
        try:
            if number > 1:
                record = decode(line, Record, where, SettingError)
                self.parts[record.part] = record
                return
            head = decode(line, _Head, where, SettingError)
        except SettingError as error:
            raise SettingError(
                f"{where} is no line of a journal", error.got, error.allowed, "Name another file"
            ) from error
        if head.journal != FORMAT:
            raise SettingError(f"{self.path} has format", head.journal, FORMAT)
        self.job = head.job

    def _append(self, record: Mapping[str, Any]) -> None:
        with storing(f"the journal {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(f"{encode(record)}\n".encode())
                file.flush()
                os.fsync(file.fileno())


def _packed(tokens: np.ndarray) -> Packed:
    data = zlib.compress(np.ascontiguousarray(tokens, dtype="<i4").tobytes())
    return list(tokens.shape), base64.b64encode(data).decode("ascii")


def _unpacked(packed: Packed) -> np.ndarray:
    shape, text = packed
    size = min(math.prod(shape), MOST_NUMBERS) * 4
    stream = zlib.decompressobj()
    data = stream.decompress(base64.b64decode(text, validate=True), size + 1)
    if not stream.eof:
        raise ValueError("cut short, or longer than its shape says")
    return np.frombuffer(data, dtype="<i4").reshape(shape).astype(np.int64)
