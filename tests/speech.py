"""Makes sounds with the rhythm of speech: bursts of a buzzing voice with pauses between."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

RATE = 24_000  # Hz


@lru_cache(maxsize=64)
def voiced(seconds: float, rate: int = RATE, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """A steady vowel with some breath, like the middle of a word."""
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(
        np.sin(2 * np.pi * 140 * k * time + k * k) / k for k in range(1, 40) if 140 * k < rate / 2
    )
    breath = np.random.default_rng(seed).normal(0, 0.3, len(time))
    sound = tones + breath
    loudness = np.sqrt(np.mean(np.square(sound))) if len(sound) else 1.0
    return (level * sound / loudness).astype(np.float32)


def phrase(
    parts: Sequence[tuple[float, float]], rate: int = RATE, level: float = 0.1, noise: float = 1e-3
) -> np.ndarray:
    """Words and the pauses after them, in seconds; each word is made of 0.25 s syllables 0.06 s apart."""
    pieces = []
    for number, (word, pause) in enumerate(parts):
        sound = voiced(word, rate, level, number)
        place = np.arange(len(sound)) / rate % 0.31
        pieces += [sound * (place < 0.25), np.zeros(round(pause * rate), np.float32)]
    audio = np.concatenate(pieces)
    return (audio + np.random.default_rng(9).normal(0, noise, len(audio))).astype(np.float32)
