"""Turns a recording of someone speaking into a voice for Bark: ``python -m hubert.clone me.wav -o me.npz``.

The chosen window of the recording goes two ways, each resampled straight from the source: at 16 kHz through
HuBERT and a quantizer into semantic tokens, at 24 kHz through the codec into coarse and fine codes.
"""

import hashlib
import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import torch

from bark import commands
from bark.audio import load_audio
from bark.checkpoints import find_model
from bark.codec import Codec
from bark.commands import FAILED, OneLineParser, complain, number, say
from bark.devices import choose_device
from bark.errors import BarkError, SettingError, StorageError
from bark.hub import fetch_all
from bark.tokens import BARK, TokenLayout
from bark.version import __version__
from bark.voice import Voice

from .consent import ALLOWED, CONSENT, ask_at_terminal, check_consent, require_consent
from .encoder import SemanticEncoder, hub_files
from .features import SAMPLE_RATE
from .languages import LANGUAGES
from .reference import Finding, Report, examine

logger = logging.getLogger(__name__)

Recording = str | Path | np.ndarray


@dataclass(frozen=True)
class Clone:
    """A cloned voice, and what the recording was like."""

    voice: Voice
    report: Report
    findings: tuple[Finding, ...]  # the report's, and what the encoder has to say

    def said(self, recording: Recording) -> "Clone":
        """Log every finding as a warning and return this clone."""
        name = "the recording" if isinstance(recording, np.ndarray) else recording
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
    ) -> Self:
        """Load the parts that go with a Bark; a part that is given is used as it is.

        Parameters
        ----------
        model : the Bark that is to speak with the voices, by name, folder or hub id.
        language : of the recordings.
        quantizer : a quantizer file instead of the one for the language.
        """
        files = find_model(model)
        where, codec_where = choose_device(device), choose_device(device, "codec")
        place = files.places["codec"]
        wanted = [] if encoder else hub_files(model, language, quantizer)
        fetch_all(wanted if codec or place.path else [*wanted, *place.wanted])
        if encoder is None:
            encoder = SemanticEncoder.from_pretrained(model, language, quantizer=quantizer, device=where)
        if codec is None:
            codec = files.load_codec().to(codec_where)
        return cls(encoder, codec, files.layout, str(model), language)

    def clone(
        self,
        recording: Recording,
        *,
        sample_rate: int | None = None,
        start: float | None = None,
        end: float | None = None,
        consent: str | None = None,
    ) -> Clone:
        """Clone the voice of one recording; see `clone_voice`."""
        consent = check_consent(consent) if consent else None
        report = examine(recording, sample_rate=sample_rate, start=start, end=end)

        def window(rate: int) -> np.ndarray:
            return load_audio(recording, rate, source_rate=sample_rate, start=report.start, end=report.end)

        semantic = self.encoder.encode(window(SAMPLE_RATE), SAMPLE_RATE)
        fine = self.codec.encode(window(self.codec.sample_rate))  # (8, T)
        findings = report.findings
        if self.encoder.note:
            findings += (Finding("language", self.encoder.note),)
        info = {
            "source": "samples" if isinstance(recording, np.ndarray) else Path(recording).name,
            "source_sha256": _sha256(recording),
            "start": f"{report.start:.3f}",
            "end": f"{report.end:.3f}",
            "seconds": f"{report.seconds:.3f}",
            "checks": " ".join(finding.code for finding in findings) or "ok",
            "model": self.model,
            "language": self.language,
            "tool": f"bark-voice-booth {__version__}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if consent:
            info["consent"] = consent
        voice = Voice(semantic, fine[: self.layout.coarse_books], fine, info).canonical(self.layout)
        return Clone(voice, report, findings)


@overload
def clone_voice(recording: Recording, **options: Any) -> Voice: ...


@overload
def clone_voice(recording: Sequence[str | Path] | list[np.ndarray], **options: Any) -> list[Voice]: ...


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
    consent: str | None = None,
) -> Voice | list[Voice]:
    """Clone the voice of a recording; from a list of recordings, one voice each.

    Parameters
    ----------
    recording : an audio file, or samples (N,) or (N, channels) with their `sample_rate`.
    model : the Bark that is to speak with it: ``"large"``, ``"small"``, ``"nano"``, a folder or a hub id.
    language : of the recording, such as ``"de"``.
    start, end : seconds; by default the best ten seconds that end in a pause are taken (`hubert.examine`).
    quantizer : a quantizer file instead of the community's for the language.
    encoder, codec : ready-made parts to use instead of loading them.
    device : where HuBERT and the codec run.
    consent : whose voice it is and why you may clone it (`hubert.consent`); kept in the voice.

    Raises
    ------
    AudioError
        If the recording cannot be read, is silent, or holds less than 1.1 s.
    MissingFileError
        If a model is neither on this computer nor to be had.
    SettingError
        If Bark does not speak the language.
    """
    consent = check_consent(consent) if consent else None  # before anything is loaded
    cloner = Cloner.from_pretrained(
        model, language, quantizer=quantizer, encoder=encoder, codec=codec, device=device
    )
    one = isinstance(recording, (str, Path, np.ndarray))
    recordings: Sequence[Recording] = [recording] if one else recording  # type: ignore[list-item, assignment]
    voices = [
        cloner.clone(each, sample_rate=sample_rate, start=start, end=end, consent=consent).said(each).voice
        for each in recordings
    ]
    return voices[0] if one else voices


def _sha256(recording: Recording) -> str:
    """Return the hash of the file's bytes, or of the samples'."""
    if isinstance(recording, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(recording).tobytes()).hexdigest()
    with Path(recording).expanduser().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- the command --------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None, prog: str = "python -m hubert.clone") -> int:
    """Run the command line; return the exit code. Each recording that fails is one line on stderr."""
    return commands.run("clone", lambda: _work(build_parser(prog), argv))


def _work(parser: OneLineParser, argv: Sequence[str] | None) -> int:
    options = parser.parse_args(argv)
    if len(options.recordings) > 1 and options.output and Path(options.output).suffix == ".npz":
        parser.error("several recordings make several voices: give a folder with -o")
    if options.check:
        return _each(options.recordings, lambda path: _checked(path, options.start, options.end))
    places = _places(options.recordings, options.output, options.force)
    consent = require_consent(options.consent, ask_at_terminal)
    cloner = Cloner.from_pretrained(
        options.model, options.language, quantizer=options.quantizer, device=options.device
    )

    def clone(path: Path) -> tuple[str, tuple[Finding, ...]]:
        made = cloner.clone(path, start=options.start, end=options.end, consent=consent)
        saved = made.voice.save(places[path], cloner.layout)
        voice = made.voice
        return f"{saved}: {len(voice.semantic)} tokens from {made.report}", made.findings

    return _each(options.recordings, clone)


def _each(paths: Sequence[Path], job: Callable[[Path], tuple[str, tuple[Finding, ...]]]) -> int:
    """Do a job for each recording; say its result in one line, its findings and failures on stderr."""
    code = 0
    for path in paths:
        try:
            line, findings = job(path)
        except BarkError as error:
            code = complain("clone", str(error), error.exit_code if len(paths) == 1 else FAILED)
            continue
        say(f"{line}, checks: {' '.join(found.code for found in findings) or 'ok'}")
        for found in findings:
            say(f"{path}: {found.code}: {found.message}", sys.stderr)
    return code


def _checked(path: Path, start: float | None, end: float | None) -> tuple[str, tuple[Finding, ...]]:
    report = examine(path, start=start, end=end)
    return f"{path}: {report}", report.findings


def _places(recordings: Sequence[Path], output: str | None, force: bool) -> dict[Path, Path]:
    """Choose the file of each voice; nothing that exists is overwritten unless `force`."""
    into = Path(output or ".")
    if output and into.suffix == ".npz":
        places = {recordings[0]: into}
    elif output and len(recordings) == 1 and not into.is_dir() and not output.endswith(("/", "\\")):
        places = {recordings[0]: into.with_name(into.name + ".npz")}
    else:
        places = {path: into / f"{path.stem}.npz" for path in recordings}
    twice = [place for place, count in Counter(places.values()).items() if count > 1]
    if twice:
        raise SettingError("two recordings would make the same voice", twice[0], fix="Rename one")
    there = [str(place) for place in places.values() if place.exists()]
    if there and not force:
        raise StorageError(
            "already there", ", ".join(there), fix="Choose another name with -o, or add --force"
        )
    return places


def build_parser(prog: str = "python -m hubert.clone") -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog=prog,
        description="Clone a voice from a recording, as a history prompt (.npz) for Bark.",
        epilog="Clone only voices whose owners agreed. Bark hears at most the last 6.8 s of the window. "
        + commands.EXIT_CODES,
    )
    parser.add_argument("recordings", nargs="+", type=Path, metavar="RECORDING", help="wav, flac, mp3 or ogg")
    parser.add_argument(
        "-o",
        "--output",
        type=commands.FILE,
        metavar="FILE",
        help="the voice (default: ./NAME.npz); a folder for several",
    )
    parser.flag(
        "--model",
        commands.MODEL,
        "the Bark that is to speak: large (default), small, nano, a folder, a hub id",
        "large",
    )
    parser.flag("--language", commands.WORD, f"of the recording: {', '.join(LANGUAGES)} (default: en)", "en")
    parser.flag("--quantizer", commands.FILE, "a quantizer file, or nano's kmeans or lstm, not the usual one")
    parser.flag("--start", number(), "where the window starts, in seconds (default: chosen)")
    parser.flag("--end", number(), "where the window ends, in seconds (default: at a pause)")
    parser.flag("--consent", CONSENT, f"whose voice it is, kept in the file: {ALLOWED}")
    parser.flag("--device", commands.DEVICE, "auto (default), cpu, cuda or mps", "auto")
    parser.add_argument("--force", action="store_true", help="overwrite an existing voice")
    parser.add_argument(
        "--check", action="store_true", help="only measure; needs no model and writes nothing"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
