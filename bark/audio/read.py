"""Turns any audio file or array into mono float32 samples, and samples into wav,
flac, mp3 or ogg.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bark.errors import AudioError

from .decoders import COMPLETE, probe, regular_file, sample_blocks

logger = logging.getLogger(__name__)

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz
MAX_CHANNELS = 32
MAX_SECONDS = 2 * 3600.0  # 24 kHz float32: 0.7 GB
BLOCK = 1 << 16  # samples written at once
SILENCE = 1e-3  # RMS of full scale, -60 dBFS
LOUDEST = 8.0  # of full scale; a float file above it holds other units
DC_LIMIT = 0.01  # of full scale


@dataclass(frozen=True)
class AudioSource:
    """A recording on disk whose parts are decoded on demand, in bounded memory."""

    path: Path
    sample_rate: int  # Hz
    channels: int
    frames: int  # samples of each channel
    demuxer: str | None = None  # for PyAV; None is read by libsndfile

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate

    def read(
        self,
        start: float | None = None,
        end: float | None = None,
        sample_rate: int | None = None,
        max_seconds: float = MAX_SECONDS,
    ) -> np.ndarray:
        """Decode [start, end) seconds to mono (N,) float32, the mean of the channels.

        Parameters
        ----------
        start, end : seconds; the whole recording by default. An `end` after the last sample is the
            last.
        sample_rate : Hz of the result, resampled straight from the source; the source's own by
            default.
        max_seconds : an error, not a cut, above it.
        """
        first, last = self._samples(start, end, max_seconds)
        rate = self.sample_rate if sample_rate is None else sample_rate
        _check_rate(rate)
        audio = np.empty(math.ceil((last - first) * rate / self.sample_rate) + 1, dtype=np.float32)
        filled = 0
        for block in _resampled(self._mono_blocks(first, last), self.sample_rate, rate):
            room = audio[filled : filled + len(block)]
            room[:] = block[: len(room)]
            filled += len(room)
        return audio[:filled]

    def blocks(self, start: float | None = None, end: float | None = None) -> Iterator[np.ndarray]:
        """Decode [start, end) seconds of any length by blocks: mono (n,) float32 at the source's
        rate.
        """
        return self._mono_blocks(*self._samples(start, end, math.inf))

    def _samples(
        self, start: float | None, end: float | None, max_seconds: float
    ) -> tuple[int, int]:
        first, last = _span(start, end, self.duration, max_seconds, str(self.path))
        return round(first * self.sample_rate), round(last * self.sample_rate)

    def _mono_blocks(self, first: int, last: int) -> Iterator[np.ndarray]:
        """Yield the samples [first, last) block by block; a fault in the file is an
        `AudioError`.
        """
        at = first
        for block in sample_blocks(
            self.path, self.demuxer, self.sample_rate, first
        ):  # (n, channels)
            mono = (
                block[: last - at].mean(axis=1, dtype=np.float32)
                if block.shape[1] > 1
                else block[: last - at, 0]
            )
            if not np.isfinite(mono).all():
                refuse_non_finite(mono, f"{self.path}: ", at, self.sample_rate)
            at += len(mono)
            yield mono
            if at >= last:
                return
        if at - first < COMPLETE * (last - first):
            raise AudioError(
                f"{self.path}: is cut short",
                f"{at / self.sample_rate:.2f} s decoded",
                f"the {last / self.sample_rate:.2f} s its header declares",
                "Export it again",
            )


def _span(
    start: float | None, end: float | None, duration: float, max_seconds: float, where: str
) -> tuple[float, float]:
    """Return the checked seconds [start, end) of a recording; what is None is its begin or end."""
    start = 0.0 if start is None else float(start)
    end = duration if end is None else min(float(end), duration)
    if not 0 <= start < end:
        raise AudioError(
            f"{where}: the part asked for is empty",
            f"{start:g} s to {end:g} s",
            f"inside 0 s to {duration:.2f} s, start before end",
        )
    if end - start > max_seconds:
        raise AudioError(
            f"{where}: the part is too long",
            f"{end - start:.0f} s",
            f"up to {max_seconds:.0f} s",
            "Choose a part with start and end",
        )
    return start, end


def open_audio(path: str | Path) -> AudioSource:
    """Look into an audio file: its content, not its name, tells what it is.

    wav, flac, ogg (Vorbis, Opus), mp3, aiff, au and more through libsndfile; m4a, aac, webm and
    video files with the extra ``media``.

    Raises
    ------
    MissingFileError : there is no such file.
    AudioError : it is no regular file, no audio, cut short, or outside the limits.
    """
    path = regular_file(path)
    demuxer, rate, channels, frames = probe(path)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"{path}: sample rate", f"{rate} Hz", f"{MIN_RATE} to {MAX_RATE} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{path}: channels", channels, f"1 to {MAX_CHANNELS}")
    if frames < 1:
        raise AudioError(f"{path}: holds no samples", fix="It may be cut short; export it again")
    return AudioSource(path, rate, channels, frames, demuxer)


def load_audio(
    source: str | Path | np.ndarray,
    sample_rate: int,
    *,
    source_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    max_seconds: float = MAX_SECONDS,
) -> np.ndarray:
    """Load a recording as mono (N,) float32 at `sample_rate`, ready for a network.

    Parameters
    ----------
    source : a file, or samples (N,) or (N, channels) with their `source_rate`. Integers are scaled
        to ±1.
    start, end : seconds.

    Raises
    ------
    MissingFileError, AudioError Besides faults of the file: NaN or infinity, samples far above full
        scale, silence, an empty array."""
    if isinstance(source, (str, Path)):
        opened = open_audio(source)
        return check_audio(opened.read(start, end, sample_rate, max_seconds), f"{opened.path}: ")
    if source_rate is None:
        raise AudioError("samples need their source_rate", None, f"{MIN_RATE} to {MAX_RATE} Hz")
    _check_rate(source_rate)
    mono = _mono_array(source)
    if len(mono):
        duration = len(mono) / source_rate
        first, last = _span(start, end, duration, max_seconds, "samples")
        mono = mono[round(first * source_rate) : round(last * source_rate)]
    if not np.isfinite(mono).all():
        refuse_non_finite(mono, "", 0, source_rate)
    return check_audio(resample(mono, source_rate, sample_rate))


def check_audio(audio: np.ndarray, where: str = "") -> np.ndarray:
    """Return finite samples (N,) without a constant offset; refuse what no one could call a
    recording.
    """
    if not len(audio):
        raise AudioError(f"{where}holds no samples")
    peak = float(np.abs(audio).max())
    if peak > LOUDEST:
        raise AudioError(
            f"{where}samples reach far beyond full scale",
            f"{peak:g}",
            f"up to {LOUDEST:g}, normally 1",
            "Divide integers kept as floats by their full scale",
        )
    offset = float(audio.mean(dtype=np.float64))
    if abs(offset) > DC_LIMIT:
        logger.warning("%sconstant offset of %.3f removed", where, offset)
        audio = audio - np.float32(offset)
    rms = math.sqrt(float(np.square(audio).mean(dtype=np.float64)))
    if rms < SILENCE:
        level = f"{20 * math.log10(rms):.0f} dBFS" if rms else "digital silence"
        raise AudioError(
            f"{where}is silent", level, f"{20 * math.log10(SILENCE):.0f} dBFS or louder"
        )
    return audio


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample (N,) to (about N * to_rate / from_rate,) float32 in one step."""
    _check_rate(from_rate)
    _check_rate(to_rate)
    audio = np.asarray(audio, dtype=np.float32)
    if from_rate == to_rate or not len(audio):
        return audio
    import soxr

    return soxr.resample(audio, from_rate, to_rate)


# ---- reading
# ------------------------------------------------------------------------------------------


def _resampled(blocks: Iterator[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Resample a stream of (n,) blocks; the same samples as `resample` gives for the whole."""
    if from_rate == to_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)


def _mono_array(source: Any) -> np.ndarray:
    """Return samples of any numeric type, (N,) or (N, channels), as mono float32 in ±1."""
    array = np.asarray(source)
    if array.ndim == 2 and array.shape[1] > MAX_CHANNELS >= array.shape[0]:
        array = array.T  # torch's order
    if (
        array.ndim not in (1, 2)
        or array.dtype.kind not in "iuf"
        or (array.ndim == 2 and not array.shape[1])
    ):
        raise AudioError(
            "samples have the wrong shape or type",
            f"{array.shape} {array.dtype}",
            "numbers (N,) or (N, channels)",
        )
    scaled = array.astype(np.float32)
    if array.dtype.kind in "iu":
        half = float(
            np.iinfo(array.dtype).max // 2 + 1
            if array.dtype.kind == "u"
            else np.iinfo(array.dtype).max + 1
        )
        scaled = (scaled - half if array.dtype.kind == "u" else scaled) / np.float32(half)
    return scaled.mean(axis=1, dtype=np.float32) if array.ndim == 2 else scaled


def _check_rate(rate: int) -> None:
    if (
        isinstance(rate, bool)
        or not isinstance(rate, (int, np.integer))
        or not MIN_RATE <= rate <= MAX_RATE
    ):
        raise AudioError("sample rate", rate, f"{MIN_RATE} to {MAX_RATE} Hz")


def refuse_non_finite(mono: np.ndarray, where: str, before: int, rate: int) -> None:
    bad = np.flatnonzero(~np.isfinite(mono))
    raise AudioError(
        f"{where}holds NaN or infinity",
        f"{len(bad)} such samples, the first at {(before + bad[0]) / rate:.4f} s",
        "finite samples",
    )


# ---- writing
# ------------------------------------------------------------------------------------------
