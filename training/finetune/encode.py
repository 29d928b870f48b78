"""Encodes recordings and their texts into the tokens that Bark is fine-tuned on.

Lines that cannot be used are skipped, and ``report.json`` says which and why. What is finished is
kept: after a crash or a correction only the rest is computed."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bark.audio.read import load_audio, open_audio
from bark.errors import BarkError, SettingError, StorageError
from bark.storage.atomic import atomic_write_text
from bark.text.tidy import TextTokenizer
from bark.voice.voice import Voice
from hubert.clone import Cloner
from hubert.features import SAMPLE_RATE
from training.engine.progress import SILENT, Progress

from .data import Entry, VoiceData, split_entries, token_file
from .options import VALIDATION
from .transcripts import (
    TRAIN,
    VALID,
    BadLine,
    LineError,
    Transcript,
    Utterance,
    read_transcript,
)

logger = logging.getLogger(__name__)

REPORT = "report.json"
SHORTEST, LONGEST = 0.5, 30.0  # s of a recording
FASTEST = 40.0  # characters a second; hurried English has about 25
MIN_LETTERS = 20  # texts shorter than this say nothing about the pace


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
    progress: Progress = SILENT,
) -> PrepareReport:
    """Make the tokens of every line of a transcript.

    Parameters
    ----------
    folder : with ``metadata.csv`` or ``train.txt``.
    out : gets ``data.json``, ``tokens/`` and ``report.json``.
    cloner : the encoders and the layout of the Bark to be fine-tuned.
    tokenizer : that Bark's.
    validation : share of utterances that validate, chosen by the hash of their names; where the
        folder has a ``valid.txt``, its utterances validate instead.

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
    with progress.task("preparing", len(transcript.utterances), "recording") as advance:
        for utterance in transcript.utterances:
            advance(1)
            try:
                entry, fresh = _entry(utterance, out, cloner, tokenizer, mark)
            except StorageError:
                raise
            except BarkError as error:
                why = str(error).replace(f"{utterance.recording}: ", "")
                told = f"{utterance.recording.name}: {why}"
                refused.append(BadLine(utterance.line, told, utterance.transcript))
                continue
            entries.append(entry)
            kept += not fresh
    refused.sort(key=lambda bad: (bad.transcript, bad.line))
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
    validating = sum(entry.validates for entry in entries)
    if transcript.has_valid and validating in (0, len(entries)):
        raise SettingError(
            f"usable lines in {TRAIN} and {VALID}",
            f"{len(entries) - validating} and {validating}",
            "1 or more in each",
        )
    long = [
        BadLine(
            entry.line,
            f"{entry.name}: {entry.tokens} tokens of speech, {len(entry.text_ids)} of text",
            VALID if entry.validates else transcript.path.name,
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
            utterance.name,
            utterance.line,
            utterance.text,
            text_ids,
            tokens,
            frames,
            voice.digest,
            utterance.validates,
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


def summary(report: PrepareReport) -> str:
    """Tell in a few lines what became of the lines."""
    figures = report.to_dict()
    lines = [
        f"{figures['usable']} of {report.lines} lines, {report.seconds / 60:.1f} min: "
        f"{report.computed} computed, {report.kept} kept; {figures['train']} train, "
        f"{figures['validation']} validate"
    ]
    if any(entry.validates for entry in report.data.entries):
        lines[0] += f", as {VALID} says"
    if report.acoustic_only:
        lines.append(
            f"{len(report.acoustic_only)} are too long for the semantic stage and teach coarse "
            "and fine only"
        )
    lines += [f"{bad.transcript} line {bad.line}: {bad.why}" for bad in report.refused[:20]]
    if report.refused:
        lines.append(
            f"skipped {len(report.refused)} lines, all of them in {report.data.folder / REPORT}"
        )
    return "\n".join(lines)
