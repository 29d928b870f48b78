"""Speaks one part of a long text: again where nothing is said, several times where a
judge chooses.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bark.errors import SettingError, SilentError
from bark.text.tidy import TextTokenizer
from bark.tokens import TokenLayout
from bark.voice.voice import Voice, VoiceLike

TRIES = 5  # of a part whose speech ends before it begins
SIDE_BY_SIDE = 8  # takes at most, for the sake of memory

Judge = Callable[[str, Voice | None, Sequence[np.ndarray]], Sequence[float]]
"""What was to be said, in whose voice (None: any), takes (N,) of it → a score each, the more the
better.
"""


class Speaker(Protocol):
    """What long form needs of a `bark.Bark`."""

    name: str
    layout: TokenLayout
    tokenizer: TextTokenizer

    def check(self, settings: Mapping[str, Any], seed: int) -> Any:
        """Refuse settings or a seed that `generate` could not use."""

    def generate(self, text: str, voice: Voice | None = None, *, seed: int, **settings: Any) -> Any:
        """Speak one part; the result has ``audio`` (N,) and ``tokens``, a `Voice`."""

    def generate_batch(
        self,
        texts: Sequence[str],
        voice: Voice | None = None,
        *,
        seeds: Sequence[int],
        **settings: Any,
    ) -> Any:
        """Speak several at once, each as `generate` would."""

    def resolve_voice(self, voice: VoiceLike | None) -> Voice | None:
        """Find a voice."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Turn codes (8, T) into audio (N,)."""


@dataclass(frozen=True)
class Choice:
    """How many takes of a part are made, and who chooses among them."""

    candidates: int = 1
    judge: Judge | None = None

    def __post_init__(self) -> None:
        if type(self.candidates) is not int or self.candidates < 1:
            raise SettingError("candidates", repr(self.candidates), "a whole number >= 1")
        if self.candidates > 1 and self.judge is None:
            raise SettingError(
                f"{self.candidates} candidates and nobody to choose",
                fix="Give a judge, as hubert.judge.TakeJudge(bark)",
            )


def part_seed(seed: int, number: int, take: int = 0) -> int:
    """Return the seed of one part; the first take of part 1 has the run's own, as a short text
    would.
    """
    if (number, take) == (1, 0):
        return seed
    digest = hashlib.sha256(f"{seed}/{number}/{take}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch takes 63 bits


def speak_part(
    bark: Speaker,
    text: str,
    history: Voice | None,
    seed: int,
    settings: Mapping[str, Any],
    choice: Choice,
    voice: Voice | None,
) -> tuple[int, Any, float | None]:
    """Speak one part.

    Parameters
    ----------
    history : what it goes on from.
    seed : of the first take; if nothing is said in any take, others are tried, so that no book is
        stuck.
    voice : whom it should sound like.

    Returns
    -------
    The seed of the take that was kept, the take, and its score where there is a judge.
    """
    for attempt in range(TRIES):
        if attempt:
            seed = part_seed(seed, 0, attempt)
        seeds = [
            seed,
            *(part_seed(seed, 0, TRIES + index) for index in range(1, choice.candidates)),
        ]
        takes = [
            take
            for first in range(0, len(seeds), SIDE_BY_SIDE)
            for take in _takes(bark, text, history, seeds[first : first + SIDE_BY_SIDE], settings)
        ]
        if takes and choice.judge is not None:
            scores = _scores(choice.judge, text, voice, [take.audio for _, take in takes])
            best = scores.index(max(scores))
            return *takes[best], scores[best]
        if takes:
            return *takes[0], None
    raise SilentError(
        f"nothing was spoken for {text[:40]!r} with {TRIES * choice.candidates} seeds",
        fix="Raise min_eos_p, or try another seed",
    )


def _scores(
    judge: Judge, text: str, voice: Voice | None, takes: Sequence[np.ndarray]
) -> list[float]:
    scores = [float(score) for score in judge(text, voice, takes)]
    if len(scores) != len(takes) or not all(map(math.isfinite, scores)):
        raise SettingError(
            "scores of the judge", scores, f"{len(takes)} finite numbers, one for each take"
        )
    return scores


def _takes(
    bark: Speaker,
    text: str,
    history: Voice | None,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
) -> list[tuple[int, Any]]:
    """Return seeds and takes, side by side if all of them speak, else those that do."""
    if len(seeds) > 1:
        with suppress(SilentError):
            made = bark.generate_batch([text] * len(seeds), history, seeds=seeds, **settings)
            return list(zip(seeds, made, strict=True))
    found = []
    for seed in seeds:
        with suppress(SilentError):
            found.append((seed, bark.generate(text, history, seed=seed, **settings)))
    return found
