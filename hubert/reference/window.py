"""Chooses the seconds of a recording to clone.

Bark continues a voice from its end, and hears at most the last 6.83 s (fine), 5.13 s (semantic) and
4.17 s (coarse). So one window of up to 10 s is enough: long enough that the encoders have context
where Bark listens, and ending in a pause, since Bark goes on in the middle of a word that is cut
off."""

from dataclasses import dataclass

import numpy as np

from bark.tokens import BARK

from .frames import MIN_SECONDS, PAUSE, Frames, runs_of

HEARD_SECONDS = BARK.fine_history / BARK.coarse_rate  # 6.83 s: what Bark can hear at most
MAX_WINDOW = 10.0  # s, where the window is chosen here
APART = 2.0  # s between the ends of two windows
TAIL = 0.15  # s kept of the pause after the last word, and before the first


@dataclass(frozen=True)
class Window:
    """A stretch of the recording, in seconds."""

    start: float
    end: float
    complete: bool  # it ends in a pause


def choose_windows(
    frames: Frames,
    speech: np.ndarray,
    start: float | None = None,
    end: float | None = None,
    most: int = 3,
) -> list[Window]:
    """Choose a few windows, best first: each ends in a pause, well apart from the better ones.

    Best is much speech in the last 6.83 s, little background noise, no clipping, and a long pause,
    as after a sentence. A recording without a pause that leaves 2 s is used to its end. A start
    that is given is kept; with an end that is given there is one window only.
    """
    total = len(speech) * frames.hop
    low, high = start or 0.0, total if end is None else end
    limit = high if start is None else min(high, start + MAX_WINDOW)

    def window(stop: float, complete: bool) -> Window:
        first = _begin(frames, speech, low, stop) if start is None else low
        return Window(first, stop, complete)

    if end is not None:
        return [window(high, not speech[frames.span(max(low, high - 0.05), high)].all())]
    ends, lengths = _pauses(frames, speech, low, limit)
    usable = ends - np.maximum(low, ends - MAX_WINDOW) >= min(
        2.0, max(MIN_SECONDS, high - low - 0.5)
    )
    if not usable.any():
        return [window(limit, False)]
    ends, lengths = ends[usable], lengths[usable]
    scores = _scores(frames, speech, low, ends) + 0.3 * np.minimum(lengths / 0.6, 1.0)
    chosen: list[float] = []
    for best in ends[np.argsort(-scores, kind="stable")]:
        if all(abs(best - other) >= APART for other in chosen):
            chosen.append(float(best))
        if len(chosen) == most:
            break
    return [window(stop, True) for stop in chosen]


def _pauses(
    frames: Frames, speech: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return where a window may end, a little into each pause, and how long each pause is, in
    seconds.
    """
    runs = runs_of(~speech) * frames.hop  # (R, 2)
    at_end = runs[:, 1] >= len(speech) * frames.hop - frames.hop / 2
    runs = runs[((runs[:, 1] - runs[:, 0] >= PAUSE) | at_end) & (runs[:, 0] > low)]
    lengths = runs[:, 1] - runs[:, 0]
    ends = runs[:, 0] + np.minimum(lengths, TAIL)
    inside = ends <= high + 1e-9
    return ends[inside], lengths[inside]


def _begin(frames: Frames, speech: np.ndarray, low: float, end: float) -> float:
    """Return where a window with this end starts: at most 10 s before, and not with a
    long silence.
    """
    earliest = max(low, end - MAX_WINDOW)
    here = np.flatnonzero(speech[frames.span(earliest, end)])
    onset = earliest + (here[0] * frames.hop if len(here) else 0.0) - TAIL
    return max(low, min(max(earliest, onset), end - MIN_SECONDS))


def _scores(frames: Frames, speech: np.ndarray, low: float, ends: np.ndarray) -> np.ndarray:
    """Rate what Bark would hear before each of several ends (E,): share of speech, background,
    clipping.
    """
    first = np.rint(np.maximum(low, ends - HEARD_SECONDS) / frames.hop).astype(int)
    last = np.maximum(first + 1, np.minimum(np.rint(ends / frames.hop).astype(int), len(speech)))

    def total(values: np.ndarray) -> np.ndarray:
        running = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        return running[last] - running[first]

    spoken, quiet = total(speech), total(~speech)
    loudness = total(frames.power * speech) / np.maximum(spoken, 1)
    background = total(frames.power * ~speech) / np.maximum(quiet, 1)
    ratio = 10 * np.log10((loudness + 1e-12) / (background + 1e-12))
    clipped = total(frames.clipped) / ((last - first) * frames.size)
    seconds = spoken * frames.hop
    return seconds / HEARD_SECONDS + 0.02 * np.clip(ratio, 0, 30) - 20 * clipped
