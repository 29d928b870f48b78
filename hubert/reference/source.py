"""Reads a recording, file or samples, with all its channels, a block at a time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from bark.audio.read import open_audio
from bark.audio.samples import channels_of
from bark.errors import AudioError

BLOCK = 1 << 16  # samples of each channel looked at once


@dataclass(frozen=True)
class Source:
    """A recording whose parts are read when needed."""

    name: str
    rate: int  # Hz
    duration: float  # s
    blocks: Callable[[float], Iterator[np.ndarray]]  # from a second on: (n, channels) float32
    path: Path | None = None  # of a file

    def part(self, start: float, end: float) -> np.ndarray:
        """Return the samples between two seconds: (N, channels)."""
        wanted = round((end - start) * self.rate)
        held, parts = 0, []
        for block in self.blocks(start):
            parts.append(block[: wanted - held])
            held += len(parts[-1])
            if held >= wanted:
                break
        if not parts:
            raise AudioError(f"{self.name}: holds no samples after {start:.2f} s")
        return np.concatenate(parts)

    def held(self) -> "Source":
        """Return the same recording, read once and kept in memory."""
        samples = self.part(0.0, self.duration)
        return replace(self, blocks=_pieces(samples, self.rate))


def open_source(
    recording: Any,
    sample_rate: int | None = None,
    *,
    isolated: bool = False,
    file: BufferedReader | None = None,
) -> Source:
    """Return a file, or samples of any kind that `bark.audio.samples_of` takes, as a source.

    `isolated` and `file` are those of `bark.audio.open_audio`.
    """
    if isinstance(recording, Source):
        return recording
    if not isinstance(recording, (str, Path)):
        return _samples(recording, sample_rate)
    opened = open_audio(recording, isolated=isolated, file=file)
    where, rate = str(opened.path), opened.sample_rate

    def blocks(start: float) -> Iterator[np.ndarray]:
        if opened.channels == 1:  # also notices where the file is cut short
            return (block[:, None] for block in opened.blocks(start))
        return _finite(opened.channel_blocks(round(start * rate)), where)

    return Source(where, rate, opened.duration, blocks, opened.path)


def _samples(recording: Any, sample_rate: int | None) -> Source:
    samples, rate = channels_of(recording, sample_rate, "recording ")
    if rate is None:
        raise AudioError("samples need their sample_rate")
    if not samples.size:
        raise AudioError("recording holds no samples")
    columns = samples if samples.ndim == 2 else samples[:, None]
    return Source("recording", rate, len(columns) / rate, _pieces(columns, rate))


def _pieces(columns: np.ndarray, rate: int) -> Callable[[float], Iterator[np.ndarray]]:
    """Return what yields samples (N, channels) block by block from a second on."""

    def blocks(start: float) -> Iterator[np.ndarray]:
        return (columns[at : at + BLOCK] for at in range(round(start * rate), len(columns), BLOCK))

    return blocks


def _finite(blocks: Iterable[np.ndarray], where: str) -> Iterator[np.ndarray]:
    for block in blocks:
        if not len(block):
            continue
        if not np.isfinite(block).all():
            raise AudioError(f"{where}: holds NaN or infinity", allowed="finite samples")
        yield block
