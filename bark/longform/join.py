"""Joins the parts of a long text: with a silence, or overlapping."""

from collections.abc import Generator, Iterator, Sequence
from typing import TypeVar

import numpy as np

from bark.errors import SettingError

SILENCE = 0.25  # seconds between parts, as in Suno's notebook
EDGE = 0.005  # seconds of fade at a silence, against clicks
Made = TypeVar("Made")


def join_audio(
    pieces: Sequence[np.ndarray],
    sample_rate: int,
    silence: float | None = None,
    crossfade: float = 0.0,
) -> np.ndarray:
    """Join (N,) pieces with `silence` seconds between them, or overlapping by `crossfade` seconds.

    An overlap keeps the power (sine and cosine) and takes at most half of a piece; at a silence the
    edges are faded over 5 ms."""
    pause = round(checked_pause(silence, crossfade) * sample_rate)
    if not pieces:
        return np.zeros(0, dtype=np.float32)
    joined = [np.array(pieces[0], dtype=np.float32)]
    for piece in pieces[1:]:
        following = np.array(piece, dtype=np.float32)
        overlap = min(round(crossfade * sample_rate), len(joined[-1]) // 2, len(following) // 2)
        if overlap:
            angle = (np.arange(overlap, dtype=np.float32) + 0.5) / overlap * (np.pi / 2)
            following[:overlap] = following[:overlap] * np.sin(angle) + joined[-1][
                -overlap:
            ] * np.cos(angle)
            joined[-1] = joined[-1][:-overlap]
        elif pause:
            _fade(joined[-1][::-1], sample_rate)
            _fade(following, sample_rate)
            joined.append(np.zeros(pause, dtype=np.float32))
        joined.append(following)
    return np.concatenate(joined)


class Joiner:
    """Joins parts as their pieces come, sample for sample as `join_audio` does by default."""

    def __init__(self, sample_rate: int) -> None:
        self.rate, self.first = sample_rate, True
        self.edge = round(EDGE * sample_rate)

    def part(
        self, pieces: Generator[np.ndarray, None, Made], last: bool
    ) -> Generator[np.ndarray, None, Made]:
        """Yield the pieces of one part, faded where it meets another; return what they return."""
        held, begun = np.zeros(0, dtype=np.float32), False
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                made: Made = end.value
                break
            held = np.concatenate([held, piece])
            if not begun and len(held) >= self.edge:
                begun = True
                yield from self._begin(held)
            if begun and len(held) > self.edge:  # the end may have to be faded
                yield held[: len(held) - self.edge]
                held = held[len(held) - self.edge :]
        if not begun:
            yield from self._begin(held)
        if not last:
            _fade(held[::-1], self.rate)
        yield held
        return made

    def _begin(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        if not self.first:
            _fade(samples, self.rate)
            yield np.zeros(round(SILENCE * self.rate), dtype=np.float32)
        self.first = False


def _fade(samples: np.ndarray, sample_rate: int) -> None:
    """Fade in the first samples, in place."""
    count = min(round(EDGE * sample_rate), len(samples))
    samples[:count] *= (np.arange(count, dtype=np.float32) + 0.5) / max(count, 1)


def checked_pause(silence: float | None, crossfade: float) -> float:
    """Return the checked silence; by default there is one where nothing overlaps."""
    if silence is None:
        silence = 0.0 if crossfade else SILENCE
    for name, value in (("silence", silence), ("crossfade", crossfade)):
        if not 0 <= value <= 60:
            raise SettingError(f"{name} between parts", value, "0 to 60 s")
    if silence and crossfade:
        raise SettingError(
            "silence and crossfade",
            f"{silence:g} s and {crossfade:g} s",
            "one of them",
            "Set the other to 0",
        )
    return silence
