"""Splits a text of any length into parts that Bark can speak at once."""

from collections.abc import Collection
from functools import cache

from bark.errors import TextError
from bark.text.dialogue import Turn, parse_dialogue
from bark.text.reading import noted, refuse_lossy, tell_lost, tell_note
from bark.text.split import Budget, estimate_seconds, split_text
from bark.text.tidy import speakable
from bark.tokens import TokenLayout

from .part import BarkLike

FILL = 0.85  # of the longest utterance is planned for: the estimate of seconds is rough
MAX_SECONDS = 13.0


def plan_parts(
    bark: BarkLike,
    text: str,
    speakers: Collection[str] = (),
    budget: Budget | None = None,
    lossy: bool = False,
) -> list[Turn]:
    """Split a text, or a script with ``NAME: text`` lines and ``[voice:name]`` marks, into parts to
    speak.

    Parameters
    ----------
    speakers : the names that begin a turn; without any, only the marks do.
    budget : limits of a part; by default what `bark` can take.
    lossy : plan a text although over a third of its words cannot be said.
    """
    budget = budget or default_budget(bark.layout)
    turns = parse_dialogue(text, speakers)
    if not turns:
        raise TextError(
            "nothing in the text can be spoken",
            ascii(text[:40]),
            "at least one letter, digit or sign",
        )

    read = cache(bark.tokenizer.read)  # most of the work

    @cache
    def tokens_of(piece: str) -> int:
        reading = read(piece)
        if not (reading.words and speakable(piece)):  # another script, say
            return 0
        # numbers are longer spoken than written: the seconds of what is said count as tokens, too
        seconds = estimate_seconds(reading.words) / budget.max_seconds
        return max(len(bark.tokenizer.encode_reading(reading)), int(seconds * budget.max_tokens))

    def count(piece: str) -> int:
        return tokens_of(piece.strip())

    pieces = [
        Turn(turn.speaker, part.strip())
        for turn in turns
        for part in split_text(turn.text, count, budget)
    ]
    parts = [piece for piece in pieces if count(piece.text)]
    if parts:
        readings = [read(piece.text) for piece in pieces]
        if not lossy:
            refuse_lossy(readings)
        first = next((reading for reading in readings if reading.note), None)
        for piece, reading in zip(pieces, readings, strict=True):
            if not count(piece.text):  # of the others each part tells
                with noted():
                    tell_lost(reading, piece.text)
            if reading is first:
                tell_note(reading, piece.text)
    if not parts:
        bark.tokenizer.encode(text)  # raises, and says what it can speak
        raise TextError("nothing in the text can be spoken", ascii(text[:40]))
    return parts


def default_budget(layout: TokenLayout) -> Budget:
    """Return what a part may hold for a model with this layout."""
    longest = FILL * layout.max_semantic / layout.semantic_rate
    return Budget(max_tokens=layout.text_window, max_seconds=max(1.0, min(MAX_SECONDS, longest)))
