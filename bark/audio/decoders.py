"""Turns an audio or video file into blocks of samples, by libsndfile or PyAV (the
extra ``media``).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bark.errors import AudioError, MissingFileError

BLOCK = 1 << 16  # samples of each channel decoded at once
COMPLETE = 0.98  # found : declared, below which a file counts as cut short
STREAMED = 0x7FFF_F000  # sizes from here on were written before the length was known
OGG_PAGE = 27 + 255 + 255 * 255  # bytes, at most

# ---- any file
# -----------------------------------------------------------------------------------------


def regular_file(path: str | Path) -> Path:
    """Return the path of a readable regular file; a pipe, device or address is refused unopened."""
    if isinstance(path, str) and "://" in path:
        raise AudioError("audio is read from files, not addresses", path, fix="Download it first")
    path = Path(path).expanduser()
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # too long
        raise AudioError("this is no file name", ascii(str(path)[:80])) from error
    if not there:
        raise MissingFileError(f"no file {path}")
    if not path.is_file():  # opening a pipe would wait for ever
        raise AudioError(f"{path}: is not a regular file")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path}: may not be read", fix="Change its permissions")
    return path


def probe(path: Path) -> tuple[str | None, int, int, int]:
    """Return FFmpeg's container name (None for libsndfile), sample rate, channels and samples a
    channel.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        file.seek(max(0, size - OGG_PAGE))
        tail = file.read()
    if not size:
        raise AudioError(f"{path}: is empty", "0 bytes")
    if (demuxer := _demuxer(head)) is not None:
        return demuxer, *_probe_media(path, demuxer)
    _refuse_cut(path, head, tail, size)
    with _soundfile(path) as opened:
        return None, opened.samplerate, opened.channels, opened.frames


def sample_blocks(
    path: Path, demuxer: str | None, sample_rate: int, first: int
) -> Iterator[np.ndarray]:
    """Yield (n, channels) float32 blocks from sample `first` to the end."""
    if demuxer is None:
        return _soundfile_blocks(path, first)
    return _media_blocks(path, demuxer, sample_rate, first)


def _demuxer(head: bytes) -> str | None:
    """Return FFmpeg's name for a container that libsndfile cannot read; naming it rules playlists
    out.
    """
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x30\x26\xb2\x75":
        return "asf"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:  # ADTS, layer 0
        return "aac"
    return None


def _refuse_cut(path: Path, head: bytes, tail: bytes, size: int) -> None:
    """Compare what RIFF, AIFF and Ogg promise with the size: libsndfile plays what is left,
    silently.
    """
    declared = 0
    if head[:4] == b"RIFF":
        declared = 8 + int.from_bytes(head[4:8], "little")
    elif head[:4] == b"FORM":
        declared = 8 + int.from_bytes(head[4:8], "big")
    if declared < STREAMED and size < COMPLETE * declared:
        raise AudioError(
            f"{path}: is cut short", f"{size:,} bytes", f"{declared:,}", "Export it again"
        )
    if head[:4] == b"OggS":
        page = tail[tail.rfind(b"OggS") :]
        segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
        if len(page) < 27 or len(segments) < page[26] or len(page) < 27 + page[26] + sum(segments):
            raise AudioError(
                f"{path}: is cut short: its last Ogg page is not whole", fix="Export it again"
            )


# ---- libsndfile
# ---------------------------------------------------------------------------------------


class _Nameless:
    """A file without a name: soundfile would take ``x.raw`` for samples without a header."""

    def __init__(self, file: BufferedReader) -> None:
        self.read, self.readinto, self.seek, self.tell = (
            file.read,
            file.readinto,
            file.seek,
            file.tell,
        )


@contextmanager
def _soundfile(path: Path) -> Iterator[Any]:
    import soundfile

    with path.open("rb") as file:
        try:
            opened = soundfile.SoundFile(_Nameless(file))
        except (soundfile.SoundFileError, TypeError, ValueError) as error:
            file.seek(0)
            raise AudioError(
                f"{path}: is not recognised as audio",
                f"first bytes {file.read(8).hex(' ')}",
                "wav, flac, ogg, mp3, aiff; m4a, webm and video with the extra 'media'",
            ) from error
        with opened:
            yield opened


def _soundfile_blocks(path: Path, first: int) -> Iterator[np.ndarray]:
    import soundfile

    with _soundfile(path) as opened:
        try:
            opened.seek(first)
            while len(block := opened.read(BLOCK, dtype="float32", always_2d=True)):
                yield block
        except soundfile.SoundFileError as error:
            reason = str(error).removeprefix("Error : ").rstrip(".")
            raise AudioError(f"{path}: is damaged ({reason})", fix="Export it again") from error


# ---- PyAV
# ---------------------------------------------------------------------------------------------


def _probe_media(path: Path, demuxer: str) -> tuple[int, int, int]:
    """Return the first audio stream's sample rate, channels and number of samples."""
    with _opened(path, demuxer) as (container, stream):
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        if stream.duration and stream.time_base:
            return rate, channels, int(stream.duration * stream.time_base * rate)
        if container.duration:  # microseconds
            return rate, channels, int(container.duration * rate / 1_000_000)
    # Recorders in browsers write no duration: decode once to count.
    return rate, channels, sum(len(block) for block in _media_blocks(path, demuxer, rate, 0))


def _media_blocks(path: Path, demuxer: str, sample_rate: int, first: int) -> Iterator[np.ndarray]:
    """Yield (n, channels) float32 blocks of the first audio stream from sample `first` on."""
    av = _pyav(path)
    with _opened(path, demuxer) as (container, stream):
        converter = av.AudioResampler(format="fltp", rate=sample_rate)
        skip = first
        for frame in _frames(container, stream, converter):
            block = frame.T  # (channels, n) -> (n, channels)
            if skip >= len(block):
                skip -= len(block)
                continue
            yield block[skip:]
            skip = 0


def _frames(container: Any, stream: Any, converter: Any) -> Iterator[np.ndarray]:
    for frame in container.decode(stream):
        for converted in converter.resample(frame):
            yield converted.to_ndarray()
    for converted in converter.resample(None):  # what the converter still holds
        yield converted.to_ndarray()


@contextmanager
def _opened(path: Path, demuxer: str) -> Iterator[tuple[Any, Any]]:
    """Open by content through our own file object: FFmpeg never sees a name, so it opens nothing
    else.
    """
    av = _pyav(path)
    faults = (
        av.FFmpegError,
        ValueError,
        IndexError,
        EOFError,
        OSError,
        RuntimeError,
        OverflowError,
    )
    with path.open("rb") as file:
        try:
            with av.open(file, format=demuxer) as container:
                if not container.streams.audio or container.streams.audio[0].codec_context is None:
                    raise AudioError(f"{path}: has no audio stream that FFmpeg can decode")
                yield container, container.streams.audio[0]
        except AudioError:
            raise
        except faults as error:
            raise AudioError(
                f"{path}: is damaged or no {demuxer} file", fix="Export it as wav"
            ) from error


def _pyav(path: Path) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise AudioError(
            f"{path}: is an m4a, webm or video file, for which PyAV is missing",
            fix="pip install 'bark-voice-booth[media]', or export it as wav",
        ) from error
    return av
