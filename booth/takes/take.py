"""Takes on disk: the audio, the voice beside it, and a JSON record by which it is replayed.

``<stem>.wav`` carries tags (title, "AI-generated speech", software), ``<stem>.npz`` is the
utterance as a history prompt, ``<stem>.json`` says how both were made. Names are readable and never
overwrite anything: each file is written whole under a temporary name and then linked to its own,
which fails where that name is taken; two processes at once get two takes. The record comes first
and the audio last: no audio lacks its record."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from bark.audio.postprocess import AnyStep
from bark.errors import BarkError, MissingFileError
from bark.speech import FORMAT, FORMAT_VERSION, Speech, write_record, write_speech
from bark.storage.atomic import link_new as link_new
from bark.storage.atomic import workshop as workshop
from bark.storage.files import expand, read_bounded
from bark.storage.json import decode
from bark.tokens import BARK, TokenLayout
from bark.voice.voice import Voice

from .record import TakeRecord

MAX_RECORD_BYTES = 64 << 20  # a 1 MB book with its parts stays far below
SLUG_LENGTH = 40  # characters


class _Head(msgspec.Struct):
    """What every version of a record begins with."""

    format: str | None = None
    format_version: int | None = None


@dataclass(frozen=True)
class Take:
    """The files of one take."""

    audio: Path
    record: Path
    voice: Path | None = None  # None where it was not wanted
    journal: Path | None = None  # the tokens of each part; None for a single part
    unfinished: tuple[int, ...] = ()  # parts that filled the longest utterance


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
    postprocess: Sequence[AnyStep] = (),
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
    target = expand(target)
    with workshop(target.parent) as shop:
        audio, voice, full = write_speech(
            speech, shop / f"audio{suffix}", record, voice=with_voice, postprocess=postprocess
        )
        for name in _names(target.name):
            take = _publish(audio, voice, full, target.with_name(name), journal)
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
    folder = expand(folder)
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
    help_ = "Give the .json beside the audio"
    try:
        data = read_bounded(path, MAX_RECORD_BYTES, BarkError)
        head = decode(data, _Head, path, BarkError)
    except MissingFileError:
        raise MissingFileError(f"there is no take {path}", fix=help_) from None
    if head.format != FORMAT:
        raise BarkError(f"{path} is not the record of a take", fix=help_)
    if head.format_version != FORMAT_VERSION:
        raise BarkError(f"{path} has another format version", head.format_version, FORMAT_VERSION)
    return decode(data, TakeRecord, path, BarkError).to_dict()


def _publish(
    audio: Path, voice: Path | None, record: Mapping[str, Any], stem: Path, journal: Path | None
) -> Take | None:
    """Give the finished files their names, or none of them (None) if one of the names is taken."""

    def beside(suffix: str) -> Path:
        return stem.with_name(stem.name + suffix)

    take = Take(
        beside(audio.suffix),
        beside(".json"),
        voice and beside(".npz"),
        journal and beside(".journal"),
    )
    names = {
        "audio": take.audio.name,
        "voice_file": take.voice and take.voice.name,
        "journal": take.journal and take.journal.name,
    }
    wanted = [
        (write_record({**record, **names}, audio.with_suffix(".json")), take.record),
        (voice, take.voice),
        (journal, take.journal),
        (audio, take.audio),
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
