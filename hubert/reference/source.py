"""Reads a recording, file or samples, with all its channels, a block at a time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bark.audio import decoders, isolation
from bark.audio.read import open_audio
from bark.errors import AudioError

BLOCK = 1 << 16  # samples of each channel looked at once


@dataclass(frozen=True)
class Source:
    """A recording whose parts are read when needed."""

    name: str
    rate: int  # Hz
    duration: float  # s
    blocks: Callable[[float], Iterator[np.ndarray]]  # from a second on: (n, channels) float32

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


def open_source(recording: str | Path | np.ndarray, sample_rate: int | None) -> Source:
    """Return a file, or samples (N,) or (N, channels) with their rate, as a source."""
    if isinstance(recording, np.ndarray):
        return _samples(recording, sample_rate)
    opened = open_audio(recording)
    where, rate = str(opened.path), opened.sample_rate

    def blocks(start: float) -> Iterator[np.ndarray]:
        if opened.channels == 1:  # also notices where the file is cut short
            return (block[:, None] for block in opened.blocks(start))
        way = isolation if opened.isolated else decoders
        decoded = way.sample_blocks(opened.path, opened.demuxer, rate, round(start * rate))
        return _finite(decoded, where)

    return Source(where, rate, opened.duration, blocks)


def _samples(samples: np.ndarray, rate: int | None) -> Source:
    if rate is None:
        raise AudioError("samples need their sample_rate")
    columns = samples if samples.ndim == 2 else samples[:, None] if samples.ndim == 1 else None
    if columns is None or samples.dtype.kind not in "iuf":
        raise AudioError(
            "samples have the wrong shape or type",
            f"{samples.shape} {samples.dtype}",
            "numbers (N,) or (N, channels)",
        )
    if columns.shape[1] > len(columns):
        columns = columns.T  # torch's order
    if not columns.size:
        raise AudioError("recording holds no samples")
    if columns.dtype.kind == "f":
        columns = columns.astype(np.float32)
    else:
        full = float(np.iinfo(columns.dtype).max) + 1
        half = full / 2 if columns.dtype.kind == "u" else full
        offset = half if columns.dtype.kind == "u" else 0.0
        columns = ((columns.astype(np.float32) - offset) / half).astype(np.float32)

    def blocks(start: float) -> Iterator[np.ndarray]:
        first = round(start * rate)
        pieces = (columns[at : at + BLOCK] for at in range(first, len(columns), BLOCK))
        return _finite(pieces, "recording")

    return Source("recording", rate, len(columns) / rate, blocks)


def _finite(blocks: Iterable[np.ndarray], where: str) -> Iterator[np.ndarray]:
    for block in blocks:
        if not len(block):
            continue
        if not np.isfinite(block).all():
            raise AudioError(f"{where}: holds NaN or infinity", allowed="finite samples")
        yield block
