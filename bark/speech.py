"""Speech as it leaves the house: one way to save it, with its tags, its voice and its record."""

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import file_digest
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .audio.limiter import limited
from .audio.postprocess import AnyStep, postprocessed, step_of
from .audio.postprocess import Postprocess as Postprocess
from .audio.write import AI_TAG, FORMATS, save_audio
from .errors import AudioError, VoiceError
from .settings import Settings
from .storage.atomic import replace_all, workshop
from .storage.files import expand
from .storage.json import encode
from .tokens import TokenLayout
from .version import SOFTWARE, __version__
from .voice.names import TOKENS_KEY
from .voice.voice import Voice, VoiceLike

logger = logging.getLogger(__name__)

KEPT_INFO = ("consent", "language", "source_sha256")  # of a voice, true of what it says as well
FORMAT, FORMAT_VERSION = "bark-take", 1
PACKAGES = ("torch", "numpy", "transformers")


@dataclass(frozen=True)
class SavedSpeech:
    """The files of one piece of speech."""

    audio: Path
    record: Path | None = None
    voice: Path | None = None


class Speech(Protocol):
    """What can be saved: a `Generation`, a `LongTake`."""

    @property
    def audio(self) -> np.ndarray:
        """(N,) float32."""

    @property
    def layout(self) -> TokenLayout:
        """Of the model that spoke."""

    @property
    def voice(self) -> Voice:
        """The speech as a history prompt."""

    def record(self) -> dict[str, Any]:
        """Return all that it takes to speak it again."""


class Savable:
    """Adds `save` to what has the properties of `Speech`."""

    def save(
        self: "Speech",
        path: str | Path,
        *,
        voice: bool = False,
        record: bool = True,
        postprocess: Sequence[AnyStep] = (),
    ) -> SavedSpeech:
        """Write the audio, tagged as made by a machine, and its record; see `save_speech`."""
        return save_speech(self, path, voice=voice, record=record, postprocess=postprocess)


@dataclass(frozen=True, eq=False)
class Part:
    """One spoken part."""

    number: int  # from 1
    text: str
    speaker: str | None
    seed: int
    take: int  # 0, and one more each time it is regenerated
    audio: np.ndarray = field(repr=False)  # (N,) float32
    tokens: Voice = field(repr=False)
    score: float | None = None  # the judge's
    heard: Mapping[str, float] | None = None  # how it sounds, where it was measured
    spoken: int = 1  # times, of which the best was kept

    def record(self, sample_rate: int) -> dict[str, Any]:
        """Return what a record keeps of it."""
        made = {
            "number": self.number,
            "text": self.text,
            "speaker": self.speaker,
            "seed": self.seed,
            "take": self.take,
            "seconds": round(len(self.audio) / sample_rate, 3),
            "tokens_sha256": self.tokens.digest,
        }
        made |= {} if self.score is None else {"score": round(self.score, 4)}
        made |= {} if self.heard is None else {"heard": dict(self.heard)}
        return made if self.spoken == 1 else made | {"spoken": self.spoken}


@dataclass(frozen=True, eq=False)
class Generation(Savable):
    """One spoken utterance and all that is needed to speak it again."""

    audio: np.ndarray = field(repr=False)  # (N,) float32 in [-1, 1]
    tokens: Voice = field(repr=False)  # semantic (S,), coarse (2, T), fine (8, T), as generated
    text: str
    seed: int
    settings: Settings
    model: str
    layout: TokenLayout = field(repr=False)
    timings: dict[str, float] = field(default_factory=dict)  # seconds for each stage
    spoken_in: Voice | None = field(default=None, repr=False)  # the voice it was asked for in
    reference: str | None = None  # a name or path that finds that voice again
    source: Mapping[str, Any] = field(default_factory=dict)  # arguments of `Bark.from_pretrained`
    family: str = ""  # of the tokens: `bark.voice.names.token_family`

    @property
    def sample_rate(self) -> int:
        """Hz of `audio`."""
        return self.layout.sample_rate

    @property
    def duration(self) -> float:
        """Seconds of `audio`."""
        return len(self.audio) / self.sample_rate

    @property
    def voice(self) -> Voice:
        """This utterance as a history prompt, with what its own voice's info must not lose."""
        info = spoken_info(self.model, self.text, self.seed, self.spoken_in, self.family)
        return replace(self.tokens.canonical(self.layout), info=info)

    def record(self) -> dict[str, Any]:
        """Return all that it takes to speak this again, as ``bark replay`` reads it."""
        part = Part(1, self.text, None, self.seed, 0, self.audio, self.tokens)
        return {
            "text": self.text,
            "seed": self.seed,
            "model": dict(self.source) or {"name": self.model},
            "voice": voice_record(self.spoken_in, self.reference),
            "settings": self.settings.to_dict(),
            "parts": [part.record(self.sample_rate)],
        }


def save_speech(
    speech: Speech,
    path: str | Path,
    *,
    voice: bool = False,
    record: bool = True,
    postprocess: Sequence[AnyStep] = (),
) -> SavedSpeech:
    """Write speech to files that are whole or not there at all; earlier files are replaced.

    Parameters
    ----------
    path : of the audio; its suffix chooses the format.
    voice : write the speech as a history prompt beside it, ``.npz``.
    record : write what ``bark replay`` needs to speak it again beside it, ``.json``.
    postprocess : steps that the samples go through before they are written, functions or names as
        ``"loudness=-16"`` (`bark.audio.postprocess`); the record keeps their names.

    Raises
    ------
    AudioError, VoiceError, StorageError
    """
    path = expand(path)
    if path.suffix.lower()[1:] not in FORMATS:
        raise AudioError("unknown audio format", path.suffix or "none", ", ".join(FORMATS))
    with workshop(path.parent) as folder:
        audio, prompt, full = write_speech(
            speech, folder / path.name, speech.record(), voice=voice, postprocess=postprocess
        )
        saved = SavedSpeech(
            path,
            path.with_suffix(".json") if record else None,
            path.with_suffix(".npz") if prompt else None,
        )
        pairs = [(prompt, saved.voice)] if prompt and saved.voice else []
        if saved.record:
            pairs.append((write_record(full, audio.with_suffix(".json")), saved.record))
        replace_all([*pairs, (audio, path)])
    return saved


def write_speech(
    speech: Speech,
    path: Path,
    record: Mapping[str, Any],
    *,
    voice: bool,
    postprocess: Sequence[AnyStep] = (),
) -> tuple[Path, Path | None, dict[str, Any]]:
    """Write audio and voice under one stem into a folder; return both and the full record."""
    layout, steps = speech.layout, [step_of(step) for step in postprocess]
    audio = finished_audio(speech, steps, path.stem)
    save_audio(path, audio, layout.sample_rate, tags=speech_tags(record["text"], record["seed"]))
    prompt = None
    if voice:
        try:
            prompt = speech.voice.save(path.with_suffix(".npz"), layout)
        except VoiceError as error:
            logger.warning("%s: no .npz is written", error)
    full = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "statement": AI_TAG,
        "audio": path.name,
        "voice_file": None if prompt is None else prompt.name,
        "journal": None,
        "name": path.stem,
        **record,
        **({"postprocess": [step.name for step in steps]} if steps else {}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sample_rate": layout.sample_rate,
        "seconds": round(len(audio) / layout.sample_rate, 3),
        "audio_sha256": file_hash(path),
        "versions": versions(),
    }
    return path, prompt, full


def write_record(record: Mapping[str, Any], path: Path) -> Path:
    """Write a record as JSON; return its path."""
    path.write_text(encode(record, indent=1) + "\n", "utf-8")
    return path


def finished_audio(speech: Speech, postprocess: Sequence[AnyStep], name: str) -> np.ndarray:
    """Return the samples as they leave: after all steps, and within full scale."""
    rate = speech.layout.sample_rate
    audio, taken = limited(postprocessed(speech.audio, rate, postprocess), rate)
    if taken:
        logger.warning("%s: %.1f dB taken off its loudest moments", name, taken)
    return audio


def spoken_info(
    model: str, text: str, seed: int | None, spoken_in: Voice | None, family: str = ""
) -> dict[str, str]:
    """Return the info of speech as a voice; what it was spoken in gives consent and language."""
    before = {} if spoken_in is None else spoken_in.info
    kept = {key: before[key] for key in KEPT_INFO if key in before}
    made = {"model": model, "tool": SOFTWARE, "spoken": text[:200]}
    made |= {TOKENS_KEY: family} if family else {}
    return kept | made | ({} if seed is None else {"seed": str(seed)})


def speech_tags(text: str, seed: int) -> dict[str, str]:
    """Return the tags of an audio file of speech; the comment says that a machine spoke."""
    title = " ".join(text.split())[:120]
    comment = f"{AI_TAG}. {SOFTWARE}, seed {seed}."  # mp3 keeps no software tag
    tags = {"comment": comment, "software": SOFTWARE}
    return tags | ({"title": title} if title else {})


def voice_record(voice: Voice | None, reference: str | None) -> dict[str, str | None] | None:
    """Return what a record keeps of a voice."""
    return None if voice is None else {"reference": reference, "sha256": voice.digest}


def reference_of(voice: VoiceLike | None) -> str | None:
    """Return a name or an absolute path that finds a voice again; None where the voice has none."""
    if not isinstance(voice, (str, Path)):
        return None
    path = expand(voice)
    return (
        str(path.resolve()) if isinstance(voice, Path) or path.suffix.lower() == ".npz" else voice
    )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that speech depends on."""
    found = {"bark-voice-booth": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # another build of it
            continue
    return found
