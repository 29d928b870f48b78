"""Makes recordings with known words and pauses out of the synthetic speech that ships with the booth."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import soundfile
import soxr

from tests.conftest import ROOT

RATE = 24_000  # Hz
FADE = 0.005  # s at the ends of a word, against clicks


@lru_cache(maxsize=8)
def flowing(rate: int) -> np.ndarray:
    """About 10 s of speech whose pauses are cut out."""
    audio, own_rate = soundfile.read(ROOT / "booth" / "samples" / "reference.flac", dtype="float32")
    hop = own_rate // 100
    cells = audio[: len(audio) // hop * hop].reshape(-1, hop)
    loud = np.sqrt(np.square(cells).mean(axis=1)) > 0.01
    near = np.convolve(loud, np.ones(7), mode="same") > 0  # closures of a p or t stay
    return soxr.resample(cells[near].reshape(-1), own_rate, rate)


@lru_cache(maxsize=64)
def voiced(seconds: float, rate: int = RATE, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Speech without a pause; another seed begins elsewhere."""
    source = flowing(rate)
    first = round(1.3 * seed * rate) % len(source)
    sound = np.resize(np.roll(source, -first), round(seconds * rate))
    loudness = np.sqrt(np.mean(np.square(sound))) if len(sound) else 1.0
    return (level * sound / loudness).astype(np.float32)


def phrase(
    parts: Sequence[tuple[float, float]], rate: int = RATE, level: float = 0.1, noise: float = 1e-3
) -> np.ndarray:
    """Stretches of speech and the pauses after them, in seconds, over a little noise."""
    pieces = []
    for number, (word, pause) in enumerate(parts):
        sound = voiced(word, rate, level, number).copy()
        edge = np.linspace(0, 1, round(FADE * rate))[: len(sound)]
        sound[: len(edge)] *= edge
        sound[len(sound) - len(edge) :] *= edge[::-1]
        pieces += [sound, np.zeros(round(pause * rate), np.float32)]
    audio = np.concatenate(pieces)
    return (audio + np.random.default_rng(9).normal(0, noise, len(audio))).astype(np.float32)
