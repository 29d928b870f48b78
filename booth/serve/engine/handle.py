"""What is asked of the engine, and what the asker holds while it is made."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bark.errors import BarkError
from bark.longform.stream import TextStream
from bark.voice.voice import Voice


class EngineFailed(BarkError):
    """The engine met what no request can have caused; its log says what."""


class Stopping(BarkError):
    """The engine takes nothing more."""


class QueueFull(BarkError):
    """As many requests as the queue holds are unfinished.

    Parameters
    ----------
    seconds : after which it is worth to try again.
    """

    def __init__(self, limit: int, seconds: int) -> None:
        super().__init__(
            f"{limit} requests are being spoken or wait, and no more are taken",
            fix=f"Try again in {seconds} s",
        )
        self.seconds = seconds


@dataclass(frozen=True)
class SpeechJob:
    """A text to be spoken, its voice found and its seed drawn."""

    text: str
    voice: Voice | None
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)  # of `bark.settings.SettingChanges`
    best_of: int = 1
    latency: str = "exact"

    @property
    def company(self) -> object:
        """What must be equal for two jobs to share a batch; None speaks alone."""
        if self.best_of > 1 or self.latency != "exact":
            return None
        return tuple(sorted(self.settings.items()))


class Handle:
    """One request in the engine: its audio as it is made, and the way to end it."""

    def __init__(self, job: SpeechJob, stream: TextStream, loop: asyncio.AbstractEventLoop) -> None:
        self.job, self.stream = job, stream
        self.since = time.monotonic()
        self.begun = self.sounded = False
        self.cancelled = threading.Event()
        self._loop = loop
        self._pieces: asyncio.Queue[np.ndarray | BaseException | None] = asyncio.Queue()

    async def pieces(self) -> AsyncIterator[np.ndarray]:
        """Yield the audio (n,) piece by piece; a request that fails raises its error."""
        try:
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self.cancel()  # of a finished request it changes nothing

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for it."""
        return self.cancelled.is_set()

    @property
    def usage(self) -> tuple[int, int]:
        """Return the tokens of the text and those that were spoken, semantic ones, so far."""
        encode = self.stream.bark.tokenizer.encode
        parts, spoken = self.stream.parts, self.stream.tokens
        return sum(len(encode(part.text)) for part in parts), sum(len(t.semantic) for t in spoken)

    def cancel(self) -> None:
        """End the work at its next step."""
        self.cancelled.set()

    def put(self, piece: np.ndarray | BaseException | None) -> None:
        """Hand over a piece, an error or, as None, the end; called by the engine's thread."""
        with suppress(RuntimeError):  # the loop is closed, so nobody listens
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
