"""Clones a voice: a recording, examined, to a history prompt (``python -m hubert.clone``).

The chosen window of the recording goes two ways, each resampled straight from the source: at 16 kHz
through HuBERT and a quantizer into semantic tokens, at 24 kHz through the codec into coarse and
fine codes."""

if __name__ == "__main__":  # the command reads its flags before torch is imported
    from booth.cli.clone import main

    raise SystemExit(main())

import hashlib
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack, overload

import numpy as np
import torch

from bark.audio.postprocess import AnyStep, step_of
from bark.audio.read import check_audio, open_file, resample
from bark.audio.samples import channels_of
from bark.checkpoints.find import find_model
from bark.codec.base import Codec
from bark.devices import choose_device
from bark.errors import MissingFileError
from bark.stages.progress import UNWATCHED, Progress, Watch
from bark.storage.files import expand
from bark.storage.hub import fetch_all
from bark.tokens import BARK, TokenLayout
from bark.version import __version__
from bark.voice.names import made_by
from bark.voice.voice import Voice

from .consent import check_consent
from .encoder import QUANTIZER_FILES, SemanticEncoder, hub_files
from .features import SAMPLE_RATE
from .reference import Finding, Report, examine
from .reference.clean import cleaned
from .reference.source import Source, open_source

logger = logging.getLogger(__name__)

# the pair is Gradio's
Recording = str | Path | np.ndarray | torch.Tensor | tuple[int, np.ndarray] | Source
AT_ONCE = 600.0  # s; a longer recording is decoded block by block, twice


@dataclass(frozen=True)
class Excerpt:
    """The window of a recording that is cloned, read before any model is needed."""

    audio: np.ndarray  # (N,) float32
    rate: int  # Hz
    name: str  # of the file, or "samples"
    sha256: str  # of the file's bytes, or of the samples
    report: Report


def excerpt(
    recording: Recording,
    *,
    sample_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    report: Report | None = None,
    progress: Progress = False,
) -> Excerpt:
    """Examine a recording and return the window to clone; `report` if that is done already.

    Raises
    ------
    AudioError, MissingFileError
        As `clone_voice`.
    """
    with open_file(recording) if isinstance(recording, (str, Path)) else nullcontext() as opened:
        source = open_source(recording, sample_rate, file=opened)
        if report is None:
            if source.duration <= AT_ONCE:
                source = source.held()
            report = examine(source, start=start, end=end, progress=progress)
        audio = report.channels.mixed(source.part(report.start, report.end))
        name = "samples" if source.path is None else source.path.name
        return Excerpt(audio, source.rate, name, _sha256(recording, source, opened), report)


@dataclass(frozen=True)
class Clone:
    """A cloned voice, and what the recording was like."""

    voice: Voice
    report: Report
    findings: tuple[Finding, ...]  # the report's, and what the encoder has to say
    cleaned: tuple[str, ...] = ()  # what was done to the recording first

    def said(self, recording: Recording) -> "Clone":
        """Log every finding as a warning and return this clone."""
        name = recording if isinstance(recording, (str, Path)) else "the recording"
        for finding in self.findings:
            logger.warning("%s: %s: %s", name, finding.code, finding.message)
        return self


@dataclass(frozen=True)
class Cloner:
    """The parts that clone voices for one Bark, loaded once for many recordings."""

    encoder: SemanticEncoder
    codec: Codec
    layout: TokenLayout = BARK
    model: str = "large"  # of which Bark, for the record
    language: str = "en"
    watch: Watch = field(default=UNWATCHED, repr=False)  # who is told how far a clone is

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "large",
        language: str = "en",
        *,
        quantizer: str | Path | None = None,
        encoder: SemanticEncoder | None = None,
        codec: Codec | None = None,
        device: str | torch.device = "auto",
        dtype: str = "auto",
        progress: Progress = False,
    ) -> Self:
        """Load the parts that go with a Bark; a part that is given is used as it is.

        Parameters
        ----------
        model : the Bark that is to speak with the voices, by name, folder or hub id.
        language : of the recordings.
        quantizer : a quantizer file instead of the one for the language.
        dtype : of HuBERT's weights; "int8" on a CPU takes two thirds of the time.
        progress : show bars of loading and cloning, or a function that is told how far it is.
        """
        files, watch = find_model(model), Watch.of(progress)
        where, codec_where = choose_device(device), choose_device(device, "codec")
        place = files.places["codec"]
        wanted = [] if encoder else hub_files(model, language, quantizer)
        fetch_all(wanted if codec or place.path else [*wanted, *place.wanted])
        with watch.bar("loading", 2, "part", leave=False) as bar:
            if encoder is None:
                encoder = SemanticEncoder.from_pretrained(
                    model, language, quantizer=quantizer, device=where, dtype=dtype
                )
            bar.update()
            if codec is None:
                codec = files.load_codec().to(codec_where)
            bar.update()
        return cls(encoder, codec, files.layout, str(model), language, watch)

    @staticmethod
    def check(
        model: str | Path = "large",
        language: str = "en",
        quantizer: str | Path | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        """Refuse arguments that `from_pretrained` cannot use; nothing is fetched or loaded."""
        choose_device(device)
        hub_files(model, language, quantizer)
        named = quantizer is None or str(quantizer) in QUANTIZER_FILES
        if not named and not expand(str(quantizer)).is_file():
            raise MissingFileError(f"no file {quantizer}")

    def clone(
        self,
        recording: Recording | Excerpt,
        *,
        sample_rate: int | None = None,
        start: float | None = None,
        end: float | None = None,
        consent: str | None = None,
        clean: bool = False,
        denoiser: AnyStep | None = None,
        report: Report | None = None,
    ) -> Clone:
        """Clone the voice of one recording; see `clone_voice`.

        Parameters
        ----------
        recording : may be an `excerpt`, which has its window.
        report : of the recording, if it is examined already; its window is taken.
        """
        consent = check_consent(consent) if consent else None
        denoiser = None if denoiser is None else step_of(denoiser)
        cut = recording
        if not isinstance(cut, Excerpt):
            cut = excerpt(
                cut, sample_rate=sample_rate, start=start, end=end, report=report,
                progress=self.watch,
            )  # fmt: skip
        window, report = cut.audio, cut.report
        done: tuple[str, ...] = ()
        if clean or denoiser is not None:
            made = cleaned(window, cut.rate, report.measures, denoiser)
            window, done = made.audio, made.done

        def heard(rate: int) -> np.ndarray:
            return check_audio(resample(window, cut.rate, rate), f"{cut.name}: ")

        with self.watch.bar("cloning", 2, "encoder", leave=False) as bar:
            semantic = self.encoder.encode(heard(SAMPLE_RATE), SAMPLE_RATE)
            bar.update()
            fine = self.codec.encode(heard(self.codec.sample_rate))  # (8, T)
            bar.update()
        findings = report.findings
        if self.encoder.note:
            findings += (Finding("language", self.encoder.note),)
        info = {
            "source": cut.name,
            "source_sha256": cut.sha256,
            "start": f"{report.start:.3f}",
            "end": f"{report.end:.3f}",
            "seconds": f"{report.seconds:.3f}",
            "checks": " ".join(finding.code for finding in findings) or "ok",
            **made_by(self.model, self.layout, self.codec.family),
            "language": self.language,
            "tool": f"bark-voice-booth {__version__}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        info |= {"consent": consent} if consent else {}
        info |= {"cleaned": ", ".join(done)} if done else {}
        voice = Voice(semantic, fine[: self.layout.coarse_books], fine, info).canonical(self.layout)
        return Clone(voice, report, findings, done)


class CloneOptions(TypedDict, total=False):
    """The keyword arguments of `clone_voice`, where its overloads need them."""

    model: str | Path
    language: str
    sample_rate: int | None
    start: float | None
    end: float | None
    quantizer: str | Path | None
    encoder: SemanticEncoder | None
    codec: Codec | None
    device: str | torch.device
    dtype: str
    consent: str | None
    clean: bool
    denoiser: AnyStep | None
    progress: Progress


@overload
def clone_voice(recording: Recording, **options: Unpack[CloneOptions]) -> Voice: ...


@overload
def clone_voice(
    recording: list[str] | list[Path] | list[np.ndarray], **options: Unpack[CloneOptions]
) -> list[Voice]: ...


def clone_voice(  # type: ignore[misc]  # the overloads tell results apart; the arguments are these
    recording: Recording | Sequence[Recording],
    *,
    model: str | Path = "large",
    language: str = "en",
    sample_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    quantizer: str | Path | None = None,
    encoder: SemanticEncoder | None = None,
    codec: Codec | None = None,
    device: str | torch.device = "auto",
    dtype: str = "auto",
    consent: str | None = None,
    clean: bool = False,
    denoiser: AnyStep | None = None,
    progress: Progress = False,
) -> Voice | list[Voice]:
    """Clone the voice of a recording; from a list of recordings, one voice each.

    Parameters
    ----------
    recording : an audio file, or samples (N,) or (N, channels) with their `sample_rate`.
    model : the Bark that is to speak with it, by name, folder or hub id.
    language : of the recording, such as ``"de"``.
    start, end : seconds; by default the best ten seconds that end in a pause (`hubert.examine`).
    quantizer : a quantizer file instead of the community's for the language.
    encoder, codec : ready-made parts to use instead of loading them.
    device : where HuBERT and the codec run.
    dtype : of HuBERT's weights, "auto" being float32; "int8" on a CPU takes two thirds of the time.
    consent : whose voice it is and why you may clone it (`hubert.consent`); kept in the voice.
    clean : take out rumble, the hum of the mains and a low level first.
    denoiser : clean, and send noisy recordings through this step (`bark.audio.postprocess`).
    progress : True shows bars; a function is called with (stage, done, total).

    Raises
    ------
    AudioError
        If the recording cannot be read, is silent, or holds less than 1.1 s.
    MissingFileError
        If a model is neither on this computer nor to be had.
    SettingError
        If Bark does not speak the language.
    """
    consent = check_consent(consent) if consent else None  # before anything is read
    pair = isinstance(recording, tuple) and bool(recording) and isinstance(recording[0], int)
    one = pair or not isinstance(recording, (list, tuple))
    recordings: Sequence[Recording] = [recording] if one else recording  # type: ignore[list-item, assignment]
    if encoder is None:
        Cloner.check(model, language, quantizer, device)
    part: dict[str, Any] = {"sample_rate": sample_rate, "start": start, "end": end}
    cuts = [excerpt(each, **part, progress=progress) for each in recordings]
    cloner = Cloner.from_pretrained(
        model, language, quantizer=quantizer, encoder=encoder, codec=codec, device=device,
        dtype=dtype, progress=progress,
    )  # fmt: skip
    how: dict[str, Any] = {"consent": consent, "clean": clean, "denoiser": denoiser}
    made = (cloner.clone(cut, **how) for cut in cuts)
    voices = [each.said(name).voice for each, name in zip(made, recordings, strict=True)]
    return voices[0] if one else voices


def _sha256(recording: Recording, source: Source, opened: BufferedReader | None) -> str:
    """Return the hash of the file's bytes, or of the samples'."""
    if source.path is None:
        if isinstance(recording, Source):
            recording = recording.rate, recording.part(0.0, recording.duration)
        samples = np.ascontiguousarray(channels_of(recording)[0])
        return hashlib.sha256(samples.tobytes()).hexdigest()
    with source.path.open("rb") if opened is None else nullcontext(opened) as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
