"""Coarse codes, as they are written, to fine codes and audio: exactly, or early."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from bark.codec.base import Codec
from bark.stages.fine import FineStage
from bark.voice.voice import Voice

CHUNK = 60  # frames, 0.8 s: what is filled and decoded at once where an early start matters
CONTEXT = 38  # frames, 0.5 s: what is decoded again in front of a chunk
OVERLAP = 6  # frames, 80 ms: over which a chunk is faded into the next


class Parts(Protocol):
    """What is needed of a `bark.Bark`."""

    fine: FineStage
    codec: Codec

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (8, T) to audio (N,)."""


def settled_audio(
    bark: Parts,
    coarse: Iterator[np.ndarray],
    frames: int,
    history: Voice | None,
    sampled: Mapping[str, Any],
) -> Generator[np.ndarray, None, np.ndarray]:
    """Yield audio that is final, as soon as it is; return the fine codes (8, T).

    Parameters
    ----------
    coarse : (2, t) codes so far, t growing to `frames`.
    sampled : how the fine stage draws: temperature, generator, and the watch that is told.
    """
    known, done = None if history is None else history.fine, 0
    codes = np.zeros((8, 0), dtype=np.int64)
    for codes in bark.fine.stream(coarse, frames, known, **sampled):
        ready = codes.shape[1]
        if ready < frames:
            if bark.codec.lookahead is None:
                continue
            ready = max(0, ready - bark.codec.lookahead)
        end = ready * bark.codec.hop_length
        if end > done:
            yield bark.decode(codes)[done:end]
            done = end
    return codes


def early_audio(
    bark: Parts,
    coarse: Iterator[np.ndarray],
    frames: int,
    history: Voice | None,
    sampled: Mapping[str, Any],
) -> Generator[np.ndarray, None, np.ndarray]:
    """Fill and decode 0.8 s or more at a time by itself; return the fine codes (8, T).

    Each chunk is filled with all codes before it as history, and decoded with half a second of
    them; chunks are faded into each other over 80 ms. Neither is what the whole would give.
    """
    books, hop = bark.fine.layout.fine_books, bark.codec.hop_length
    front = np.zeros((books, 0), dtype=np.int64) if history is None else history.fine
    codes = np.zeros((books, 0), dtype=np.int64)
    held = np.zeros(0, dtype=np.float32)  # the end of the last chunk, not yet faded out
    for written in coarse:
        done, known = codes.shape[1], written.shape[1]
        if known < frames and known - done < CHUNK:
            continue
        past = np.concatenate([front, codes], axis=1)
        fresh = bark.fine.generate(written[:, done:], past if past.shape[1] else None, **sampled)
        codes = np.concatenate([codes, fresh], axis=1)
        begin = done - len(held) // hop
        first = max(0, begin - CONTEXT)
        audio = bark.decode(codes[:, first:])[(begin - first) * hop :]
        if len(held):
            fade = (np.arange(len(held), dtype=np.float32) + 0.5) / len(held)
            audio[: len(held)] = audio[: len(held)] * fade + held * (1 - fade)
        keep = 0 if known == frames else OVERLAP * hop
        held = audio[len(audio) - keep :]
        yield audio[: len(audio) - keep]
    return codes
