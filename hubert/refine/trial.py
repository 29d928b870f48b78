"""Tests a candidate prompt against the one it would replace, on texts and seeds of their own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, stdev
from typing import Any

from bark.speech import Generation

CLEAR_ENOUGH = 0.05  # by how much words may be said less clearly, on average

RULE = (
    "A take becomes the prompt only if, on texts and seeds that had no part in choosing it, the "
    "95 % interval of its paired gain in likeness to the recording lies above zero and its words "
    "are on average said as clearly as before, within 0.05."
)


@dataclass(frozen=True)
class Interval:
    """A mean of paired differences, with its 95 % interval by Student's t."""

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, differences: Sequence[float]) -> "Interval":
        """Return the mean of differences; of fewer than two the interval has no ends."""
        count = len(differences)
        if count < 2:
            return cls(fmean(differences) if count else 0.0, -math.inf, math.inf, count)
        mean = fmean(differences)
        half = quantile(count - 1) * stdev(differences) / math.sqrt(count)
        return cls(mean, mean - half, mean + half, count)

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f}; n = {self.count})"


def quantile(freedom: int, share: float = 0.975) -> float:
    """Return the quantile of Student's t by the first terms of its expansion (Fisher and Cornish),
    within 1 % from 4 degrees of freedom on.

    >>> round(quantile(15), 3), round(quantile(5), 2)
    (2.131, 2.57)
    """
    z, n = NormalDist().inv_cdf(share), freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


@dataclass(frozen=True)
class Pair:
    """One text spoken with one seed in both prompts; None where nothing was said."""

    text: str
    seed: int
    before: Generation | None = field(repr=False)
    after: Generation | None = field(repr=False)
    likeness: tuple[float, float]  # before, after
    clarity: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for a record."""
        said = None if self.clarity is None else [round(value, 4) for value in self.clarity]
        likeness = [round(value, 4) for value in self.likeness]
        return {"text": self.text, "seed": self.seed, "likeness": likeness, "clarity": said}


@dataclass(frozen=True)
class Trial:
    """What a candidate gained on texts and seeds that had no part in choosing it."""

    pairs: tuple[Pair, ...]

    @property
    def heard(self) -> list[Pair]:
        """The pairs in which both spoke."""
        return [pair for pair in self.pairs if pair.before and pair.after]

    @property
    def gain(self) -> Interval:
        """In likeness to the recordings."""
        return Interval.of([pair.likeness[1] - pair.likeness[0] for pair in self.heard])

    @property
    def words(self) -> Interval | None:
        """In clarity of the words; None where nobody could judge them."""
        found = [pair.clarity for pair in self.heard if pair.clarity is not None]
        return Interval.of([after - before for before, after in found]) if found else None

    @property
    def passed(self) -> bool:
        """Whether the candidate becomes the prompt: see `RULE`."""
        fell_silent = any(pair.before and not pair.after for pair in self.pairs)
        clear = self.words is None or self.words.mean >= -CLEAR_ENOUGH
        return self.gain.low > 0 and clear and not fell_silent

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for a record."""
        return {
            "rule": RULE,
            "passed": self.passed,
            "gain": _plain(self.gain),
            "words": None if self.words is None else _plain(self.words),
            "pairs": [pair.to_dict() for pair in self.pairs],
        }


def _plain(interval: Interval) -> dict[str, float | int | None]:
    ends = (round(end, 4) if math.isfinite(end) else None for end in (interval.low, interval.high))
    low, high = ends
    return {"mean": round(interval.mean, 4), "low": low, "high": high, "count": interval.count}
