"""Tells whether one person speaks or two.

Where the speaker encoder's weights are (`hubert.likeness`), turns are told by how unlike the voices
of two groups of moments are. Without them cepstra and pitch tell about half of them. Two people at
once are told by how the level moves, by what two pitches explain of the sound and one does not, and
by the speaker encoder, to which a mixture is like no single voice. ``speakers.npz`` holds what was
learned on other speakers (`python -m benchmarks.doctor --fit`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bark.audio.mel import mel_filters
from bark.errors import MissingFileError
from hubert.likeness import Embedder

from .measures import HOP, SIZE, Spectra, decibels
from .speech import RATE

FITTED = Path(__file__).with_name("speakers.npz")
CEPSTRA = 15
STRETCH, STEP = 150, 75  # frames of speech compared at once, and between two such stretches
LEAST = 4  # stretches, with which turns can be told
PITCH_FRAME = 800  # samples, 50 ms
LAGS = np.arange(40, 230)  # samples of a period, 70 to 400 Hz
PAIR_FRAME = 1024  # samples, 64 ms, in which two pitches are looked for
PAIR_LAGS = np.arange(40, 231, 2)  # samples of either period
MULTIPLE = 0.08  # of each other, within which two periods are one voice's
PERIODIC = 0.55  # autocorrelation from which a frame has a pitch
USUAL_PITCH = 7.2  # log2 Hz, where none is found
MOMENT = 20  # frames of 10 ms between two inputs of the speaker encoder
FEWEST = 8  # moments, 3 s of speech, with which two voices can be told
GROUP = 6  # at least one in so many moments is the other speaker's
MOVES = 64  # frames over which the movement of the level is analysed


@dataclass(frozen=True)
class SpeakerModel:
    """What tells speakers apart."""

    directions: np.ndarray  # (CEPSTRA + 3, K): makes variation within a speaker of unit variance
    variances: np.ndarray  # (K,) between speakers
    overlap: np.ndarray  # (22,) weights of `overlap_features` and a constant
    heard: np.ndarray  # (278,) the same with the mean embedding of the moments

    @classmethod
    def load(cls, path: Path = FITTED) -> "SpeakerModel":
        """Read a fitted model."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file["directions"], file["variances"], file["overlap"], file["heard"])


@lru_cache(maxsize=1)
def fitted() -> SpeakerModel:
    """Return the model that is shipped."""
    return SpeakerModel.load()


@lru_cache(maxsize=1)
def _embedder() -> Embedder:
    return Embedder()


def moments(spectra: Spectra, step: int = MOMENT) -> np.ndarray | None:
    """Return speaker embeddings of 1.6 s each, every `step` frames of the speech: (n, 256).

    None where the speaker encoder's weights are not on this computer.
    """
    try:
        embedder = _embedder()
    except MissingFileError:
        return None
    kept = np.repeat(spectra.voiced, HOP)
    return embedder.stretches(spectra.audio[: len(kept)][kept], step)


def alike(embeddings: np.ndarray) -> float:
    """Return the cosine of the voices of two groups of moments, for the division in two that makes
    them most unlike; 1 where there is too little speech."""
    count = len(embeddings)
    if count < FEWEST:
        return 1.0
    axes = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)[0][:, :3].T
    lowest, least = 1.0, max(2, count // GROUP)
    for axis in axes:
        ordered = embeddings[np.argsort(axis, kind="stable")]
        sums = np.cumsum(ordered, axis=0)
        ours = sums[least - 1 : count - least]  # of the first `least`, `least` + 1, ...
        theirs = sums[-1] - ours
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        lowest = min(lowest, float((np.einsum("nd,nd->n", ours, theirs) / norms).min()))
    return lowest


def pitch(spectra: Spectra) -> tuple[np.ndarray, np.ndarray]:
    """Return log2 pitch in Hz, and periodicity, of every second frame: (F,), NaN elsewhere."""
    count = len(spectra.speech)
    pitches, periodic = np.full(count, np.nan), np.full(count, np.nan)
    index, correlation = _correlations(spectra, PITCH_FRAME, int(LAGS[-1]))
    chosen = correlation[:, LAGS]
    best = chosen.argmax(axis=1)
    periodic[index] = chosen[np.arange(len(best)), best]
    pitches[index] = np.where(periodic[index] > PERIODIC, np.log2(RATE / LAGS[best]), np.nan)
    return pitches, periodic


def unexplained(spectra: Spectra) -> np.ndarray:
    """Return the share of each frame's power that its best period leaves, and that its best two
    leave, of which neither is a multiple of the other: (2, n).

    Subtracting the sound one period earlier cancels a voice; doing so with two periods cancels two
    (de Cheveigné 1993). What is left follows from the autocorrelation."""
    _, r = _correlations(spectra, PAIR_FRAME, 2 * int(PAIR_LAGS[-1]))
    short, long = (PAIR_LAGS[index] for index in np.triu_indices(len(PAIR_LAGS), 1))
    ratio = long / short
    apart = np.abs(ratio / np.rint(ratio) - 1) > MULTIPLE
    short, long = short[apart], long[apart]
    one = 1 - r[:, PAIR_LAGS]
    two = 1 - r[:, short] - r[:, long] + (r[:, short + long] + r[:, long - short]) / 2
    return np.maximum(0.0, np.stack([one.min(axis=1), two.min(axis=1)]))


def _correlations(spectra: Spectra, size: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every second frame of speech (n,), and its autocorrelation (n, longest + 1), 1 at
    lag 0."""
    index = np.flatnonzero(spectra.speech)[::2]
    padded = np.pad(spectra.audio, (size // 2, size))
    frames = np.stack([padded[at * HOP : at * HOP + size] for at in index])
    window = np.hanning(size)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window
    return index, _autocorrelation(frames, longest) / _autocorrelation(window[None], longest)


def _autocorrelation(frames: np.ndarray, longest: int) -> np.ndarray:
    """(n, N) → (n, longest + 1), 1 at lag 0."""
    power = np.abs(np.fft.rfft(frames, 2048)) ** 2
    found = np.fft.irfft(power)[:, : longest + 1]
    return found / (found[:, :1] + 1e-12)


def stretches(spectra: Spectra, pitches: np.ndarray) -> np.ndarray:
    """Describe 1.5 s of speech at a time: mean cepstra and quartiles of the pitch, (n, 18)."""
    logs = np.log(spectra.cells @ mel_filters(30, 100, 7000, SIZE // 2 + 1, RATE).T + 1e-9)
    basis = np.cos(np.pi * np.outer(np.arange(1, CEPSTRA + 1), np.arange(30) + 0.5) / 30)
    cepstra = logs @ basis.T / CEPSTRA
    index = np.flatnonzero(spectra.speech)
    found = list(_described(cepstra, pitches, index))
    return np.array(found).reshape(-1, CEPSTRA + 3)


def _described(cepstra: np.ndarray, pitches: np.ndarray, index: np.ndarray) -> Iterator[np.ndarray]:
    known = pitches[~np.isnan(pitches)]
    usual = np.percentile(known, [25, 50, 75]) if len(known) > 15 else np.full(3, USUAL_PITCH)
    for first in range(0, len(index) - STRETCH + 1, STEP):
        here = index[first : first + STRETCH]
        heard = pitches[here][~np.isnan(pitches[here])]
        quartiles = np.percentile(heard, [25, 50, 75]) if len(heard) > 8 else usual
        yield np.concatenate([cepstra[here].mean(axis=0), quartiles])


def turns(described: np.ndarray, model: SpeakerModel) -> float:
    """Return the log likelihood ratio of two speakers to one, for the best division in two."""
    points = described @ model.directions  # (n, K)
    if len(points) < LEAST:
        return 0.0
    variances = np.maximum(model.variances, 0.05)
    weighted = (points - points.mean(axis=0)) * np.sqrt(variances)
    axes = np.linalg.svd(weighted, full_matrices=False)[0][:, :3].T
    best = 0.0
    for axis in axes:
        for limit in np.sort(axis)[1:-2]:
            one, other = points[axis > limit], points[axis <= limit]
            if min(len(one), len(other)) < 2:
                continue
            within = 2 / len(one) + 2 / len(other)  # stretches overlap by half
            between = within + 2 * variances
            apart = np.square(one.mean(axis=0) - other.mean(axis=0))
            ratio = apart @ (1 / within - 1 / between) - np.log(between / within).sum()
            best = max(best, float(ratio / 2))
    return best


def overlap_features(spectra: Spectra, pitches: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Return what changes when two people speak at once: (21,).

    How much the level moves, how far the pitch ranges, how fast the level falls, how periodic the
    clearest frames are, how much of the time is speech, and percentiles of what one pitch and two
    leave unexplained, and of how far these are apart."""
    envelope = np.sqrt(10 ** (spectra.bands[:, 2:20] / 10))
    envelope = envelope / (envelope.mean(axis=0) + 1e-12)
    if len(envelope) < MOVES:
        envelope = np.resize(envelope, (MOVES, envelope.shape[1]))
    cells = np.lib.stride_tricks.sliding_window_view(envelope, MOVES, axis=0)[::16]
    moves = np.abs(np.fft.rfft((cells - cells.mean(-1, keepdims=True)) * np.hanning(MOVES))) ** 2
    depth = decibels(moves.mean(axis=(0, 1))[2:13].sum())  # 3 to 20 Hz
    clear = pitches[~np.isnan(pitches)]
    ranging = clear.std() if len(clear) > 5 else 0.2
    change = spectra.bands[5:, 2:20] - spectra.bands[:-5, 2:20]
    falls = change[spectra.voiced[:-5]]
    falling = -falls[falls < -1].mean() if (falls < -1).any() else 0.0
    heard = periodic[~np.isnan(periodic)]
    clearest = np.percentile(heard, 90) if len(heard) else 0.5
    one, two = unexplained(spectra)
    gains = np.stack([np.log((one + 1e-3) / (two + 1e-3)), one - two, one, two])
    shares = np.percentile(gains, [25, 50, 75, 90], axis=1)
    return np.array([depth, ranging, falling, clearest, spectra.voiced.mean(), *shares.flat])


def overlap(features: np.ndarray, embeddings: np.ndarray | None, model: SpeakerModel) -> float:
    """Return the log odds that two people speak at once, by the moments' embeddings (n, 256) too
    where there are any."""
    if embeddings is None:
        known, weights = features, model.overlap
    else:
        known, weights = np.append(features, embeddings.mean(axis=0)), model.heard
    return float(known @ weights[:-1] + weights[-1])
