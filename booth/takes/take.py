"""Turns what was spoken into a take on disk: audio, the voice beside it, and a JSON record to
replay it.

``<stem>.wav`` carries tags (title, "AI-generated speech", software), ``<stem>.npz`` is the
utterance as a history prompt, ``<stem>.json`` says how both were made. Names are readable and never
overwrite anything: each file is written whole under a temporary name and then linked to its own,
which fails where that name is taken; two processes at once get two takes. The record comes first
and the audio last: no audio lacks its record."""

import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from bark.audio.write import AI_TAG, save_audio
from bark.errors import BarkError, MissingFileError, StorageError
from bark.tokens import BARK, TokenLayout
from bark.version import __version__
from bark.voice.voice import Voice

SOFTWARE = f"bark-voice-booth {__version__}"
FORMAT, FORMAT_VERSION = "bark-take", 1
MAX_RECORD_BYTES = 64 << 20  # a 1 MB book with its parts stays far below
SLUG_LENGTH = 40  # characters
PACKAGES = ("torch", "numpy", "transformers")


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


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a take depends on."""
    found = {"bark-voice-booth": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a stub stands in for it
            continue
    return found


def tags(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that go into the audio file itself."""
    title = " ".join(str(record["text"]).split())[:120]
    comment = f"{AI_TAG}. {SOFTWARE}, seed {record['seed']}."  # mp3 keeps no software tag
    return {"title": title, "comment": comment, "software": SOFTWARE}


def save_take(
    audio: np.ndarray,
    sample_rate: int,
    record: Mapping[str, Any],
    *,
    folder: str | Path = ".",
    stem: str,
    suffix: str = ".wav",
    voice: Voice | None = None,
    layout: TokenLayout = BARK,
    journal: Path | None = None,
) -> Take:
    """Write a take under the first free name: ``stem``, ``stem_2``, ``stem_3``, ...

    Parameters
    ----------
    audio : (N,) float32 at `sample_rate` Hz.
    record : at least ``text`` and ``seed``; files, hashes, versions and date are added here.
    stem : name without suffix; may hold folders, relative to `folder`.
    suffix : ``.wav``, ``.flac``, ``.mp3`` or ``.ogg``.
    voice : the utterance as a history prompt; None writes no ``.npz``.
    layout : of the model that made it.
    journal : the parts' journal, in the same folder or below; it moves to ``<stem>.journal``.

    Raises
    ------
    StorageError
        If the folder cannot be written; nothing is left behind.
    AudioError
        If the audio is empty or holds NaN, which means that the model failed.
    """
    target = Path(folder).expanduser() / stem
    with workshop(target.parent) as shop:
        sound = shop / f"audio{suffix}"
        save_audio(sound, audio, sample_rate, tags=tags(record))
        prompt = shop / "voice.npz" if voice is not None else None
        if voice is not None and prompt is not None:
            voice.save(prompt, layout)
        full = {
            "format": FORMAT, "format_version": FORMAT_VERSION, "statement": AI_TAG, **record,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "sample_rate": sample_rate, "seconds": round(len(audio) / sample_rate, 3),
            "audio_sha256": file_hash(sound), "versions": versions(),
        }  # fmt: skip
        for name in _names(target.name):
            take = _publish(shop, full, target.with_name(name), sound, prompt, journal)
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


def _publish(
    shop: Path,
    record: dict[str, Any],
    stem: Path,
    sound: Path,
    prompt: Path | None,
    journal: Path | None,
) -> Take | None:
    """Give the finished files their names, or none of them (None) if one of the names is taken."""

    def beside(suffix: str) -> Path:
        return stem.with_name(stem.name + suffix)

    take = Take(
        beside(sound.suffix),
        beside(".json"),
        prompt and beside(".npz"),
        journal and beside(".journal"),
    )
    files = {
        "audio": take.audio.name,
        "voice_file": take.voice and take.voice.name,
        "journal": take.journal and take.journal.name,
    }
    record = {**files, **record}
    note = shop / "record.json"
    note.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
    wanted = [
        (note, take.record),
        (prompt, take.voice),
        (journal, take.journal),
        (sound, take.audio),
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
