"""Keep peaks under full scale, without clicks and without clipping."""

import numpy as np

from .samples import refuse_non_finite

CEILING = 0.97  # of full scale: lossy formats overshoot a little when decoded
LOOK_AHEAD = 0.010  # seconds over which the level goes down before a peak, and up after it


def limited(
    audio: np.ndarray, sample_rate: int = 24_000, ceiling: float = CEILING
) -> tuple[np.ndarray, float]:
    """Return (N,) float32 that stays within `ceiling`, and by how many decibels it went down.

    Audio without a sample above `ceiling` comes back as it is, with 0.0. Else the gain that each
    sample needs is held over the window around it, and that is smoothed: a mean of gains each of
    which is low enough for a sample is low enough for it, too.
    """
    audio = np.asarray(audio, dtype=np.float32)
    if not np.isfinite(audio).all():
        refuse_non_finite(audio, "audio to limit ", 0, sample_rate)
    level = np.abs(audio)
    if not len(audio) or level.max() <= ceiling:
        return audio, 0.0
    half = max(1, round(LOOK_AHEAD * sample_rate / 2))
    needed = ceiling / np.maximum(level, ceiling).astype(np.float64)  # (N,)
    gain = _running_mean(_running_mean(_held(needed, 2 * half), half), half)
    result = np.clip(audio * gain.astype(np.float32), -ceiling, ceiling)  # rounding only
    return result.astype(np.float32), float(-20 * np.log10(needed.min()))


def _held(gain: np.ndarray, reach: int) -> np.ndarray:
    """Return the minimum over [n - reach, n + reach], (N + 2 reach,) → (N + 2 reach,) padded by 1.

    The result starts `reach` samples before the first sample, for the means that follow.
    A window spans at most two chunks of its own width: the minimum of the one's end and the
    other's beginning, both of which are running minima (van Herk).
    """
    width = 2 * reach + 1
    count = len(gain) + 2 * reach
    padded = np.ones(-(-(count + width) // width) * width)
    padded[2 * reach : 2 * reach + len(gain)] = gain
    chunks = padded.reshape(-1, width)
    ahead = np.minimum.accumulate(chunks, axis=1).ravel()
    behind = np.minimum.accumulate(chunks[:, ::-1], axis=1)[:, ::-1].ravel()
    return np.minimum(behind[:count], ahead[width - 1 : width - 1 + count])


def _running_mean(gain: np.ndarray, half: int) -> np.ndarray:
    """Return the means over windows of 2 half + 1, (M,) → (M - 2 half,)."""
    total = np.concatenate([[0.0], np.cumsum(gain)])
    width = 2 * half + 1
    return (total[width:] - total[:-width]) / width
