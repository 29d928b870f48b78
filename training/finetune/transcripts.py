"""A folder of recordings and their transcript to utterances, and to the lines that cannot be used
and why.

Two layouts: LJSpeech's, ``metadata.csv`` of lines ``id|text`` or ``id|text|normalised text`` beside
``wavs/<id>.wav``; and ``train.txt`` of lines ``path|text``, the path being relative to the folder.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from bark.errors import BarkError, MissingFileError

METADATA, TRAIN = "metadata.csv", "train.txt"
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


@dataclass(frozen=True)
class BadLine:
    """A line that is skipped."""

    line: int
    why: str


@dataclass(frozen=True)
class Transcript:
    """What a folder's transcript says."""

    path: Path
    utterances: tuple[Utterance, ...]
    refused: tuple[BadLine, ...]


def read_transcript(folder: Path) -> Transcript:
    """Read ``metadata.csv`` or else ``train.txt``; empty lines do not count.

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
    lines_of: dict[str, int] = {}
    for number, raw in enumerate(
        path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1
    ):
        if not raw.strip():
            continue
        try:
            utterance = _utterance(folder, path.name, number, raw)
            if earlier := lines_of.get(utterance.name.casefold()):
                raise LineError(f"the same recording as line {earlier}", got=utterance.name)
        except LineError as error:
            refused.append(BadLine(number, str(error)))
            continue
        lines_of[utterance.name.casefold()] = number
        utterances.append(utterance)
    return Transcript(path, tuple(utterances), tuple(refused))


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
    return Utterance(number, _safe_name(name), recording, text)


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
