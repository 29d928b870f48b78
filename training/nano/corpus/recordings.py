"""Cuts recordings into utterances, and adds to each speaker four neighbours and a bad recording."""

from __future__ import annotations

import json
import random
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from bark.errors import AudioError, MissingFileError

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
ROOM = "_r"  # suffix of the same voice recorded badly: prompts that a clean voice is learned from
ECHO = (0.1, 0.45)  # s until a room's echo is 60 dB weaker
ECHO_SHARE = (0.05, 0.4)  # of the echo's energy in that of the voice
NOISE_DB = (8.0, 30.0)  # of the voice over the noise
NOISE_COLOUR = (0.0, 0.95)  # first-order low-pass: from white to rumble
KEPT_BACK = 40  # every 40th speaker of a folder validates instead of training
MANIFEST = "manifest.json"  # rows with file, source and speaker, where names do not say it
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
    room: bool = False  # with echo and noise
    folder: int = 0  # which of the folders of recordings it is from
    kept_back: bool = False  # validates instead of training

    @property
    def as_recorded(self) -> bool:
        """Tell whether this is the speaker's own speech, no version of it."""
        return self.rate == 1.0 and not self.room


def find_recordings(folder: Path, seed: int = 0, index: int = 0) -> tuple[Recording, ...]:
    """Return every speaker below `folder`, with four neighbours and one bad recording.

    Parameters
    ----------
    folder : a file's name up to its first "-" is the speaker, unless ``manifest.json`` tells.
    index : which of several folders it is.

    Raises
    ------
    MissingFileError : if it holds no recording.
    AudioError : if its manifest does not name the speakers.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise MissingFileError(f"no recordings in {folder}", allowed=", ".join(SUFFIXES))
    named = _named_speakers(folder)
    speakers: dict[str, list[Path]] = {}
    for path in paths:
        speaker = named.get(path.name, path.stem.partition("-")[0])
        speakers.setdefault(speaker, []).append(path)
    kept_back = sorted(speakers)[::KEPT_BACK] if len(speakers) >= KEPT_BACK else []
    rng = random.Random(seed)
    recordings: list[Recording] = []
    for speaker, found in speakers.items():
        place: dict[str, Any] = {"folder": index, "kept_back": speaker in kept_back}
        for suffix, bounds in NEIGHBOURS.items():
            rate = round(rng.uniform(*bounds), 3)
            tilt = round(rng.uniform(-TILT, TILT), 3) if suffix else 0.0
            recordings.append(
                Recording(f"real_{speaker}{suffix}", tuple(found), rate, tilt, **place)
            )
        bad = Recording(f"real_{speaker}{ROOM}", tuple(found), 1.0, 0.0, room=True, **place)
        recordings.append(bad)
    return tuple(recordings)


def _named_speakers(folder: Path) -> dict[str, str]:
    """Return the speaker of each file that a folder's manifest names: letters and digits only."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        named = {row["file"]: f"{row['source']}{row['speaker']}" for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        wanted = "a list of objects with file, source and speaker"
        raise AudioError(f"{path} does not name the speakers", error, wanted) from error
    return {name: re.sub(r"[^0-9A-Za-z]", "", speaker) for name, speaker in named.items()}


def read_recording(recording: Recording) -> list[np.ndarray]:
    """Return the recording's utterances: 24 kHz float32, levelled, long silences shortened, on the
    grid.
    """
    pieces: list[np.ndarray] = []
    for path in recording.paths:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        audio = soxr.resample(audio.mean(1), rate * recording.rate, SAMPLE_RATE).astype(np.float32)
        pieces += _cut(shorten_silences(level(tilted(audio, recording.tilt))))
    if recording.room:
        rng = np.random.default_rng(zlib.crc32(recording.name.encode()))
        pieces = [in_a_room(piece, rng) for piece in pieces]
    return pieces


def in_a_room(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``(N,)`` audio at its level with echo and noise as in a bad recording."""
    time = np.arange(int(ECHO[1] * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.normal(size=len(time)) * 10 ** (-3 * time / rng.uniform(*ECHO))
    echo[0] = 0.0
    echo *= np.sqrt(rng.uniform(*ECHO_SHARE) / (echo**2).sum())
    echo[0] = 1.0
    length = len(audio) + len(echo)
    voice = np.fft.irfft(np.fft.rfft(audio, length) * np.fft.rfft(echo, length), length)
    voice = voice[: len(audio)]
    colour = rng.uniform(*NOISE_COLOUR)
    spectrum = np.fft.rfft(rng.normal(size=len(audio)))
    turn = np.exp(-1j * np.pi * np.arange(len(spectrum)) / len(spectrum))
    noise = np.fft.irfft(spectrum / (1 - colour * turn), len(audio))
    ratio = 10 ** (-rng.uniform(*NOISE_DB) / 20)
    noise *= ratio * np.sqrt((voice**2).mean() / max((noise**2).mean(), 1e-12))
    return level((voice + noise).astype(np.float32))


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
