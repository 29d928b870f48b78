"""Audio and words to figures: word and phone errors, likeness of voices, codec quality, and their spread.

The recogniser is pocketsphinx, likeness is resemblyzer's, quality pystoi's and pesq's: test extras that
carry their models and need no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from bark.errors import MissingFileError

RECOGNISER_RATE = 16_000  # Hz
LEAD, TAIL = 0.2, 0.3  # s of silence around what is recognised
PEAK = 0.7  # level at which it is recognised
RESAMPLES = 2000  # of the bootstrap
PHONE_NOISE = {"SIL", "+SPN+", "+NSN+", "<sil>"}


@dataclass(frozen=True)
class Figure:
    """A mean over trials with its 95 % interval from resampling the trials."""

    value: float
    low: float
    high: float
    trials: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}; n = {self.trials})"


def figure(values: Sequence[float], weights: Sequence[float] | None = None, seed: int = 0) -> Figure:
    """Return the mean of `values` (or their sum over that of `weights`) with its 95 % bootstrap interval."""
    top = np.asarray(values, dtype=float)
    bottom = np.ones_like(top) if weights is None else np.asarray(weights, dtype=float)
    if not len(top):
        return Figure(math.nan, math.nan, math.nan, 0)
    drawn = np.random.default_rng(seed).integers(0, len(top), (RESAMPLES, len(top)))
    low, high = np.percentile(top[drawn].sum(1) / bottom[drawn].sum(1), [2.5, 97.5])
    return Figure(float(top.sum() / bottom.sum()), float(low), float(high), len(top))


def edits(reference: Sequence[Any], hypothesis: Sequence[Any]) -> int:
    """Return how many insertions, deletions and substitutions turn one sequence into the other."""
    row = np.arange(len(hypothesis) + 1)
    for count, wanted in enumerate(reference, start=1):
        above, row = row, np.empty_like(row)
        row[0] = count
        for index, heard in enumerate(hypothesis, start=1):
            row[index] = min(above[index] + 1, row[index - 1] + 1, above[index - 1] + (wanted != heard))
    return int(row[-1])


class Recogniser:
    """Words of audio by a closed grammar, or phones by pocketsphinx's phone model.

    Parameters
    ----------
    jsgf : a grammar in JSpeech Grammar Format; None recognises phones.
    """

    def __init__(self, jsgf: str | None) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise MissingFileError("pocketsphinx is not installed", fix="Install the test extra") from error
        self.phones = jsgf is None
        if jsgf is None:
            language = f"{pocketsphinx.get_model_path()}/en-us/en-us-phone.lm.bin"
            self.decoder = pocketsphinx.Decoder(
                samprate=RECOGNISER_RATE, loglevel="FATAL", lm=None, dict=None, allphone=language,
                lw=2.0, beam=1e-20, pbeam=1e-20,
            )  # fmt: skip
        else:
            self.decoder = pocketsphinx.Decoder(
                samprate=RECOGNISER_RATE, loglevel="FATAL", lm=None, beam=1e-60, pbeam=1e-60, wbeam=1e-40
            )
            self.decoder.add_jsgf_string("grammar", jsgf)
            self.decoder.activate_search("grammar")

    def __call__(self, audio: np.ndarray, sample_rate: int = 24_000) -> list[str]:
        """Return the words or phones of ``(N,)`` float32 audio."""
        samples = soxr.resample(np.asarray(audio, np.float32), sample_rate, RECOGNISER_RATE)
        samples = samples * (PEAK / max(1e-3, float(np.abs(samples).max(initial=0))))
        samples = np.pad(samples, (int(LEAD * RECOGNISER_RATE), int(TAIL * RECOGNISER_RATE)))
        self.decoder.start_utt()
        self.decoder.process_raw((samples * 32767).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        if self.phones:
            heard = [segment.word for segment in self.decoder.seg() or []]
            return [phone for phone in heard if phone not in PHONE_NOISE]
        best = self.decoder.hyp()
        return best.hypstr.lower().split() if best else []


class Likeness:
    """Voice embeddings of resemblyzer; the product of two is their cosine."""

    def __init__(self) -> None:
        try:
            from resemblyzer import VoiceEncoder
        except ImportError as error:
            raise MissingFileError("resemblyzer is not installed", fix="Install the test extra") from error
        self.encoder = VoiceEncoder("cpu", verbose=False)

    def __call__(self, audio: np.ndarray, sample_rate: int = 24_000) -> np.ndarray:
        """Return the unit embedding ``(256,)`` of ``(N,)`` audio."""
        from resemblyzer import preprocess_wav

        prepared = preprocess_wav(np.asarray(audio, np.float32), source_sr=sample_rate)
        return np.asarray(self.encoder.embed_utterance(prepared))


@dataclass(frozen=True)
class Nearest:
    """How a clip's voice compares with a set of reference voices."""

    own: float  # cosine with its own reference
    other: float  # with the nearest other one

    @property
    def margin(self) -> float:
        """Return how much nearer its own reference is than any other."""
        return self.own - self.other


def nearest_voice(embedding: np.ndarray, references: np.ndarray, own: int) -> Nearest:
    """Compare an embedding ``(256,)`` with reference voices ``(R, 256)`` of which row `own` is its own."""
    cosines = references @ embedding
    return Nearest(float(cosines[own]), float(np.delete(cosines, own).max()))


def centroid(embeddings: Sequence[np.ndarray]) -> np.ndarray:
    """Return the unit mean of embeddings."""
    mean = np.mean(np.stack(embeddings), axis=0)
    return mean / np.linalg.norm(mean)


def intelligibility(original: np.ndarray, copy: np.ndarray, sample_rate: int = 24_000) -> float:
    """Return STOI of a copy, 1 is perfect."""
    from pystoi import stoi

    return float(stoi(original, copy, sample_rate))


def quality(original: np.ndarray, copy: np.ndarray, sample_rate: int = 24_000) -> float:
    """Return wide-band PESQ of a copy, 1 to 4.6."""
    from pesq import pesq

    def at_16k(audio: np.ndarray) -> np.ndarray:
        return soxr.resample(audio, sample_rate, RECOGNISER_RATE)

    return float(pesq(RECOGNISER_RATE, at_16k(original), at_16k(copy), "wb"))
