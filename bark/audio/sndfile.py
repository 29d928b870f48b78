"""Decode what libsndfile reads: wav, flac, ogg, mp3, aiff, au and more."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bark.errors import AudioError

from .container import View

BLOCK = 1 << 16  # samples of each channel decoded at once


def probe(view: View) -> tuple[int, int, int]:
    """Return the sample rate, channels and samples a channel."""
    with _soundfile(view) as opened:
        return opened.samplerate, opened.channels, opened.frames


def blocks(view: View, first: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (n, channels) float32 blocks with the number of their first sample.

    They begin at sample `first`, or at 0 where the codec cannot seek, as GSM 6.10.
    """
    import soundfile

    with _soundfile(view) as opened:
        try:
            at = opened.seek(first) if first and opened.seekable() else 0
            while len(block := opened.read(BLOCK, dtype="float32", always_2d=True)):
                yield at, block
                at += len(block)
        except soundfile.SoundFileError as error:
            reason = str(error).removeprefix("Error : ").rstrip(".")
            raise AudioError(f"is damaged ({reason})", fix="Export it again") from error


@contextmanager
def _soundfile(view: View) -> Iterator[Any]:
    import soundfile

    view.seek(0)
    try:
        opened = soundfile.SoundFile(view)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        view.seek(0)
        raise AudioError(
            "is not recognised as audio",
            f"first bytes {view.read(8).hex(' ')}",
            "wav, flac, ogg, mp3, aiff; m4a, webm and video with the extra 'media'",
        ) from error
    with opened:
        yield opened
