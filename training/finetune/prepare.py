"""Recordings and their transcript to text, semantic, coarse and fine tokens, for fine-tuning Bark
on a voice.

    python -m training.finetune.prepare DATA --out DIR --model NAME

DATA holds ``metadata.csv`` and ``wavs/`` (LJSpeech) or ``train.txt`` with lines ``path|text``.
Lines that cannot be used are skipped, and DIR/report.json says which and why. Run it again after a
crash or a correction: what is finished is kept."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from bark import commandline
from bark.audio.read import load_audio, open_audio
from bark.checkpoints.find import find_model
from bark.commandline import OneLineParser, choice, number, say
from bark.errors import BarkError, MissingFileError, SettingError, StorageError
from bark.storage.atomic import atomic_write_text
from bark.text.tidy import TextTokenizer
from bark.voice.voice import Voice
from hubert.clone import Cloner
from hubert.features import SAMPLE_RATE
from hubert.quantizer.languages import LANGUAGES

from .data import Entry, VoiceData, split_entries, token_file
from .transcripts import BadLine, LineError, Transcript, Utterance, read_transcript

logger = logging.getLogger(__name__)

REPORT = "report.json"
SHORTEST, LONGEST = 0.5, 30.0  # s of a recording
FASTEST = 40.0  # characters a second; hurried English has about 25
MIN_LETTERS = 20  # texts shorter than this say nothing about the pace
VALIDATION = 0.05


@dataclass(frozen=True)
class PrepareReport:
    """What became of the lines."""

    data: VoiceData
    lines: int
    computed: int  # made by this run
    kept: int  # found finished
    refused: tuple[BadLine, ...]
    acoustic_only: tuple[BadLine, ...]  # lines too long for the semantic stage

    @property
    def seconds(self) -> float:
        """Of speech in all usable lines."""
        return sum(entry.frames for entry in self.data.entries) / self.data.layout.coarse_rate

    def to_dict(self) -> dict[str, object]:
        """Return the report as ``report.json`` has it."""
        train, validating = split_entries(self.data.entries, self.data.validation)
        return {
            "lines": self.lines,
            "usable": len(self.data.entries),
            "seconds": round(self.seconds, 1),
            "train": len(train),
            "validation": len(validating),
            "refused": [asdict(bad) for bad in self.refused],
            "acoustic_only": [asdict(bad) for bad in self.acoustic_only],
        }


def prepare(
    folder: Path,
    out: Path,
    cloner: Cloner,
    tokenizer: TextTokenizer,
    validation: float = VALIDATION,
    progress: bool = False,
) -> PrepareReport:
    """Make the tokens of every line of a transcript.

    Parameters
    ----------
    folder : with ``metadata.csv`` or ``train.txt``.
    out : gets ``data.json``, ``tokens/`` and ``report.json``.
    cloner : the encoders and the layout of the Bark to be fine-tuned.
    tokenizer : that Bark's.
    validation : share of utterances that validate, chosen by the hash of their names.

    Raises
    ------
    MissingFileError
        If there is no transcript.
    SettingError
        If fewer than two lines can be used.
    StorageError
        If a file cannot be written; finished ones are kept.
    """
    if not 0 < validation < 1:
        raise SettingError("validation", validation, "a share between 0 and 1")
    transcript = read_transcript(folder)
    mark = parts_mark(cloner)
    refused = list(transcript.refused)
    entries: list[Entry] = []
    kept = 0
    for utterance in tqdm(transcript.utterances, disable=not progress, unit="recording"):
        try:
            entry, fresh = _entry(utterance, out, cloner, tokenizer, mark)
        except StorageError:
            raise
        except BarkError as error:
            why = str(error).replace(f"{utterance.recording}: ", "")
            refused.append(BadLine(utterance.line, f"{utterance.recording.name}: {why}"))
            continue
        entries.append(entry)
        kept += not fresh
    refused.sort(key=lambda bad: bad.line)
    return _finish(transcript, out, cloner, validation, entries, refused, kept)


def _finish(
    transcript: Transcript,
    out: Path,
    cloner: Cloner,
    validation: float,
    entries: list[Entry],
    refused: list[BadLine],
    kept: int,
) -> PrepareReport:
    """Write list and report."""
    layout = cloner.layout
    if len(entries) < 2:
        first = f"; line {refused[0].line}: {refused[0].why}" if refused else ""
        raise SettingError(
            f"usable lines in {transcript.path}", f"{len(entries)}{first}", "2 or more"
        )
    long = [
        BadLine(
            entry.line,
            f"{entry.name}: {entry.tokens} tokens of speech, {len(entry.text_ids)} of text",
        )
        for entry in entries
        if not entry.fits_semantic(layout)
    ]
    data = VoiceData(out, cloner.model, layout, validation, tuple(entries))
    lines = len(transcript.utterances) + len(transcript.refused)
    report = PrepareReport(data, lines, len(entries) - kept, kept, tuple(refused), tuple(long))
    atomic_write_text(
        out / REPORT, json.dumps(report.to_dict(), ensure_ascii=False, indent=1) + "\n"
    )
    data.save()
    return report


def _entry(
    utterance: Utterance, out: Path, cloner: Cloner, tokenizer: TextTokenizer, mark: str
) -> tuple[Entry, bool]:
    """Return a line's entry, and whether its tokens were computed now."""
    text_ids = tuple(tokenizer.encode(utterance.text))
    if not text_ids:
        raise LineError("the tokenizer knows nothing in its text", got=repr(utterance.text[:40]))
    seconds = open_audio(utterance.recording).duration
    if not SHORTEST <= seconds <= LONGEST:
        raise LineError("its length", f"{seconds:.1f} s", f"{SHORTEST} … {LONGEST} s")
    letters = len(utterance.text)
    if letters >= MIN_LETTERS and letters > FASTEST * seconds:
        raise LineError(
            f"{letters} characters in {seconds:.1f} s: nobody speaks so fast",
            fix="Is this the text of another recording?",
        )
    path = token_file(out, utterance.name)
    with utterance.recording.open("rb") as file:
        made_from = f"{hashlib.file_digest(file, 'sha256').hexdigest()} {mark}"
    voice = _finished(path, cloner, made_from)
    fresh = voice is None
    if voice is None:
        voice = _tokens(utterance.recording, cloner, {"source": utterance.recording.name})
        Voice(voice.semantic, voice.coarse, voice.fine, voice.info | {"made_from": made_from}).save(
            path, cloner.layout
        )
    tokens, frames = len(voice.semantic), voice.fine.shape[1]
    return (
        Entry(
            utterance.name, utterance.line, utterance.text, text_ids, tokens, frames, voice.digest
        ),
        fresh,
    )


def _finished(path: Path, cloner: Cloner, made_from: str) -> Voice | None:
    """Return the tokens on disk if they were made from the same recording with the same parts."""
    if not path.is_file():
        return None
    try:
        voice = Voice.load(path, cloner.layout)
    except BarkError as error:
        logger.warning("%s; made anew", error)
        return None
    return voice if voice.info.get("made_from") == made_from else None


def _tokens(recording: Path, cloner: Cloner, info: dict[str, str]) -> Voice:
    """Return a whole recording through both encoders, each resampled straight from the source.

    The number of semantic tokens is even, for which 1.5 frames a token are whole frames: utterances
    that are joined for a window then stay in step."""
    semantic = cloner.encoder.encode(load_audio(recording, SAMPLE_RATE), SAMPLE_RATE)
    fine = cloner.codec.encode(load_audio(recording, cloner.codec.sample_rate))
    books = cloner.layout.coarse_books
    voice = Voice(semantic, fine[:books], fine).canonical(cloner.layout)
    even = len(voice.semantic) // 2 * 2
    return Voice(voice.semantic[:even], voice.coarse, voice.fine, info).canonical(cloner.layout)


def parts_mark(cloner: Cloner) -> str:
    """Return a digest of what both encoders make of a second of noise: other weights,
    other mark.
    """
    noise = np.random.default_rng(0).normal(0, 0.1, cloner.codec.sample_rate).astype(np.float32)
    heard = cloner.encoder.encode(noise[:SAMPLE_RATE], SAMPLE_RATE), cloner.codec.encode(noise)
    return hashlib.sha256(b"".join(tokens.astype("<i8").tobytes() for tokens in heard)).hexdigest()[
        :16
    ]


def summary(report: PrepareReport, transcript: str) -> str:
    """Tell in a few lines what became of the lines."""
    figures = report.to_dict()
    lines = [
        f"{figures['usable']} of {report.lines} lines, {report.seconds / 60:.1f} min: "
        f"{report.computed} computed, {report.kept} kept; {figures['train']} train, "
        f"{figures['validation']} validate"
    ]
    if report.acoustic_only:
        lines.append(
            f"{len(report.acoustic_only)} are too long for the semantic stage and teach coarse "
            "and fine only"
        )
    lines += [f"{transcript} line {bad.line}: {bad.why}" for bad in report.refused[:20]]
    if report.refused:
        lines.append(
            f"skipped {len(report.refused)} lines, all of them in {report.data.folder / REPORT}"
        )
    return "\n".join(lines)


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog="python -m training.finetune.prepare",
        description=(__doc__ or "").splitlines()[0],
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument(
        "folder", type=Path, metavar="DATA", help="wavs/ + metadata.csv, or train.txt"
    )
    parser.flag("--out", commandline.FOLDER, "folder for the tokens", required=True)
    parser.flag(
        "--model",
        commandline.MODEL,
        "the Bark to be fine-tuned: large (default), small, nano, a folder, a hub id",
        "large",
    )
    language = commandline.Kind("CODE", choice(*LANGUAGES))
    parser.flag("--language", language, f"spoken: {', '.join(LANGUAGES)} (default: en)", "en")
    parser.flag(
        "--quantizer", commandline.FILE, "a quantizer file instead of the one for the language"
    )
    parser.flag(
        "--validation",
        number(0, 0.9, above=True),
        f"share of lines (default: {VALIDATION})",
        VALIDATION,
    )
    parser.flag("--device", commandline.DEVICE, "auto (default), cpu, cuda or mps", "auto")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the data can be trained on."""
    return commandline.run("prepare", lambda: _work(argv))


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not arguments.folder.is_dir():
        raise MissingFileError(f"no folder {arguments.folder}")
    name = read_transcript(arguments.folder).path.name  # before the models: it may be missing
    cloner = Cloner.from_pretrained(
        arguments.model, arguments.language, quantizer=arguments.quantizer, device=arguments.device
    )
    tokenizer = find_model(arguments.model).load_tokenizer()
    try:
        report = prepare(
            arguments.folder,
            Path(arguments.out),
            cloner,
            tokenizer,
            arguments.validation,
            sys.stderr.isatty(),
        )
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(
            "What is finished is kept: give the same command again to go on."
        ) from interrupt
    say(summary(report, name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
