"""Read recordings: files of every format and samples of every kind, as mono float32."""

import logging
import math
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from bark.errors import AudioError, MissingFileError

from . import decoders, isolation
from .container import COMPLETE
from .samples import (
    MAX_CHANNELS,
    MAX_RATE,
    MIN_RATE,
    SILENCE,
    Mixer,
    check_rate,
    refuse_unusable,
    samples_of,
)

logger = logging.getLogger(__name__)

MAX_SECONDS = 2 * 3600.0  # 24 kHz float32: 0.7 GB
MAX_COUNTED = 24 * 3600.0  # seconds decoded to find a length that no header tells
# s by which a length may be overstated: encoders pad, and an mp3 that was streamed has it guessed
DELAY = 0.1
DC_LIMIT = 0.01  # of full scale


@dataclass(frozen=True)
class AudioSource:
    """A recording on disk whose parts are decoded on demand, in bounded memory."""

    path: Path
    sample_rate: int  # Hz
    channels: int
    frames: int  # samples of each channel
    demuxer: str | None = None  # for PyAV; None is read by libsndfile
    isolated: bool = False  # decoded by a worker process
    file: BufferedReader | None = None  # kept open by the caller; else opened for each reading

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
        """Decode [start, end) seconds to mono (N,) float32, the channels mixed.

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
        check_rate(rate)
        audio = np.empty(math.ceil((last - first) * rate / self.sample_rate) + 1, dtype=np.float32)
        filled = 0
        for block in resampled(self._mono_blocks(first, last), self.sample_rate, rate):
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
        """Yield the samples [first, last) by blocks; a fault of the file is an `AudioError`."""
        at = first
        mix = Mixer(f"{self.path}: ")
        with closing(self.channel_blocks(first)) as blocks:
            for block in blocks:  # (n, channels)
                block = block[: last - at]
                if not len(block):
                    continue
                refuse_unusable(block, f"{self.path}: ", at, self.sample_rate)
                at += len(block)
                yield mix(block)
                if at >= last:
                    return
        if self._is_short(at - first, last - first):
            _refuse_short(self, at, last)

    def _is_short(self, found: int, declared: int) -> bool:
        return found < COMPLETE * declared - DELAY * self.sample_rate

    def channel_blocks(self, first: int = 0) -> Generator[np.ndarray, None, None]:
        """Yield what the decoder gives from sample `first` on, unchecked: (n, channels) float32."""
        about = self.path, self.demuxer, self.sample_rate, first
        with _named(self.path):
            if self.isolated:
                yield from isolation.sample_blocks(*about)
            else:
                yield from decoders.sample_blocks(*about, self.file)


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


def open_audio(
    path: str | Path, *, isolated: bool = False, file: BufferedReader | None = None
) -> AudioSource:
    """Look into an audio file: its content, not its name, tells what it is.

    wav, flac, ogg (Vorbis, Opus), mp3, aiff, au and more through libsndfile; m4a, aac, webm, amr
    and video files with the extra ``media``.

    Parameters
    ----------
    isolated : decode in a worker process whatever it is, as for the uploads of strangers. What
        needs FFmpeg, mp3 and rare formats are always decoded there.
    file : the same file, opened by the caller, who closes it; else it is opened for each reading.
        A worker process opens it for itself.

    Raises
    ------
    MissingFileError : there is no such file.
    AudioError : it is no regular file, no audio, cut short, or outside the limits.
    """
    path = _regular_file(path)
    with _named(path), path.open("rb") if file is None else nullcontext(file) as opened:
        apart = isolated or not decoders.safe_here(opened)
        found = isolation.probe(path) if apart else decoders.probe(opened)
        if not MIN_RATE <= found.sample_rate <= MAX_RATE:
            allowed = f"{MIN_RATE} to {MAX_RATE} Hz"
            raise AudioError("sample rate", f"{found.sample_rate} Hz", allowed)
        if not 1 <= found.channels <= MAX_CHANNELS:
            raise AudioError("channels", found.channels, f"1 to {MAX_CHANNELS}")
    source = AudioSource(
        path, found.sample_rate, found.channels, found.frames, found.demuxer, apart, file
    )
    if not found.counted:
        source = _counted(source)
    if source.frames < 1:
        raise AudioError(f"{path}: holds no samples", fix="It may be cut short; export it again")
    return source


@contextmanager
def open_file(path: str | Path) -> Iterator[BufferedReader]:
    """Open the file of a recording for `open_audio`, once for all that is read of it."""
    path = _regular_file(path)
    with _named(path):
        file = path.open("rb")
    with file:
        yield file


def _refuse_short(source: AudioSource, found: int, declared: int) -> None:
    raise AudioError(
        f"{source.path}: is cut short",
        f"{found / source.sample_rate:.2f} s decoded",
        f"the {declared / source.sample_rate:.2f} s its header declares",
        "Export it again",
    )


def _counted(source: AudioSource) -> AudioSource:
    """Decode once to count the samples; `source.frames` is the least there should be."""
    count, most = 0, round(MAX_COUNTED * source.sample_rate)
    for block in source.channel_blocks():
        count += len(block)
        if count > most:
            raise AudioError(f"{source.path}: is too long", allowed=f"{MAX_COUNTED / 3600:g} hours")
    if source._is_short(count, source.frames):
        _refuse_short(source, count, source.frames)
    return replace(source, frames=count)


def load_audio(
    source: Any,
    sample_rate: int,
    *,
    source_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    max_seconds: float = MAX_SECONDS,
    isolated: bool = False,
) -> np.ndarray:
    """Load a recording as mono (N,) float32 at `sample_rate`, ready for a network.

    Parameters
    ----------
    source : a file, or samples of any kind that `samples_of` takes: numpy or torch with their
        `source_rate`, or the pair (rate, samples).
    start, end : seconds.
    isolated : decode a file in a worker process whatever its format; see `open_audio`.

    Raises
    ------
    MissingFileError, AudioError : besides faults of the file NaN or infinity, samples far above
        full scale, silence, an empty array.
    """
    if isinstance(source, (str, Path)):
        opened = open_audio(source, isolated=isolated)
        return check_audio(opened.read(start, end, sample_rate, max_seconds), f"{opened.path}: ")
    mono, rate = samples_of(source, source_rate)
    if len(mono):
        first, last = _span(start, end, len(mono) / rate, max_seconds, "samples")
        mono = mono[round(first * rate) : round(last * rate)]
    return check_audio(resample(mono, rate, sample_rate))


def check_audio(audio: np.ndarray, where: str = "") -> np.ndarray:
    """Return finite samples (N,) without a constant offset; refuse what no one could call a
    recording.
    """
    if not len(audio):
        raise AudioError(f"{where}holds no samples")
    refuse_unusable(audio, where)
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
    check_rate(from_rate)
    check_rate(to_rate)
    audio = np.asarray(audio, dtype=np.float32)
    if from_rate == to_rate or not len(audio):
        return audio
    import soxr

    return soxr.resample(audio, from_rate, to_rate)


def resampled(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Resample a stream of (n,) blocks; the same samples as `resample` gives for the whole."""
    if from_rate == to_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)


def _regular_file(path: str | Path) -> Path:
    """Return the path of a readable regular file; a pipe, device or address is refused unopened."""
    if isinstance(path, str) and "://" in path:
        raise AudioError("audio is read from files, not addresses", path, fix="Download it first")
    path = Path(path)
    with suppress(RuntimeError):  # "~nosuchuser" is a name like any other
        path = path.expanduser()
    try:
        there = path.exists()
    except PermissionError as error:
        raise AudioError(f"{path}: may not be read", fix="Change its permissions") from error
    except (OSError, ValueError) as error:  # too long
        raise AudioError("this is no file name", ascii(str(path)[:80])) from error
    if not there:
        raise MissingFileError(f"no file {path}")
    if not path.is_file():  # opening a pipe would wait for ever
        raise AudioError(f"{path}: is not a regular file")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path}: may not be read", fix="Change its permissions")
    return path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Begin the errors of the decoders with the name that the caller gave the file."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{path}: {error.what}", error.got, error.allowed, error.fix) from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be read", error.strerror or error) from error
