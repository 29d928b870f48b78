"""The loudness of a recording in frames of 10 ms, and which of them are not pauses."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from bark.errors import AudioError

MIN_SECONDS = 1.1  # shorter clips can miss Suno's ratio of frames to tokens
HOP = 0.01  # s, one energy frame
SMOOTH = 5  # frames averaged before a decision
PAUSE = 0.2  # s of quiet after which a word is over; the closure of a t or k is shorter
BRIDGE = 0.15  # s of quiet that still belong to a word
CLICK = 0.05  # s of sound too short to be speech
CLIPPED = 0.99  # of full scale
SILENT_DB = -60.0  # dBFS RMS of the loudest frames


@dataclass(frozen=True)
class Frames:
    """Energy of a recording in frames of about 10 ms."""

    power: np.ndarray  # (F,) mean square, without the frame's own mean
    peak: np.ndarray  # (F,) largest absolute sample
    clipped: np.ndarray  # (F,) samples at full scale
    hop: float  # s
    size: int  # samples of a frame

    def span(self, start: float, end: float) -> slice:
        """Return the frames between two instants, at least one."""
        first = min(round(start / self.hop), len(self.power) - 1)
        return slice(first, max(first + 1, round(end / self.hop)))


class Meter:
    """Measures a stream of mono blocks as it passes by."""

    def __init__(self, sample_rate: int) -> None:
        self.size = max(1, round(sample_rate * HOP))
        self.hop = self.size / sample_rate
        self.power: list[np.ndarray] = []
        self.peak: list[np.ndarray] = []
        self.clipped: list[np.ndarray] = []

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Hand the blocks on; a last part frame is not measured."""
        rest = np.zeros(0, np.float32)
        for block in blocks:
            yield block
            joined = np.concatenate([rest, block])
            whole = len(joined) // self.size * self.size
            rest = joined[whole:].copy()
            cells = joined[:whole].reshape(-1, self.size)  # (F, size)
            loudest = np.abs(cells)
            self.power.append(cells.var(axis=1))
            self.peak.append(loudest.max(axis=1, initial=0))
            self.clipped.append((loudest >= CLIPPED).sum(axis=1))

    def frames(self) -> Frames:
        """Return what was measured."""
        if not sum(map(len, self.power)):
            raise AudioError(
                "recording is too short", got="less than 10 ms", allowed=f"at least {MIN_SECONDS} s"
            )
        return Frames(
            np.concatenate(self.power),
            np.concatenate(self.peak),
            np.concatenate(self.clipped),
            self.hop,
            self.size,
        )


def loud_frames(frames: Frames) -> np.ndarray:
    """Tell speech from pauses by energy.

    The threshold lies a third of the way up, in decibels, from the background (the recording's
    quietest tenth) to loud speech (the loudest tenth of what is 6 dB above the background), but no
    more than 40 dB below the latter.

    Returns
    -------
    (F,) bool. All False if nothing is louder than -60 dBFS; all True if all is of one level.
    """
    smooth = np.convolve(frames.power, np.full(SMOOTH, 1 / SMOOTH), mode="same")
    level = 10 * np.log10(smooth + 1e-12)
    quiet = np.percentile(level, 10)
    above = level[level > quiet + 6]
    if level.max() < SILENT_DB:
        return np.zeros(len(level), dtype=bool)
    if len(above) * frames.hop < PAUSE:  # one level throughout: no pause in it can be told
        return np.ones(len(level), dtype=bool)
    loud = np.percentile(above, 90)
    speech = level > max(quiet + (loud - quiet) / 3, loud - 40)
    speech = _without_short_runs(speech, ~speech, BRIDGE / frames.hop)
    return _without_short_runs(speech, speech, CLICK / frames.hop)


def _without_short_runs(speech: np.ndarray, which: np.ndarray, shortest: float) -> np.ndarray:
    """Flip the runs of `which` that are too short; a run at the beginning or end of the recording
    stays.
    """
    speech = speech.copy()
    for begin, stop in runs_of(which):
        if stop - begin < shortest and begin > 0 and stop < len(which):
            speech[begin:stop] = ~speech[begin:stop]
    return speech


def runs_of(mask: np.ndarray) -> np.ndarray:
    """Return the (begin, stop) of each run of True: (R, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)
