"""Cuts recordings into utterances, and widens each speaker by four neighbours."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bark.errors import MissingFileError

from .synthesis import GRID, SAMPLE_RATE, level, tilted

SUFFIXES = (".flac", ".wav", ".ogg", ".mp3")
NEIGHBOURS = {
    "": (1.0, 1.0),
    "_a": (0.88, 0.94),
    "_b": (1.07, 1.14),
    "_c": (0.82, 0.88),
    "_d": (1.14, 1.20),
}  # suffix → range of the resampling factor
# most of a neighbour's spectral tilt, as another microphone has: the voice is to be heard in any
TILT = 0.35
FRAME = 240  # samples: 10 ms, for loudness
QUIET = 0.01  # RMS of a frame taken as silence, with the recording at RMS 0.08
PAUSE = 15  # frames: the longest silence kept, 150 ms
LENGTHS = (3.0, 6.0)  # s: a long recording is cut at its quietest place in this range


@dataclass(frozen=True)
class Recording:
    name: str  # the corpus's voice name
    paths: tuple[Path, ...]
    rate: float  # resampling factor: formants, pitch and tempo x rate
    tilt: float = 0.0  # first-order filter 1 - tilt z^-1: > 0 is brighter


def find_recordings(folder: Path, seed: int = 0) -> tuple[Recording, ...]:
    """Return every speaker below `folder`, with four neighbours; a file name up to "-" is the
    speaker.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise MissingFileError(f"no recordings in {folder}", allowed=", ".join(SUFFIXES))
    speakers: dict[str, list[Path]] = {}
    for path in paths:
        speakers.setdefault(path.stem.partition("-")[0], []).append(path)
    rng = random.Random(seed)
    return tuple(
        Recording(
            f"real_{speaker}{suffix}",
            tuple(found),
            round(rng.uniform(*bounds), 3),
            round(rng.uniform(-TILT, TILT), 3) if suffix else 0.0,
        )
        for speaker, found in speakers.items()
        for suffix, bounds in NEIGHBOURS.items()
    )


def read_recording(recording: Recording) -> list[np.ndarray]:
    """Return the recording's utterances: 24 kHz float32, levelled, long silences shortened, on the
    grid.
    """
    pieces: list[np.ndarray] = []
    for path in recording.paths:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        audio = soxr.resample(audio.mean(1), rate * recording.rate, SAMPLE_RATE).astype(np.float32)
        pieces += _cut(shorten_silences(level(tilted(audio, recording.tilt))))
    return pieces


def shorten_silences(audio: np.ndarray) -> np.ndarray:
    """Drop the middle of every silence longer than 150 ms; (N,) → (M,), M ≤ N."""
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME)
    quiet = np.sqrt((frames**2).mean(1)) < QUIET
    keep = np.ones(len(frames), bool)
    start = 0
    for index in range(1, len(frames) + 1):
        if index == len(frames) or quiet[index] != quiet[start]:
            if quiet[start] and index - start > PAUSE:
                keep[start + PAUSE // 2 : index - (PAUSE - PAUSE // 2)] = False
            start = index
    return frames[keep].reshape(-1)


def _cut(audio: np.ndarray) -> list[np.ndarray]:
    """Cut at the quietest 40 ms between 3 and 6 s, again and again; the rest below 40 ms is
    dropped.
    """
    audio = audio[: len(audio) // GRID * GRID]
    power = (audio.reshape(-1, GRID) ** 2).mean(1)  # one value for each 40 ms
    shortest, longest = (int(seconds * SAMPLE_RATE) // GRID for seconds in LENGTHS)
    cuts = [0]
    while len(power) - cuts[-1] > longest:
        low = cuts[-1] + shortest
        cuts.append(low + int(np.argmin(power[low : cuts[-1] + longest])))
    cuts.append(len(power))
    return [audio[a * GRID : b * GRID] for a, b in zip(cuts, cuts[1:], strict=False) if b > a]
