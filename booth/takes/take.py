"""Turns what was spoken into a take on disk: audio, the voice beside it, and a JSON record to
replay it.

``<stem>.wav`` carries tags (title, "AI-generated speech", software), ``<stem>.npz`` is the
utterance as a history prompt, ``<stem>.json`` says how both were made. Names are readable and never
overwrite anything: each file is written whole under a temporary name and then linked to its own,
which fails where that name is taken; two processes at once get two takes. The record comes first
and the audio last: no audio lacks its record."""

import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bark.errors import BarkError, MissingFileError, StorageError
from bark.speech import (
    FORMAT,
    FORMAT_VERSION,
    Postprocess,
    SavedSpeech,
    Speech,
    write_speech,
)
from bark.tokens import BARK, TokenLayout
from bark.voice.voice import Voice

MAX_RECORD_BYTES = 64 << 20  # a 1 MB book with its parts stays far below
SLUG_LENGTH = 40  # characters


@dataclass(frozen=True)
class Take:
    """The files of one take."""

    audio: Path
    record: Path
    voice: Path | None = None  # None where it was not wanted
    journal: Path | None = None  # the tokens of each part; None for a single part


def slug(text: str) -> str:
    """Return the words of `text` as the beginning of a file name.

    >>> slug("Hello, my name is Suno! [laughs]")
    'hello-my-name-is-suno-laughs'
    """
    plain = unicodedata.normalize("NFKC", text[: 20 * SLUG_LENGTH]).lower()
    kept = ""
    for word in re.findall(r"\w+", plain.replace("_", " ")):
        longer = f"{kept}-{word}" if kept else word[:SLUG_LENGTH]
        if len(longer) > SLUG_LENGTH or len(longer.encode()) > 3 * SLUG_LENGTH:
            break
        kept = longer
    return kept or "speech"


def save_take(
    speech: Speech,
    record: Mapping[str, Any],
    *,
    target: Path,
    suffix: str = ".wav",
    with_voice: bool = True,
    journal: Path | None = None,
    postprocess: Sequence[Postprocess] = (),
) -> Take:
    """Write a take under the first free name: ``stem``, ``stem_2``, ``stem_3``, ...

    Parameters
    ----------
    record : `speech.record()` and whatever else is to be kept.
    target : path without suffix.
    suffix : of the audio, which chooses its format.
    journal : the parts' journal, in the same folder or below; it moves to ``<stem>.journal``.

    Raises
    ------
    StorageError
        If the folder cannot be written; nothing is left behind.
    AudioError
        If the audio is empty or holds NaN, which means that the model failed.
    """
    target = target.expanduser()
    with workshop(target.parent) as shop:
        made = write_speech(
            speech, shop / f"audio{suffix}", record, voice=with_voice, postprocess=postprocess
        )
        for name in _names(target.name):
            take = _publish(shop, made, target.with_name(name), journal)
            if take is not None:
                return take
    raise AssertionError  # pragma: no cover - names never end


def _names(stem: str) -> Iterator[str]:
    """Yield ``stem``, ``stem_2``, ``stem_3``, ... for ever."""
    yield stem
    for number in count(2):
        yield f"{stem}_{number}"


def save_voice(voice: Voice, folder: str | Path, stem: str, layout: TokenLayout = BARK) -> Path:
    """Write a voice under the first free name: ``stem.npz``, ``stem_2.npz``, ..."""
    folder = Path(folder).expanduser()
    with workshop(folder) as shop:
        made = voice.save(shop / "voice.npz", layout)
        for name in _names(stem):
            with suppress(FileExistsError):
                link_new(made, folder / f"{name}.npz")
                return folder / f"{name}.npz"
    raise AssertionError  # pragma: no cover - names never end


def read_record(path: str | Path) -> dict[str, Any]:
    """Read and check a take's JSON record."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise BarkError(f"{path} is too large for a take", f"{path.stat().st_size:,} bytes")
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(
            f"there is no take {path}", fix="Give the .json beside the audio"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BarkError(f"{path} is not JSON", fix="Give the .json beside the audio") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}", error.strerror) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise BarkError(
            f"{path} is not the record of a take", fix="Give the .json beside the audio"
        )
    if record.get("format_version") != FORMAT_VERSION:
        raise BarkError(
            f"{path} has another format version", record.get("format_version"), FORMAT_VERSION
        )
    return record


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder inside `folder`, so that a finished file can be linked out of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shop = Path(tempfile.mkdtemp(prefix=".take-", dir=folder))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        yield shop
    except OSError as error:
        if isinstance(error, BarkError):
            raise
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(shop, ignore_errors=True)


def _publish(shop: Path, made: SavedSpeech, stem: Path, journal: Path | None) -> Take | None:
    """Give the finished files their names, or none of them (None) if one of the names is taken."""

    def beside(suffix: str) -> Path:
        return stem.with_name(stem.name + suffix)

    take = Take(
        beside(made.audio.suffix),
        beside(".json"),
        made.voice and beside(".npz"),
        journal and beside(".journal"),
    )
    if made.record is None:
        raise AssertionError  # pragma: no cover - a take always has one
    record = json.loads(made.record.read_text("utf-8"))
    record |= {
        "audio": take.audio.name,
        "voice_file": take.voice and take.voice.name,
        "journal": take.journal and take.journal.name,
    }
    note = shop / "record.json"
    note.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
    wanted = [
        (note, take.record),
        (made.voice, take.voice),
        (journal, take.journal),
        (made.audio, take.audio),
    ]
    done: list[Path] = []
    try:
        for source, final in wanted:
            if source is not None and final is not None:
                link_new(source, final)
                done.append(final)
    except BaseException as error:
        for path in done:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            return None
        raise
    if journal is not None:
        journal.unlink(missing_ok=True)
    return take


def link_new(source: Path, final: Path) -> None:
    """Give a finished file its name, or raise FileExistsError; never replaces anything."""
    source.chmod(0o644)
    try:
        os.link(source, final)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: reserve the name, then fill it
        os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(source, final)


def _cannot_write(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write to {folder}",
        error.strerror or error,
        fix="Choose a folder with room you may write to",
    )
