"""Mel filters, for everything whose numbers no trained weights fix."""

import numpy as np


def mel_filters(count: int, low: float, high: float, bins: int, sample_rate: int) -> np.ndarray:
    """Return triangles evenly spaced on the mel scale 2595·log10(1 + f/700): (count, bins).

    Parameters
    ----------
    low, high : Hz, where the first begins and the last ends.
    bins : of a spectrum from 0 to half the rate.
    """
    frequency = np.linspace(0, sample_rate / 2, bins)
    bottom, top = (2595 * np.log10(1 + limit / 700) for limit in (low, high))
    edges = 700 * (10 ** (np.linspace(bottom, top, count + 2) / 2595) - 1)
    rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)
