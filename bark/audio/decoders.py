"""Decode an audio or video file in this process, by libsndfile or PyAV."""

from collections.abc import Iterator
from contextlib import nullcontext
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bark.errors import AudioError

from . import media, sndfile
from .container import View, look


class Probe(NamedTuple):
    """What a file says about its sound."""

    demuxer: str | None  # FFmpeg's name of the container; None is read by libsndfile
    sample_rate: int  # Hz
    channels: int
    frames: int  # samples of each channel
    counted: bool  # else `frames` is a guess, or 0: only decoding tells


def safe_here(file: BufferedReader) -> bool:
    """Tell whether the file may be decoded in this process: no FFmpeg, no notes on stderr."""
    container = look(file)
    if container.demuxer is not None:
        media.require_pyav()
    return container.quiet and container.demuxer is None


def probe(file: BufferedReader) -> Probe:
    """Look into a file; errors do not name it."""
    found = look(file)
    view = View(file, found.start, found.patch)
    if found.demuxer is not None:
        return Probe(found.demuxer, *media.probe(view, found.demuxer))
    try:
        return Probe(None, *sndfile.probe(view), True)
    except AudioError:
        if found.quiet or found.fallback is None or not media.has_pyav():
            raise
        return Probe(found.fallback, *media.probe(view, found.fallback))


def sample_blocks(
    path: Path,
    demuxer: str | None,
    sample_rate: int,
    first: int,
    opened: BufferedReader | None = None,
) -> Iterator[np.ndarray]:
    """Yield (n, channels) float32 blocks from sample `first` to the end; those before are empty.

    The file is opened and closed here unless the caller has it `opened`.
    """
    with path.open("rb") if opened is None else nullcontext(opened) as file:
        found = look(file)
        view = View(file, found.start, found.patch)
        if demuxer is None:
            decoded = sndfile.blocks(view, first)
        else:
            decoded = media.blocks(view, demuxer, sample_rate)
        for at, block in decoded:
            yield block[max(0, first - at) :]
