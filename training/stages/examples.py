"""Reads the examples that the three stages learn from, speaker by speaker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TextEncoder = Callable[[str], list[int]]


@dataclass(frozen=True)
class Example:
    """One utterance as tokens."""

    text: (
        np.ndarray | None
    )  # (L,) int64 ids of the tokenizer; None when nobody wrote down the words
    semantic: np.ndarray  # (S,) int64
    codes: np.ndarray  # (8, T) int64, or (8, 0) when not encoded yet
    # (S,) `align_text`: the text token that sounds in each unit
    alignment: np.ndarray | None = None


@dataclass(frozen=True)
class Speaker:
    """The utterances of one voice."""

    name: str
    real: bool  # a recording, not a synthesiser
    examples: tuple[Example, ...]
    folder: int = 0  # which of the folders of recordings
    # the same utterances with a room's echo and noise, as far as there are such
    prompts: tuple[Example, ...] = ()
