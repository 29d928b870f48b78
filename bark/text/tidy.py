"""Cleans text before it is tokenized, and checks that it fits the model."""

import logging
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, Protocol

from bark.errors import SettingError, TextError
from bark.tokens import BARK

from .reading import Reading

logger = logging.getLogger(__name__)

JOINERS = "\u200c\u200d"  # part of spelling in Persian and the scripts of India
SIGNS = "%&@#"  # read aloud, like letters, digits, currencies and signs of arithmetic


class TextTokenizer(Protocol):
    """What a text stage needs of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, before the layout's text offset."""

    def normalize(self, text: str) -> str:
        """Return the text as it is spoken."""

    def read(self, text: str) -> Reading:
        """Return the text as it is spoken, and what of it is lost or left out."""

    def encode_reading(self, reading: Reading) -> list[int]:
        """Return the ids of a text that `read` has read: those of `encode`."""


def clean(text: str) -> str:
    """Return `text` composed (NFC), without control and format characters, with single spaces."""
    # Whitespace first: tabs and newlines are control characters too.
    spaced = re.sub(r"\s+", " ", text)
    kept = "".join(
        char for char in spaced if char in JOINERS or unicodedata.category(char)[0] != "C"
    )
    return unicodedata.normalize("NFC", re.sub(r" +", " ", kept)).strip()


def speakable(text: str) -> bool:
    """Tell whether anything in `text` can be spoken: a letter, a digit, or a sign with a name."""
    return any(map(_speakable, text))


def tidy(text: str) -> str:
    """Return the clean text if it can be spoken.

    Raises
    ------
    TextError : it is no string, or nothing in it can be spoken.

    >>> tidy("  Na\\u0308chste\\tZeile\\u200b,\\n bitte. ")
    'Nächste Zeile, bitte.'
    """
    if not isinstance(text, str):
        raise TextError("text is no string", type(text).__name__, "str")
    cleaned = clean(text)
    if not speakable(cleaned):
        shown = ascii(text if len(text) <= 40 else text[:40] + "...")
        raise TextError(
            "nothing in the text can be spoken", shown, "at least one letter, digit or sign"
        )
    return cleaned


def _speakable(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "LN" or category in ("Sc", "Sm") or char in SIGNS


def fit_tokens(
    ids: Sequence[int],
    limit: int = BARK.text_window,
    on_overflow: Literal["error", "cut"] = "error",
) -> list[int]:
    """Return the ids of one text if Bark's text window holds them.

    Parameters
    ----------
    ids : (n,) what the tokenizer returned.
    limit : tokens.
    on_overflow : "error", or "cut" to warn and keep the first `limit`, as Suno's code does.
    """
    if on_overflow not in ("error", "cut"):
        raise SettingError("on_overflow", repr(on_overflow), '"error" or "cut"')
    if not len(ids):
        raise TextError("the tokenizer knows nothing in this text", "0 tokens")
    if len(ids) > limit:
        if on_overflow == "error":
            raise TextError(
                "the text is too long for one utterance",
                f"{len(ids)} tokens",
                f"up to {limit}",
                "Split it, or use long form (bark.longform)",
            )
        share = 100 * (len(ids) - limit) / len(ids)
        logger.warning(
            "text too long: the last %.0f %% (%d tokens) are cut", share, len(ids) - limit
        )
    return list(ids[:limit])
