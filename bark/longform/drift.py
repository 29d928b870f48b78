"""Keeps a long text in one voice: each part is measured, and one that falls out is spoken again.

Who listens is an argument (`hubert.drift.PartListener`). Likeness and words are compared with those
of the speaker's first part, and so are loudness, speed and pitch: what a listener would notice in
the middle of a book."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from bark.errors import SettingError
from bark.speech import Part
from bark.stages.seeds import part_seed
from bark.voice.voice import Voice

AGAIN = 1_000  # from which the seeds of a part that is spoken again are counted


@dataclass(frozen=True)
class Heard:
    """How a part sounds; None where it could not be measured."""

    likeness: float | None = None  # to its voice, cosine of speaker embeddings
    clarity: float | None = None  # of its words, 0 at best
    loudness: float | None = None  # LUFS
    speed: float | None = None  # 1 is the speed at which parts are planned
    pitch: float | None = None  # Hz, median

    def record(self) -> dict[str, float]:
        """Return what a record keeps: the measures that there are."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: round(value, 4) for name, value in found.items() if value is not None}

    @classmethod
    def of(cls, record: Mapping[str, float]) -> "Heard":
        """Return what a record has kept."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})


Listener = Callable[[str, Voice | None, np.ndarray], Heard]
"""What was to be said, in whose voice (None: any), samples (N,) of it → how it sounds."""


@dataclass(frozen=True)
class Limits:
    """How far a part may be from the speaker's first one.

    Set by judgement; `benchmarks/drift.py` shows what crosses them."""

    likeness: float = 0.12  # less
    clarity: float = 0.5  # less
    loudness: float = 6.0  # dB louder or softer
    speed: float = 1.6  # times as fast or as slow
    pitch: float = 4.0  # semitones higher or lower

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not (isinstance(value, (int, float)) and value > 0):
                raise SettingError(f"limit of {one.name}", repr(value), "a number > 0")

    def distances(self, part: Heard, first: Heard) -> dict[str, float]:
        """Return how far a part is from the first: 1 is at the limit, 0 the same or better."""

        def ratio(name: str, scale: float) -> float:
            one, other = getattr(part, name), getattr(first, name)
            usable = one is not None and other is not None and min(one, other) > 0
            return scale * abs(math.log2(one / other)) if usable else 0.0

        def less(name: str, limit: float) -> float:
            one, other = getattr(part, name), getattr(first, name)
            return 0.0 if one is None or other is None else max(0.0, other - one) / limit

        loudness = 0.0
        if part.loudness is not None and first.loudness is not None:
            loudness = abs(part.loudness - first.loudness) / self.loudness
        return {
            "likeness": less("likeness", self.likeness),
            "clarity": less("clarity", self.clarity),
            "loudness": loudness,
            "speed": ratio("speed", 1 / math.log2(self.speed)),
            "pitch": ratio("pitch", 12 / self.pitch),
        }

    def fallen(self, part: Heard, first: Heard) -> tuple[str, ...]:
        """Return in what a part falls out."""
        return tuple(name for name, far in self.distances(part, first).items() if far > 1)


@dataclass(frozen=True)
class Drift:
    """Measure every part, and speak again what falls out, at most twice."""

    listener: Listener
    repair: bool = True  # False: only measure
    limits: Limits = field(default_factory=Limits)

    def record(self) -> dict[str, Any]:
        """Return what a record keeps: all but the listener."""
        return {"repair": self.repair, "limits": asdict(self.limits)}

    def badness(self, part: Heard, first: Heard) -> tuple[int, float]:
        """Return how many limits a part crosses, and how far it is from the first in all."""
        far = self.limits.distances(part, first)
        return sum(value > 1 for value in far.values()), math.fsum(far.values())


class Steady:
    """One long text while it is spoken: what each speaker's first part was like."""

    def __init__(self, drift: Drift) -> None:
        self.drift = drift
        self.firsts: dict[str | None, Heard] = {}

    def noted(self, part: Part, voice: Voice | None) -> Part:
        """Return a part with its measures, which count for those that follow.

        Parameters
        ----------
        voice : whom it should sound like.
        """
        if part.heard is None:
            part = replace(part, heard=self.drift.listener(part.text, voice, part.audio).record())
        self.remember(part.speaker, part.heard or {})
        return part

    def remember(self, speaker: str | None, heard: Mapping[str, float]) -> None:
        """Let the measures of a part count for those that follow."""
        # a first part without a voice to be like has no likeness: then the next part tells it
        before = self.firsts[speaker].record() if speaker in self.firsts else {}
        self.firsts[speaker] = Heard.of({**heard, **before})

    def best(
        self,
        part: Part,
        seed: int,
        voice: Voice | None,
        history: Voice | None,
        spoken: Callable[[Voice | None, int], Part],
    ) -> Part:
        """Return a part, or what is better of speaking it again: once as before, then once more
        from the voice itself.

        Parameters
        ----------
        seed : that the part was spoken with; other seeds come from it.
        voice, history : whom it should sound like, and what it goes on from.
        spoken : speaks it again, from a history and a seed.
        """
        drift, first = self.drift, self.firsts.get(part.speaker)
        if not drift.repair or first is None:
            return self.noted(part, voice)
        tries: list[tuple[Part, Heard]] = []
        for number, start in enumerate((history, history, voice)):
            if number:
                part = spoken(start, part_seed(seed, 0, AGAIN + number))
            heard = drift.listener(part.text, voice, part.audio)
            tries.append((replace(part, heard=heard.record()), heard))
            if not drift.limits.fallen(heard, first):
                break
        kept = min(tries, key=lambda one: drift.badness(one[1], first))[0]
        return self.noted(replace(kept, spoken=len(tries)), voice)
