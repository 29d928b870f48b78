"""Finds the text token that sounds in each frame, from a synthesiser's phone labels."""

from __future__ import annotations

import numpy as np

from bark.text.english.phones import PAUSE, SYMBOLS, VOWELS

UNKNOWN = 255  # label where no alignment exists
PHONES = tuple(
    "pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th "
    "uh uw v w y z zh".split()
)

NEVER = 4.0  # cost of calling a pause a phone
SKIP = 1.0  # cost of a phone that is only spoken or only written
SKIP_PAUSE = 0.2
ALIKE, UNLIKE = (
    0.5,
    1.5,
)  # cost of another phone: of the same kind, vowel or consonant; of the other


def phone_costs() -> np.ndarray:
    """Return what it costs to hear phone p where symbol s is written: (phones, symbols)."""
    vowels = {vowel.lower() for vowel in VOWELS} | {"ax"}
    costs = np.zeros((len(PHONES), len(SYMBOLS)))
    for row, phone in enumerate(PHONES):
        for column, symbol in enumerate(SYMBOLS):
            written = "pau" if symbol == PAUSE else symbol.rstrip("01").lower()
            if phone == written or (phone, symbol) == ("ax", "AH0"):
                continue
            if "pau" in (phone, written):
                costs[row, column] = NEVER
            else:
                costs[row, column] = ALIKE if (phone in vowels) == (written in vowels) else UNLIKE
    return costs


COSTS = phone_costs()


def align_text(phones: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Say which text token sounds in each frame, by the cheapest alignment of phones and text.

    Parameters
    ----------
    phones : (S,) indices into `synthesis.PHONES`; UNKNOWN anywhere means that nothing is known.
    text : (L,) ids of `PhoneTokenizer`.

    Returns
    -------
    (S,) int64, never falling, in [0, L]: L stands for the silence after the last phone; -1 where
    unknown. A phone that is not written counts to the token before it, a pause to the one behind
    it."""
    if not len(phones) or not len(text) or (phones == UNKNOWN).any():
        return np.full(len(phones), -1)
    edges = np.flatnonzero(np.diff(phones)) + 1
    starts = np.concatenate([[0], edges, [len(phones)]])
    runs = phones[starts[:-1]]
    spoken = np.where(runs == PHONES.index("pau"), SKIP_PAUSE, SKIP)  # to skip a run
    written = np.where(text == SYMBOLS.index(PAUSE), SKIP_PAUSE, SKIP)
    # best[r, t]: cost of the first r runs against the first t tokens
    best = np.full((len(runs) + 1, len(text) + 1), np.inf)
    best[0] = np.concatenate([[0], np.cumsum(written)])
    before = np.concatenate([[0], np.cumsum(written)])
    for row, run in enumerate(runs):
        met = best[row, :-1] + COSTS[run, text]
        least = best[row] + spoken[row]
        least[1:] = np.minimum(least[1:], met)
        # a chain of skipped tokens: min over s ≤ t of least[s] + cost of tokens s … t - 1
        best[row + 1] = np.minimum.accumulate(least - before) + before
    found = np.empty(len(runs), np.int64)
    row, column = len(runs), len(text)
    while row:
        here = best[row, column]
        if column and np.isclose(
            here, best[row - 1, column - 1] + COSTS[runs[row - 1], text[column - 1]]
        ):
            row, column = row - 1, column - 1
            found[row] = column
        elif np.isclose(here, best[row - 1, column] + spoken[row - 1]):
            row -= 1
            found[row] = column if runs[row] == PHONES.index("pau") else max(0, column - 1)
        else:
            column -= 1
    return np.repeat(found, np.diff(starts))
