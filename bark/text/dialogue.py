"""Who speaks which line of a script."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .tidy import speakable

_MARKER = re.compile(r"\[voice:\s*([^\]\n]{1,240}?)\s*\]")


@dataclass(frozen=True)
class Turn:
    """What one speaker says before another does."""

    speaker: str | None  # None: whoever speaks by default
    text: str


def parse_dialogue(text: str, speakers: Iterable[str] = ()) -> list[Turn]:
    """Split a script into turns.

    A line ``NAME: text`` with a NAME of `speakers` (in any case) begins a turn, as does
    ``[voice:name]`` anywhere, with any name. What follows belongs to it until the next one."""
    names = {name.casefold(): name for name in speakers}
    lines = "|".join(re.escape(name) for name in sorted(names.values(), key=len, reverse=True))
    at_line = re.compile(rf"^[ \t]*({lines})[ \t]*[:：]", re.M | re.I) if names else None
    marked = _MARKER.sub(lambda found: f"\0{found[1]}\0", text.replace("\0", ""))
    if at_line is not None:
        marked = at_line.sub(lambda found: f"\0{found[1]}\0", marked)
    pieces = marked.split("\0")  # text, name, text, name, ...
    turns = [Turn(None, pieces[0])]
    turns += [
        Turn(names.get(name.casefold(), name), said)
        for name, said in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
    joined: list[Turn] = []
    for turn in turns:
        if not speakable(turn.text):
            continue
        if joined and joined[-1].speaker == turn.speaker:
            turn = Turn(turn.speaker, f"{joined.pop().text}\n\n{turn.text}")
        joined.append(turn)
    return joined
