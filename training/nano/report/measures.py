"""The figures of the report: word and phone errors, likeness, codec quality, intervals.

Quality is pystoi's and pesq's; words and likeness come from `hubert.judge`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

PESQ_RATE = 16_000  # Hz, wide band
RESAMPLES = 2000  # of the bootstrap


@dataclass(frozen=True)
class Figure:
    """A mean over trials with its 95 % interval from resampling the trials."""

    value: float
    low: float
    high: float
    trials: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}; n = {self.trials})"


def figure(
    values: Sequence[float], weights: Sequence[float] | None = None, seed: int = 0
) -> Figure:
    """Return the mean of `values` (or their sum over that of `weights`) with its 95 % bootstrap
    interval.
    """
    top = np.asarray(values, dtype=float)
    bottom = np.ones_like(top) if weights is None else np.asarray(weights, dtype=float)
    if not len(top):
        return Figure(math.nan, math.nan, math.nan, 0)
    drawn = np.random.default_rng(seed).integers(0, len(top), (RESAMPLES, len(top)))
    low, high = np.percentile(top[drawn].sum(1) / bottom[drawn].sum(1), [2.5, 97.5])
    return Figure(float(top.sum() / bottom.sum()), float(low), float(high), len(top))


@dataclass(frozen=True)
class Nearest:
    """How a clip's voice compares with a set of reference voices."""

    own: float  # cosine with its own reference
    other: float  # with the nearest other one

    @property
    def margin(self) -> float:
        """Return how much nearer its own reference is than any other."""
        return self.own - self.other


def nearest_voice(embedding: np.ndarray, references: np.ndarray, own: int) -> Nearest:
    """Compare an embedding ``(256,)`` with reference voices ``(R, 256)`` of which row `own` is its
    own.
    """
    cosines = references @ embedding
    return Nearest(float(cosines[own]), float(np.delete(cosines, own).max()))


def centroid(embeddings: Sequence[np.ndarray]) -> np.ndarray:
    """Return the unit mean of embeddings."""
    mean = np.mean(np.stack(embeddings), axis=0)
    return mean / np.linalg.norm(mean)


def intelligibility(original: np.ndarray, copy: np.ndarray, sample_rate: int = 24_000) -> float:
    """Return STOI of a copy, 1 is perfect."""
    from pystoi import stoi

    return float(stoi(original, copy, sample_rate))


def quality(original: np.ndarray, copy: np.ndarray, sample_rate: int = 24_000) -> float:
    """Return wide-band PESQ of a copy, 1 to 4.6."""
    from pesq import pesq

    def at_16k(audio: np.ndarray) -> np.ndarray:
        return soxr.resample(audio, sample_rate, PESQ_RATE)

    return float(pesq(PESQ_RATE, at_16k(original), at_16k(copy), "wb"))
