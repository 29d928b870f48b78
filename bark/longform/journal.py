"""Turns finished parts of a long job into lines of a file that outlives a kill, and back into
parts.
"""

import base64
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bark.errors import SettingError, StorageError
from bark.voice.voice import Voice

FORMAT = 1


class Journal:
    """An append-only file of JSON lines: the job first, then each finished part with its tokens.

    A line is on the disk before the next part begins. The last line of a killed run may be torn; it
    is cut off, and that part is made again."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.job: dict[str, Any] | None = None  # None: a new journal
        self.parts: dict[int, dict[str, Any]] = {}  # number → its newest record
        if self.path.exists():
            self._read()

    def begin(self, job: Mapping[str, Any]) -> None:
        """Write the job into a new journal, or check that an old one belongs to the same job."""
        if self.job is None:
            self._append({"journal": FORMAT, "job": dict(job)})
            self.job = dict(job)
            return
        for key in [*job, *self.job]:
            if self.job.get(key) != job.get(key):
                raise SettingError(
                    f"{self.path} belongs to another job: its {key} differs",
                    _shown(job.get(key)),
                    _shown(self.job.get(key)),
                    "Repeat the command that began it, or name another journal",
                )

    def add(
        self, number: int, take: int, seed: int, tokens: Voice, score: float | None = None
    ) -> None:
        """Keep a finished part: number from 1, take from 0, what a judge gave it."""
        record = {
            "part": number,
            "take": take,
            "seed": seed,
            "score": score,
            "semantic": _packed(tokens.semantic),
            "coarse": _packed(tokens.coarse),
            "fine": _packed(tokens.fine),
        }
        self._append(record)
        self.parts[number] = record

    def tokens(self, number: int) -> Voice:
        """Return the tokens of a finished part."""
        record = self.parts[number]
        try:
            return Voice(
                _unpacked(record["semantic"]),
                _unpacked(record["coarse"]),
                _unpacked(record["fine"]),
            )
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise SettingError(
                f"{self.path}: part {number} is damaged", fix="Remove its line"
            ) from error

    def _read(self) -> None:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read {self.path}", error.strerror) from error
        if data and not data.startswith(b'{"journal":'[: len(data)]):
            raise SettingError(f"{self.path} is no journal", fix="Name another file")
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
                if number == 1:
                    self.job = dict(record["job"])
                    if record["journal"] != FORMAT:
                        raise SettingError(f"{self.path} has format", record["journal"], FORMAT)
                else:
                    self.parts[int(record["part"])] = record
            except SettingError:
                raise
            except (ValueError, KeyError, TypeError) as error:
                raise SettingError(
                    f"{self.path}: line {number} is no line of a journal", fix="Name another file"
                ) from error
        if len(whole) < len(data):
            with _storage(self.path), self.path.open("rb+") as file:
                file.truncate(len(whole))

    def _append(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        with _storage(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(line.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    """Turn an `OSError` of the journal into one `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write the journal {path}",
            error.strerror,
            fix="Choose a folder with space left",
        ) from error


def _packed(tokens: np.ndarray) -> list[Any]:
    data = zlib.compress(np.ascontiguousarray(tokens, dtype="<i4").tobytes())
    return [list(tokens.shape), base64.b64encode(data).decode("ascii")]


def _unpacked(packed: list[Any]) -> np.ndarray:
    shape, text = packed
    data = zlib.decompress(base64.b64decode(text, validate=True))
    return np.frombuffer(data, dtype="<i4").reshape(shape).astype(np.int64)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "..."
