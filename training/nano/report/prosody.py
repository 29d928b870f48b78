"""Measures how fast clips are spoken beside others of the same texts, and pauses at commas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bark.text.english.phones import PhoneTokenizer
from training.nano.corpus.synthesis import SAMPLE_RATE

from .measures import Figure, figure
from .trials import Clip

FRAME = 240  # samples: 10 ms
QUIET = 0.05  # of the loud frames' RMS: -26 dB
PAUSE = 0.1  # s of quiet, at least; the closure of a stop is mostly shorter
NEAR = 0.3  # s between a pause and the place of its comma, at most


def loud_frames(audio: np.ndarray) -> np.ndarray:
    """Tell which 10 ms of ``(N,)`` audio are loud, from the first that is to the last."""
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.sqrt((frames.astype(np.float64) ** 2).mean(1))
    loud = power > QUIET * np.percentile(power, 95) if len(power) else np.zeros(0, bool)
    found = np.flatnonzero(loud)
    return loud[found[0] : found[-1] + 1] if len(found) else loud[:0]


def spoken_seconds(audio: np.ndarray) -> float:
    """Return how long ``(N,)`` audio is from its first to its last sound."""
    return len(loud_frames(audio)) * FRAME / SAMPLE_RATE


def pauses(audio: np.ndarray) -> list[tuple[float, float]]:
    """Return where pauses begin and end, in s from the first sound."""
    edges = np.flatnonzero(np.diff(loud_frames(audio).astype(int)))  # quiet begins, ends, begins, …
    times = (edges + 1) * FRAME / SAMPLE_RATE
    return [
        (float(start), float(end))
        for start, end in zip(times[::2], times[1::2], strict=True)
        if end - start >= PAUSE
    ]


def comma_places(text: str, tokenizer: PhoneTokenizer) -> list[float]:
    """Return for each comma inside a text the share of the phones in front of it."""
    symbols = tokenizer.decode(tokenizer.encode(text)).split()
    phones = [symbol for symbol in symbols if symbol != ","]
    places, before = [], 0
    for symbol in symbols:
        if symbol != ",":
            before += 1
        elif 0 < before < len(phones):
            places.append(before / len(phones))
    return places


def speaking_rate(clips: Sequence[Clip], originals: Sequence[Clip]) -> Figure:
    """Return syllables a second of clips over those of the same texts spoken by the originals."""
    pairs = [
        (spoken_seconds(original.audio), spoken_seconds(clip.audio))
        for clip, original in zip(clips, originals, strict=True)
    ]
    return figure([theirs for theirs, _ in pairs], [ours for _, ours in pairs])


def commas_paused(clips: Sequence[Clip]) -> Figure:
    """Return the share of commas that have a pause near their place.

    The place is where the phones in front of it would end if all took the same time and the pauses
    none.
    """
    tokenizer = PhoneTokenizer()
    found, total = [], []
    for clip in clips:
        places = comma_places(clip.text, tokenizer)
        if not places:
            continue
        quiet = pauses(clip.audio)
        silent = sum(end - start for start, end in quiet)
        speech = spoken_seconds(clip.audio) - silent
        middles, passed = [], 0.0  # of the pauses, in the time of speech alone
        for start, end in quiet:
            middles.append(start - passed)
            passed += end - start
        near = [any(abs(place * speech - at) <= NEAR for at in middles) for place in places]
        found.append(sum(near))
        total.append(len(places))
    return figure(found, total)
