"""Speaks one part of a long text, with other seeds if it stays silent, or the best of several."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bark.errors import SettingError, SilentError
from bark.stages.seeds import part_seed
from bark.text.reading import noted
from bark.text.tidy import TextTokenizer
from bark.tokens import TokenLayout
from bark.voice.voice import Voice, VoiceLike

TRIES = 5  # of a part whose speech ends before it begins
SIDE_BY_SIDE = 8  # takes at most, for the sake of memory

Judge = Callable[[str, Voice | None, Sequence[np.ndarray]], Sequence[float]]
"""What was to be said, in whose voice (None: any), takes (N,) of it → a score each, the more the
better.
"""


class BarkLike(Protocol):
    """What long form needs of a `bark.Bark`, whose methods these are."""

    name: str
    layout: TokenLayout
    tokenizer: TextTokenizer
    source: Mapping[str, Any]

    @property
    def family(self) -> str:
        """Of its tokens: see `bark.voice.names.token_family`."""

    @property
    def check(self) -> Callable[..., Any]:
        """Refuse settings or a seed that cannot be used."""

    @property
    def generate(self) -> Callable[..., Any]:
        """Speak one part; the result has ``audio`` (N,) and ``tokens``, a `Voice`."""

    @property
    def generate_batch(self) -> Callable[..., Any]:
        """Speak several at once, each as `generate` would."""

    @property
    def semantic_tokens(self) -> Callable[..., np.ndarray]:
        """Text to semantic tokens (S,)."""

    @property
    def stream_tokens(self) -> Callable[..., Any]:
        """Yield the audio of semantic tokens piece by piece and return all the tokens."""

    @property
    def resolve_voice(self) -> Callable[[VoiceLike | None], Voice | None]:
        """Find a voice."""

    @property
    def decode(self) -> Callable[[np.ndarray], np.ndarray]:
        """Codes (8, T) to audio (N,)."""


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


ANY = Choice()  # the first take that says something


def retries(seed: int) -> list[int]:
    """Return the seeds that a part is tried with until it says something, so no book gets stuck."""
    seeds = [seed]
    while len(seeds) < TRIES:
        seeds.append(part_seed(seeds[-1], 0, len(seeds)))
    return seeds


def silent(text: str, seeds: int = TRIES) -> SilentError:
    """Return the error of a part that says nothing with any of its seeds."""
    return SilentError(
        f"nothing was spoken for {text[:40]!r} with {seeds} seeds",
        fix="Raise min_eos_p, or try another seed",
    )


def speak_part(
    bark: BarkLike,
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
    for first in retries(seed):
        seeds = [
            first,
            *(part_seed(first, 0, TRIES + index) for index in range(1, choice.candidates)),
        ]
        takes = [
            take
            for at in range(0, len(seeds), SIDE_BY_SIDE)
            for take in _takes(bark, text, history, seeds[at : at + SIDE_BY_SIDE], settings)
        ]
        if takes and choice.judge is not None:
            scores = _scores(choice.judge, text, voice, [take.audio for _, take in takes])
            best = scores.index(max(scores))
            return *takes[best], scores[best]
        if takes:
            return *takes[0], None
    raise silent(text, TRIES * choice.candidates)


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
    bark: BarkLike,
    text: str,
    history: Voice | None,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
) -> list[tuple[int, Any]]:
    """Return seeds and takes, side by side if all of them speak, else those that do."""
    if len(seeds) > 1:
        with suppress(SilentError), noted():
            made = bark.generate_batch([text] * len(seeds), history, seeds=seeds, **settings)
            return list(zip(seeds, made, strict=True))
    found = []
    for seed in seeds:
        with suppress(SilentError), noted():
            found.append((seed, bark.generate(text, history, seed=seed, **settings)))
    return found
