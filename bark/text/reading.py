"""What becomes of a text on its way to a model: the words it says, and what it cannot say."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from bark.errors import TextError

logger = logging.getLogger(__name__)

MOST_LOST = 1 / 3  # of the words of a text
SHOWN = 8  # words in a message
_NOTED = ContextVar("noted", default=False)  # whether notes have been told of the whole text


@dataclass(frozen=True)
class Reading:
    """How a tokenizer reads one text."""

    words: str  # as they will be said; empty where nothing can be
    lost: tuple[str, ...] = ()  # words and signs that cannot be said, in order
    dropped: tuple[str, ...] = ()  # stage directions and markup that are left out, in order
    visible: int = 0  # words of the text, marks left out not counted
    missing: int = 0  # of them, those that are lost
    note: str | None = None  # what else is to be told

    @property
    def share_lost(self) -> float:
        """The share of the visible words that cannot be said, 0 to 1."""
        return self.missing / self.visible if self.visible else 0.0


def refuse_lossy(readings: Iterable[Reading]) -> None:
    """Refuse a text, read in pieces, of which over a third of the words cannot be said."""
    pieces = list(readings)
    visible = sum(reading.visible for reading in pieces)
    share = sum(reading.missing for reading in pieces) / visible if visible else 0.0
    if share > MOST_LOST:
        raise TextError(
            f"{share:.0%} of the words cannot be said by this model",
            _some(tuple(word for reading in pieces for word in reading.lost)),
            f"up to {MOST_LOST:.0%}",
            "Speak it with another model, or add --lossy (lossy=True)",
        )


def tell_lost(reading: Reading, text: str) -> None:
    """Say, in one line each, what of a text is not spoken, and its note."""
    for words, why in ((reading.lost, "cannot be said"), (reading.dropped, "left out")):
        if words:
            logger.warning("%r: %s: %s", text[:40], why, _some(words))
    tell_note(reading, text)


def tell_note(reading: Reading, text: str) -> None:
    """Say what concerns the whole text, such as its language, unless that is `noted`."""
    if reading.note and not _NOTED.get():
        logger.warning("%r: %s", text[:40], reading.note)


@contextmanager
def noted() -> Iterator[None]:
    """Tell no note of a part in this block: the plan has told it of the text."""
    before = _NOTED.set(True)
    try:
        yield
    finally:
        _NOTED.reset(before)


def _some(words: tuple[str, ...]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return " ".join(words[:SHOWN]) + more
