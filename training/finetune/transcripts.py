"""Reads the transcript of a folder of recordings, and names the lines that cannot be used.

Two layouts: LJSpeech's, ``metadata.csv`` of lines ``id|text`` or ``id|text|normalised text`` beside
``wavs/<id>.wav``; and ``train.txt`` of lines ``path|text``, the path being relative to the folder,
with ``valid.txt`` of such lines beside it if some are to validate and not to train."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bark.errors import BarkError, MissingFileError

METADATA, TRAIN, VALID = "metadata.csv", "train.txt", "valid.txt"
RECORDINGS = "wavs"
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a")
LONGEST_NAME = 100  # characters


class LineError(BarkError):
    """A line of a transcript, or its recording, cannot be used."""


@dataclass(frozen=True)
class Utterance:
    """A line that names a recording and says what is spoken there."""

    line: int  # of the transcript, from 1
    name: str  # the recording's path without suffix, safe as a file name
    recording: Path
    text: str
    transcript: str = METADATA  # name of the file the line stands in

    @property
    def validates(self) -> bool:
        """Tell whether the transcript keeps it out of training."""
        return self.transcript == VALID


@dataclass(frozen=True)
class BadLine:
    """A line that is skipped."""

    line: int
    why: str
    transcript: str = METADATA


@dataclass(frozen=True)
class Transcript:
    """What a folder's transcript says."""

    path: Path  # of the training lines
    utterances: tuple[Utterance, ...]
    refused: tuple[BadLine, ...]

    @property
    def has_valid(self) -> bool:
        """Tell whether some of its lines stand in ``valid.txt``."""
        lines = [line.transcript for line in self.utterances]
        return VALID in lines + [line.transcript for line in self.refused]


def read_transcript(folder: Path) -> Transcript:
    """Read ``metadata.csv``, or else ``train.txt`` and a ``valid.txt`` beside it.

    Empty lines do not count.

    Raises
    ------
    MissingFileError
        If the folder has neither.
    """
    path = next((folder / name for name in (METADATA, TRAIN) if (folder / name).is_file()), None)
    if path is None:
        raise MissingFileError(
            f"no transcript in {folder}",
            allowed=f"{METADATA} of lines id|text beside {RECORDINGS}/, or {TRAIN} of lines "
            "path|text",
        )
    utterances: list[Utterance] = []
    refused: list[BadLine] = []
    first: dict[str, Utterance] = {}
    for name, number, raw in _lines(path):
        try:
            utterance = _utterance(folder, name, number, raw)
            if earlier := first.get(utterance.name.casefold()):
                where = "" if earlier.transcript == name else f" of {earlier.transcript}"
                raise LineError(
                    f"the same recording as line {earlier.line}{where}", got=utterance.name
                )
        except LineError as error:
            refused.append(BadLine(number, str(error), name))
            continue
        first[utterance.name.casefold()] = utterance
        utterances.append(utterance)
    return Transcript(path, tuple(utterances), tuple(refused))


def _lines(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """Yield transcript, number and content of each line that is not empty."""
    valid = path.with_name(VALID)
    for file in (path, valid) if path.name == TRAIN and valid.is_file() else (path,):
        content = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
        for number, raw in enumerate(content.split(b"\n"), start=1):
            if raw.strip():
                yield file.name, number, raw


def _utterance(folder: Path, transcript: str, number: int, raw: bytes) -> Utterance:
    try:
        fields = [field.strip() for field in raw.decode("utf-8").split("|")]
    except UnicodeDecodeError as error:
        raise LineError(f"is not UTF-8 at byte {error.start}") from error
    most = 3 if transcript == METADATA else 2
    if not 2 <= len(fields) <= most:
        allowed = "id|text or id|text|normalised text" if most == 3 else "path|text"
        raise LineError(f"has {len(fields)} fields", allowed=allowed)
    name, text = fields[0], fields[-1] or fields[1]
    if not name or "\0" in name:
        raise LineError("names no recording")
    if not text:
        raise LineError("has no text")
    recording = _recording(folder / RECORDINGS, name) if most == 3 else folder / name
    if not recording.is_file():
        raise LineError("there is no such recording", got=name)
    return Utterance(number, _safe_name(name), recording, text, transcript)


def _safe_name(name: str) -> str:
    """Turn a path into a file name: no folders, no known suffix, no more than 100 characters."""
    path = Path(name)
    bare = str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)
    if len(bare) > LONGEST_NAME:
        bare = f"{hashlib.sha256(bare.encode()).hexdigest()[:16]}-{bare[17 - LONGEST_NAME :]}"
    return re.sub(r"[^\w.-]", "_", bare)


def _recording(folder: Path, name: str) -> Path:
    """Return the file of an id, which may come with or without its suffix."""
    names = [name, *(name + suffix for suffix in SUFFIXES)]
    return next(
        (folder / each for each in names if (folder / each).is_file()), folder / f"{name}.wav"
    )
