"""Measures a trained nano with voices it never heard, and writes every figure with its spread."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from bark.checkpoints.find import find_model
from bark.codec.base import Codec
from bark.pipeline import Bark
from bark.storage.atomic import atomic_write_text
from bark.text.english.phones import PhoneTokenizer
from bark.voice.voice import Voice
from hubert.clone import Cloner
from hubert.encoder import hubert_folder
from hubert.judge import Recogniser, VoiceEmbedder
from training.engine.metrics import edit_distance
from training.engine.progress import SILENT, Progress
from training.nano.corpus.synthesis import SAMPLE_RATE
from training.nano.corpus.texts import jsgf
from training.nano.hubert.tokens import unit_report
from training.nano.stages import HUBERT, unit_phones

from .measures import Figure, centroid, figure, intelligibility, nearest_voice, quality
from .pictures import draw_spectrograms
from .prosody import commas_paused, speaking_rate
from .speed import measure_speed
from .trials import Clip, TestVoice, choose, copy_synthesis, held_out_voices, recorded_voices, speak

SAMPLE_TEXT = "The old man found seven red boats near the river."
SHORTEST_PHONE = 2  # units
CODEC_SECONDS = 8.0  # of each real recording that the codec is measured on
REAL_CLIPS = 10  # of each real speaker
BY_HAND = "## What is weak, and why"  # the first heading that the report does not write itself


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    what: str
    target: float | None  # None: reported only
    measured: Figure
    above: bool = True  # the target is a minimum, else a maximum

    @property
    def reached(self) -> str:
        """Return "yes", "no" or "-"."""
        if self.target is None:
            return "-"
        good = (
            self.measured.value >= self.target if self.above else self.measured.value <= self.target
        )
        return "yes" if good else "no"

    def __str__(self) -> str:
        sign = "≥" if self.above else "≤"
        target = "" if self.target is None else f"{sign} {self.target:g}"
        return f"| {self.what} | {target} | {self.measured} | {self.reached} |"


class Judges:
    """The recognisers and the speaker encoder, each loaded once."""

    def __init__(self) -> None:
        self.words = {kind: Recogniser(jsgf(kind)) for kind in ("digits", "number", "template")}
        self.embed = VoiceEmbedder()

    def word_errors(self, clips: Sequence[Clip], kinds: Sequence[str]) -> Figure:
        """Return the word error rate over clips of some kinds; trials are clips."""
        wrong, total = [], []
        for clip in clips:
            if clip.kind in kinds:
                wanted = clip.text.replace(",", "").split()
                wrong.append(edit_distance(wanted, self.words[clip.kind](clip.audio)))
                total.append(len(wanted))
        return figure(wrong, total)

    def voices(self, clips: Sequence[Clip], references: np.ndarray) -> dict[str, Figure]:
        """Return likeness to the own reference, its margin over the others, how often it is
        nearest.
        """
        found = [nearest_voice(self.embed(clip.audio), references, clip.voice) for clip in clips]
        return {
            "likeness": figure([one.own for one in found]),
            "margin": figure([one.margin for one in found]),
            "nearest": figure([float(one.margin > 0) for one in found]),
        }

    def references(self, voices: Sequence[TestVoice]) -> np.ndarray:
        """Return one embedding a voice ``(R, 256)``, of utterances that the cloner did not see."""
        return np.stack(
            [centroid([self.embed(clip) for clip in voice.references]) for voice in voices]
        )


def codec_rows(codec: Codec, voices: Sequence[TestVoice], judges: Judges) -> list[Row]:
    """Measure the codec on recordings of unseen speakers."""
    clips = [
        clip[: int(CODEC_SECONDS * codec.sample_rate)]
        for voice in voices
        for clip in voice.references
    ]
    rows = []
    for books, goals in ((8, (0.93, 2.8, 0.96)), (2, (0.86, None, None))):
        copies = [codec.decode(codec.encode(clip)[:books])[: len(clip)] for clip in clips]
        pairs = list(zip(clips, copies, strict=True))
        name = f"codec, unseen real speakers, {books} books"
        rows += [
            Row(f"{name}: STOI", goals[0], figure([intelligibility(*pair) for pair in pairs])),
            Row(f"{name}: PESQ-wb", goals[1], figure([quality(*pair) for pair in pairs])),
            Row(
                f"{name}: likeness to the original",
                goals[2],
                figure([float(judges.embed(a) @ judges.embed(b)) for a, b in pairs]),
            ),
        ]
    return rows


def unit_rows(work: Path, hubert: Path, real: Path) -> list[Row]:
    """Measure what the semantic units carry."""
    found = unit_report(work, hubert, real)
    frames = int(found["held_out_frames"])

    def exact(key: str) -> Figure:
        return Figure(found[key], found[key], found[key], frames)

    return [
        Row("units, held-out voices: phone NMI (n = frames)", 0.75, exact("phone_nmi")),
        Row(
            "units, held-out voices: speaker NMI (n = frames)",
            0.20,
            exact("speaker_nmi"),
            above=False,
        ),
    ]


def synthetic_rows(
    bark: Bark, cloner: Cloner, work: Path, hubert: Path, texts: int, judges: Judges
) -> list[Row]:
    """Clone the held-out synthetic voices and measure words and likeness, beside the originals."""
    tests = held_out_voices(work)
    voices = [clone(cloner, test.prompt) for test in tests]
    references = judges.references(tests)
    numbers = [choose(test, ("digits", "number"), texts // 2) for test in tests]
    others = [choose(test, ("template", "open"), texts) for test in tests]
    wanted = [
        [(kind, text) for kind, text, _ in a + b] for a, b in zip(numbers, others, strict=True)
    ]
    originals = [
        Clip(index, kind, text, audio)
        for index, (a, b) in enumerate(zip(numbers, others, strict=True))
        for kind, text, audio in a + b
    ]
    spoken = list(speak(bark, voices, wanted))
    digits = [choose(test, ("digits",), texts // 2) for test in tests]
    encode = partial(cloner.encoder.encode, sample_rate=24_000)
    copies = list(copy_synthesis(bark, encode, voices, digits))
    copied = judges.voices(copies, references)
    cloned = judges.voices(spoken, references)
    count, misheard = len(tests), judges.word_errors
    rows = [
        Row("copy synthesis: digit WER", 0.12, misheard(copies, ("digits",)), above=False),
        Row("copy synthesis: likeness", 0.82, copied["likeness"]),
        Row("copy synthesis: nearest voice is its own", None, copied["nearest"]),
    ]
    for kinds, name, goal in (
        (("digits", "number"), "digits and numbers", 0.12),
        (("template",), "template sentences", 0.15),
    ):
        rows += [
            Row(f"clone and speak, {name}: WER", goal, misheard(spoken, kinds), above=False),
            Row(f"— original audio, {name}: WER", None, misheard(originals, kinds), above=False),
        ]
    rows += prosody_rows(spoken, originals)
    hear = PhoneListener(work, cloner)
    rows += [
        Row("open English text: phone error rate", 0.35, phone_errors(spoken, hear), above=False),
        Row("— original audio: phone error rate", None, phone_errors(originals, hear), above=False),
        Row(
            f"likeness, {count} held-out voices: own reference is nearest", 0.90, cloned["nearest"]
        ),
        Row("— margin to the nearest other", 0.10, cloned["margin"]),
        Row("— likeness to the own reference", None, cloned["likeness"]),
    ]
    return rows


def prosody_rows(spoken: Sequence[Clip], originals: Sequence[Clip]) -> list[Row]:
    """Measure speaking rate and pauses of clips beside the original audio of the same texts."""
    rate = speaking_rate(spoken, originals)
    edges = sorted(abs(edge - 1) for edge in (rate.low, rate.high))
    least = 0.0 if rate.low <= 1 <= rate.high else edges[0]
    distance = Figure(abs(rate.value - 1), least, edges[1], rate.trials)
    return [
        Row("speaking rate over the original audio's", None, rate),
        Row("— its distance from 1", 0.1, distance, above=False),
        Row("share of commas with a pause", 0.8, commas_paused(spoken)),
        Row("— original audio: share of commas with a pause", None, commas_paused(originals)),
    ]


def real_rows(
    bark: Bark, cloner: Cloner, work: Path, real: Sequence[TestVoice], judges: Judges
) -> list[Row]:
    """Clone real speakers and let them say held-out texts: digits, which are short,
    and sentences.
    """
    voices = [clone(cloner, test.prompt) for test in real]
    references, name = judges.references(real), f"{len(real)} real speakers"
    rows = []
    for kind, what, goals in (
        ("digits", "digits", (0.6, 0.05)),
        ("template", "sentences", (None, None)),
    ):
        texts = [
            (kind, t)
            for test in held_out_voices(work)
            for _, t, _ in choose(test, (kind,), REAL_CLIPS)
        ]
        wanted = [texts[start : start + REAL_CLIPS] for start in range(0, len(texts), REAL_CLIPS)]
        clips = list(speak(bark, voices, wanted[: len(real)]))
        found = judges.voices(clips, references)
        seconds = np.mean([len(clip.audio) / SAMPLE_RATE for clip in clips])
        nearest = (
            f"likeness, {name}, {what} ({seconds:.1f} s): own reference is nearest (3 of 5 is 0.6)"
        )
        rows += [
            Row(nearest, goals[0], found["nearest"]),
            Row("— margin to the nearest other", goals[1], found["margin"]),
            Row("— likeness to the own reference", None, found["likeness"]),
            Row(
                f"clone and speak, {name}, {what}: WER",
                None,
                judges.word_errors(clips, (kind,)),
                above=False,
            ),
        ]
    return rows


def sample_of(bark: Bark, cloner: Cloner, test: TestVoice) -> np.ndarray:
    """Return a sentence in the clone of a voice."""
    return bark.generate(SAMPLE_TEXT, clone(cloner, test.prompt), seed=0).audio


def clone(cloner: Cloner, audio: np.ndarray) -> Voice:
    """Clone ``(N,)`` audio at 24 kHz."""
    return cloner.clone(audio, sample_rate=24_000).voice


class PhoneListener:
    """Phones of audio through nano's own units: each unit is taken for the phone it most often
    stood for.

    A recogniser of our own, since pocketsphinx hears open phones badly: every second one is wrong
    even in the original audio. What it makes of the original audio stands beside each figure."""

    def __init__(self, work: Path, cloner: Cloner) -> None:
        self.cloner = cloner
        self.phone_of_unit = unit_phones(work, cloner.layout)

    def __call__(self, audio: np.ndarray) -> list[str]:
        """Return the phones heard in ``(N,)`` audio at 24 kHz."""
        return self.phones(self.cloner.encoder.encode(audio, 24_000))

    def phones(self, units: np.ndarray) -> list[str]:
        """Return the phones of units: each run counts once, a single unit (20 ms)
        does not count.
        """
        runs = [
            (phone, len(list(run)))
            for phone, run in groupby(self.phone_of_unit[unit] for unit in units)
        ]
        lasting = [phone for phone, length in runs if length >= SHORTEST_PHONE and phone != "pau"]
        return [phone for phone, _ in groupby(lasting)]


def phone_errors(clips: Sequence[Clip], hear: PhoneListener) -> Figure:
    """Return the phone error rate of the clips that speak open text."""
    tokenizer = PhoneTokenizer()
    wrong, total = [], []
    for clip in clips:
        if clip.kind == "open":
            symbols = tokenizer.decode(tokenizer.encode(clip.text)).split()
            spoken = [symbol.rstrip("01").lower() for symbol in symbols if symbol != ","]
            wanted = [phone for i, phone in enumerate(spoken) if i == 0 or phone != spoken[i - 1]]
            wrong.append(edit_distance(wanted, hear(clip.audio)))
            total.append(len(wanted))
    return figure(wrong, total)


def write_report(path: Path, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Write the table and what was measured beside it; what people wrote behind BY_HAND stays."""
    by_hand = path.read_text().partition(BY_HAND)[1:] if path.is_file() else ("", "")
    lines = [
        "# What nano can do, measured",
        "",
        "Means with 95 % bootstrap intervals; held-out voices, texts and speakers only.",
        "Words: pocketsphinx, closed grammar. Likeness: cosine to utterances of the voice that the "
        "cloner",
        "did not see, by Resemblyzer's speaker encoder, which `hubert.likeness` reads (the package "
        "itself is",
        "not needed). Open phones: recognised by nano's own units. One seed, no listening.",
        "",
        "| what | reach | measured (95 %) | reached |",
        "|---|---|---|---|",
        *map(str, rows),
        "",
        *notes,
        "",
    ]
    atomic_write_text(path, "\n".join(lines) + "\n" + "".join(by_hand))


def report(options: argparse.Namespace, progress: Progress = SILENT) -> None:
    """Measure everything and write the report."""
    bark = Bark.from_pretrained(options.model)
    cloner = Cloner.from_pretrained(options.model)
    hubert = hubert_folder(options.model) or options.work / HUBERT
    judges = Judges()
    real = recorded_voices(options.real)
    with progress.task("measuring", 5, "part") as advance:
        rows = codec_rows(cloner.codec, real, judges)
        advance(1)
        rows += unit_rows(options.work, hubert, options.real)
        advance(1)
        rows += synthetic_rows(bark, cloner, options.work, hubert, options.texts, judges)
        advance(1)
        rows += real_rows(bark, cloner, options.work, real, judges)
        advance(1)
        speed = measure_speed(options.model)
        advance(1)
    rows += [
        Row("speed: seconds from import to the first audio file", 6, speed.first, above=False),
        Row("speed: real-time factor", 0.5, speed.factor, above=False),
        Row("speed: peak memory, MB", 700, speed.memory, above=False),
    ]
    picture = options.out.with_name("spectrograms.png")
    shown = held_out_voices(options.work)[:2] + real[:1]
    draw_spectrograms(
        picture, [(test.name, test.prompt, sample_of(bark, cloner, test)) for test in shown]
    )
    place = find_model(options.model).path("semantic")
    folder = place if place.is_dir() else place.parent
    files = [*folder.glob("*.safetensors"), hubert / "model.safetensors", *hubert.glob("*.pth")]
    size = sum(file.stat().st_size for file in files) / 1e6
    half = options.texts // 2
    notes = [
        f"Measured on {datetime.now(UTC):%F}. Texts for each held-out voice: {half} of digits, "
        f"{half} of",
        f"numbers, {options.texts} templates, {options.texts} open; for each real speaker "
        f"{REAL_CLIPS}.",
        f"Threads for the speed: {speed.threads}. Size of all weights: {size:.1f} MB (float16).",
        "",
        f"![spectrograms of references and clones]({picture.name})",
    ]
    write_report(options.out, rows, notes)
