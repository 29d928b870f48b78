"""Written English to the words a speaker says: "Dr. Lee paid $3.50 at 9:05" → "doctor lee paid
three dollars ...".

The spoken form has lower-case words of a to z and apostrophes, and ", " wherever a mark asks for a
pause. It is its own spoken form. Every pattern is linear in the text: no nested repeats, numbers
are bounded. The rules stand in one table for each topic; their order is the order here."""

from __future__ import annotations

import re

from bark.text.reading import Reading

from . import acronyms, addresses, dates, numbers, quantities, signs, words
from .marks import drop_marks
from .rules import Rule, apply, rule

LAST: tuple[Rule, ...] = (
    rule(r"(?<![\w.])\.(?=[A-Za-z])", " dot "),  # .NET
    rule(r"(?<=[A-Za-z])\.(?=[A-Za-z])", " dot "),
)
RULES: tuple[Rule, ...] = (
    *numbers.FIRST,
    *addresses.RULES,
    *acronyms.WHOLE,
    *words.RULES,
    *dates.RULES,
    *acronyms.BEFORE_NUMBERS,
    *signs.BEFORE_NUMBERS,
    *numbers.THOUSANDS,
    *numbers.SHARED,
    *quantities.MONEY,
    *quantities.MEASURES,
    *numbers.RULES,
    *signs.RULES,
    *LAST,
    *acronyms.RULES,
)


def read(text: str) -> Reading:
    """Return how `text` is said, what of it is lost, and which marks are left out."""
    text, dropped = drop_marks(text)
    folded, lost = signs.fold(text)
    kept, gone = signs.count_words(folded, lost)
    return Reading(_tidy(apply(RULES, folded)), lost, dropped, kept + gone, gone)


def _tidy(text: str) -> str:
    """Lower-case; marks become ", ", other signs spaces; apostrophes stay inside words only."""
    text = re.sub(r"[.,;:!?()\[\]{}\"\n|]", " , ", text.lower())
    said: list[str] = []
    for word in re.sub(r"[^a-z', ]", " ", text).split():
        word = word.strip("'")
        if word == ",":
            if said and not said[-1].endswith(","):
                said[-1] += ","
        elif word.strip(","):
            said.append(word)
    if said:
        said[-1] = said[-1].rstrip(",")
    return " ".join(said)
