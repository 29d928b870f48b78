"""Decode what needs FFmpeg, by PyAV (the extra ``media``): m4a, aac, webm, amr and video files."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from bark.errors import AudioError

from .container import View
from .samples import MAX_CHANNELS
from .sndfile import BLOCK

MOST_CHANGE = 4  # of the sample rate in mid-stream; HE-AAC doubles it once its first frame is read


def has_pyav() -> bool:
    """Tell whether the extra ``media`` is installed."""
    return find_spec("av") is not None


def require_pyav() -> None:
    """Refuse a file that needs PyAV where it is not installed."""
    if not has_pyav():
        raise AudioError(
            "is m4a, webm, video or a rare codec, for which PyAV is missing",
            fix="pip install 'bark-voice-booth[media]', or export it as wav",
        )


def probe(view: View, demuxer: str) -> tuple[int, int, int, bool]:
    """Return the first audio stream's sample rate, channels and samples, and whether they count.

    A length that stands for the stream itself counts. One of the whole container is a bound, and
    0 where it holds pictures, too; raw streams have none, and neither have recordings of browsers.
    """
    with _opened(view, demuxer) as (container, stream):
        rate, channels = stream.codec_context.sample_rate or 0, stream.codec_context.channels or 0
        if demuxer in ("aac", "amr"):  # FFmpeg guesses by the bit rate
            return rate, channels, 0, False
        if stream.duration and stream.time_base:
            return rate, channels, int(stream.duration * stream.time_base * rate), True
        sound_alone = len(container.streams) == len(container.streams.audio) == 1
        microseconds = (container.duration or 0) if sound_alone else 0
        return rate, channels, max(0, int(microseconds * rate / 1_000_000)), False


def blocks(view: View, demuxer: str, sample_rate: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (n, channels) float32 blocks of the first audio stream with their first sample."""
    with _opened(view, demuxer) as (container, stream):
        at = 0
        held: list[np.ndarray] = []
        for frame in _frames(container, stream, sample_rate):
            for piece in np.split(frame, range(BLOCK, len(frame), BLOCK)):
                held.append(piece)
                if (count := sum(map(len, held))) >= BLOCK:
                    yield at, np.concatenate(held)
                    at, held = at + count, []
        if held:
            yield at, np.concatenate(held)


def _frames(container: Any, stream: Any, sample_rate: int) -> Iterator[np.ndarray]:
    """Yield the frames (n, channels); no resampler ever sees two kinds of them.

    FFmpeg's reads past the end of its buffers where the number of channels changes under it.
    """
    import av

    resampler, kind, channels = None, None, 0
    for frame in container.decode(stream):
        found = frame.layout.nb_channels
        if not 1 <= found <= MAX_CHANNELS or (channels and found != channels):
            raise AudioError(
                "changes its channels in mid-stream", found, channels or f"1 to {MAX_CHANNELS}"
            )
        if not sample_rate <= MOST_CHANGE * frame.sample_rate <= MOST_CHANGE**2 * sample_rate:
            raise AudioError(
                "changes its sample rate in mid-stream", f"{frame.sample_rate} Hz", sample_rate
            )
        if kind != (now := (frame.format.name, frame.layout.name, frame.sample_rate)):
            if resampler is not None:
                yield from _converted(resampler, None)
            resampler = av.AudioResampler(format="fltp", rate=sample_rate)
            kind, channels = now, found
        yield from _converted(resampler, frame)
    if resampler is not None:
        yield from _converted(resampler, None)


def _converted(resampler: Any, frame: Any) -> Iterator[np.ndarray]:
    for converted in resampler.resample(frame):  # None: what it still holds
        yield converted.to_ndarray().T  # (channels, n) -> (n, channels)


@contextmanager
def _opened(view: View, demuxer: str) -> Iterator[tuple[Any, Any]]:
    """Open by content, through our file object: FFmpeg sees no name, so it opens nothing else."""
    import av

    faults = (
        av.FFmpegError,
        ValueError,
        IndexError,
        EOFError,
        OSError,
        RuntimeError,
        OverflowError,
    )
    view.seek(0)
    try:
        with av.open(view, format=demuxer) as container:
            if not container.streams.audio or container.streams.audio[0].codec_context is None:
                raise AudioError("has no audio stream that FFmpeg can decode")
            yield container, container.streams.audio[0]
    except AudioError:
        raise
    except faults as error:
        raise AudioError(f"is damaged or no {demuxer} file", fix="Export it as wav") from error
