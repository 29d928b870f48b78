"""Joins the parts of a long text: with a silence, or overlapping."""

from collections.abc import Sequence

import numpy as np

from bark.errors import SettingError

SILENCE = 0.25  # seconds between parts, as in Suno's notebook
EDGE = 0.005  # seconds of fade at a silence, against clicks


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
