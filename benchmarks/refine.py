"""Whether refining a clone (`hubert.refine_voice`) makes it speak more like its speaker, on nano.

    python -m benchmarks.refine [REAL] --out rows.jsonl [--takes 8] [--voices NAME ...]

REAL holds a folder for each real speaker; the first recording of 6 s or more is cloned and refined,
the others are unheard. Ten held-out synthetic voices are made besides where flite is installed.
Each voice adds a line to the file; a run that was stopped goes on. Words and likeness need the
extra ``judge``, the mixtures scikit-learn.

A candidate's utterances are compared with the voice's in pairs of the same text and seed that had
no part in choosing it: by resemblyzer, which chose, but here to unheard utterances; and by Gaussian
mixtures of cepstra, which had no part in anything (log-likelihood under the speaker's own mixture
less the mean of the others', nats a frame). A promoted voice is measured again on texts of its own,
since the trial's decided on it; what is not promoted gains nothing. The last line is one JSON
object.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bark.errors import BarkError
from bark.pipeline import Bark
from bark.speech import Generation
from bark.text.distance import edit_distance
from bark.voice.voice import Voice
from hubert.clone import Cloner
from hubert.judge import own_words, spoken_words
from hubert.refine import Refinement, Refiner
from hubert.refine.trial import Interval
from training.nano.corpus.grammar import GRAMMARS
from training.nano.corpus.synthesis import speak
from training.nano.corpus.texts import is_held_out
from training.nano.corpus.voices import HELD_OUT
from training.nano.report.measures import centroid
from training.nano.report.trials import TestVoice, recorded_voices

RATE = 24_000  # Hz
PROMPT, UNHEARD = 6.0, 8  # s of a synthetic prompt; its other utterances
KINDS = ("template", "number", "digits", "template")
FRESH = 12  # texts that a promoted voice is measured on
LEARNED = 30  # s of each speaker that a mixture learns from
CEPSTRA, BANDS, COMPONENTS = 14, 26, 8


@dataclass
class SpeakerMixtures:
    """The judge that had no part: a Gaussian mixture of cepstra for each speaker."""

    mixtures: list[Any]

    @classmethod
    def of(cls, bark: Bark, voices: Sequence[TestVoice]) -> "SpeakerMixtures":
        """Learn each speaker's unheard utterances as the codec gives them back."""
        from sklearn.mixture import GaussianMixture

        mixtures = []
        for voice in voices:
            audio = np.concatenate(voice.references)[: LEARNED * RATE]
            frames = cepstra(bark.decode(bark.codec.encode(audio)))
            mixture = GaussianMixture(COMPONENTS, covariance_type="diag", random_state=0)
            mixtures.append(mixture.fit(frames))
        return cls(mixtures)

    def __call__(self, audio: np.ndarray, own: int) -> float:
        """Return how much likelier a clip (N,) is its own speaker's than the mean other's."""
        scores = [mixture.score(cepstra(audio)) for mixture in self.mixtures]
        return float(scores[own] - np.mean(np.delete(scores, own)))


def cepstra(audio: np.ndarray) -> np.ndarray:
    """Return the cepstra (frames, 13) of the louder frames of (N,), without the level."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(513, BANDS, 60.0, 7_600.0, RATE, norm="slaney", mel_scale="htk")
    frames = np.lib.stride_tricks.sliding_window_view(audio, 1024)[::240] * np.hanning(1024)
    logs = np.log(np.abs(np.fft.rfft(frames)) ** 2 @ filters + 1e-8)
    level = logs.mean(axis=1)
    steps = np.outer(np.arange(1, CEPSTRA), np.arange(BANDS) + 0.5) * np.pi / BANDS
    return (logs @ np.cos(steps).T / BANDS)[level > level.max() - 4.0]


def synthetic_voices() -> list[TestVoice]:
    """Speak prompts and other utterances, with their texts, of the ten voices that nano never
    heard."""
    voices = []
    for index, recipe in enumerate(HELD_OUT):
        rng = random.Random(index)
        prompt: list[np.ndarray] = []
        while sum(map(len, prompt)) < PROMPT * RATE:
            prompt.append(speak(_text(rng, len(prompt)), recipe).audio)
        texts = [_text(rng, number) for number in range(UNHEARD)]
        others = tuple(speak(text, recipe).audio for text in texts)
        kinds = (KINDS[number % len(KINDS)] for number in range(UNHEARD))
        tests = tuple(zip(kinds, texts, others, strict=True))
        voices.append(TestVoice(recipe.name, np.concatenate(prompt), others, tests))
    return voices


def _text(rng: random.Random, number: int) -> str:
    """Draw a text that nano never learned."""
    while True:
        words = GRAMMARS[KINDS[number % len(KINDS)]].sample(rng)
        if is_held_out(words):
            return words


def measured(
    refiner: Refiner,
    judge: SpeakerMixtures,
    voices: Sequence[TestVoice],
    own: int,
    base: Voice,
    takes: int,
) -> dict[str, Any]:
    """Refine one voice and compare it with what it was."""
    bark, voice = refiner.bark, voices[own]
    found = refiner.refine(base, (RATE, voice.prompt), takes, seed=own)
    unheard = centroid([refiner.speaker.embed(audio, RATE) for audio in voice.references])

    def like(audio: np.ndarray) -> float:
        return float(refiner.speaker.embed(audio, RATE) @ unheard)

    def row(before: Generation, after: Generation) -> dict[str, list[float]]:
        sides = (before, after)
        return {
            "likeness": [like(side.audio) for side in sides],
            "cepstra": [judge(side.audio, own) for side in sides],
            "wrong": [_wrong(side) for side in sides],
            "words": [len(spoken_words(side.text)) for side in sides],
        }

    heard = found.trial.heard if found.trial else []
    return {
        "takes": [
            {"score": t.scores.total, "to unheard": like(t.take.audio), "audition": t.audition}
            for t in found.takes
        ],
        "prompt": like(bark.decode(base.fine)),
        "audition": found.base_audition,
        "result": found.result(),
        "promoted": found.promoted,
        "candidate": [row(p.before, p.after) for p in heard if p.before and p.after],
        "fresh": [row(*pair) for pair in _fresh(bark, found, own)] if found.promoted else [],
    }


def _fresh(bark: Bark, found: Refinement, own: int) -> list[tuple[Generation, Generation]]:
    """Speak texts and seeds that had no part in the promotion, before and after."""
    rng = random.Random(1_000 + own)
    texts = [_text(rng, number) for number in range(FRESH)]
    seeds = [500_000 + 100 * own + number for number in range(FRESH)]
    sides = [bark.generate_batch(texts, side, seeds=seeds) for side in (found.base, found.voice)]
    return list(zip(*sides, strict=True))


def _wrong(take: Generation) -> int:
    return edit_distance(spoken_words(take.text), own_words(take.text)(take.audio, RATE))


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the gains over voices, each voice one mean, with 95 % intervals."""
    figures = {"voices": str(len(rows)), "promoted": str(sum(row["promoted"] for row in rows))}
    for name in ("likeness", "cepstra"):
        tried = [_gain(row["candidate"], name) for row in rows if row["candidate"]]
        ruled = [_gain(row["fresh"], name) if row["promoted"] else 0.0 for row in rows]
        figures[f"{name}: the best candidate instead of the voice"] = str(Interval.of(tried))
        figures[f"{name}: with the rule"] = str(Interval.of(ruled))
    for which in ("candidate", "fresh"):
        pairs = [pair for row in rows for pair in row[which]]
        total = max(1, sum(pair["words"][0] for pair in pairs))
        wrong = [sum(pair["wrong"][side] for pair in pairs) / total for side in (0, 1)]
        figures[f"words wrong, {which}"] = f"{wrong[0]:.3f} to {wrong[1]:.3f} of {total}"
    return figures


def _gain(pairs: Sequence[dict[str, list[float]]], name: str) -> float:
    return float(np.mean([pair[name][1] - pair[name][0] for pair in pairs]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("real", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, required=True, help="a line for each voice")
    parser.add_argument("--takes", type=int, default=8)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--voices", nargs="+", help="only these; the others are still learned from")
    parser.add_argument("--no-synthetic", action="store_true")
    parser.add_argument("--report", action="store_true", help="only sum up what is in --out")
    options = parser.parse_args(argv)
    done = [json.loads(line) for line in _lines(options.out)]
    if options.report:
        return _report(done)
    groups = [recorded_voices(options.real)] if options.real else []
    try:
        groups += [] if options.no_synthetic else [synthetic_voices()]
    except BarkError as error:
        print(f"no synthetic voices: {error}")
    refiner = Refiner.from_pretrained(options.model)
    cloner = Cloner.from_pretrained(options.model, codec=refiner.bark.codec)
    judges = [SpeakerMixtures.of(refiner.bark, voices) for voices in groups]
    turns = sorted(
        (index / len(voices), group, index)
        for group, voices in enumerate(groups)
        for index in range(len(voices))
    )  # real and synthetic mixed, so that a run that was stopped has some of both
    for _, group, index in turns:
        voices = groups[group]
        wanted = options.voices is None or voices[index].name in options.voices
        if not wanted or any(row["name"] == voices[index].name for row in done):
            continue
        base = cloner.clone(voices[index].prompt, sample_rate=RATE).voice
        found = measured(refiner, judges[group], voices, index, base, options.takes)
        kind = "synthetic" if voices[index].name.startswith("held_") else "real"
        row = {"name": voices[index].name, "kind": kind, **found}
        done.append(row)
        with options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row["name"], row["result"], flush=True)
    return _report(done)


def _report(rows: Sequence[dict[str, Any]]) -> int:
    for kind in ("real", "synthetic"):
        if some := [row for row in rows if row["kind"] == kind]:
            print(kind, json.dumps(summary(some), indent=1))
    print(json.dumps(summary(rows)))
    return 0


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


if __name__ == "__main__":
    sys.exit(main())
