"""Stage directions and markup in a text: what Suno's Bark may act on and nano leaves out."""

from __future__ import annotations

import re

SOUNDS = (
    "laughs|laughter|laughing|laugh|chuckles?|giggles?|sighs?|sighing|music|gasps?|gasping|"
    "coughs?|coughing|sneezes?|sniffs?|sniffles?|yawns?|groans?|cries|crying|sobs?|sobbing|"
    "whispers?|whispering|shouts?|shouting|screams?|screaming|sings?|singing|hums?|humming|"
    "applause|cheering|cheers|silence|noise|beep|breath|breathes?|breathing|inhales?|"
    "exhales?|clears (?:his |her |my )?throat|snorts?|mumbles?|pauses?|grunts?|whistles?|"
    "whistling|clapping|man|woman|boy|girl|narrator"
)
SPEAKERS = "MAN|WOMAN|BOY|GIRL|NARRATOR|MALE|FEMALE"
MARKS = re.compile(
    rf"\[(?:(?i:{SOUNDS})|[A-Z_]{{2,30}}(?: \d{{1,3}})?|[A-Za-z_]{{1,20}} ?[:=][^\]\n]{{0,240}})\]"
    rf"|</?[A-Za-z][^<>\n]{{0,240}}>"
    rf"|<!--[^<>]{{0,240}}-->"
    rf"|(?<![\w\[])(?:{SPEAKERS}):"
    rf"|[♪♫♬♩]+"
    rf"|(?<!\S)(?:[:;=8]['-]?[)(DPpOo3/*|]|[xX]D|<3)+(?=$|[\s.,!?])"
)


def drop_marks(text: str) -> tuple[str, tuple[str, ...]]:
    """Return `text` without its marks, and the marks in order."""
    return MARKS.sub(" ", text), tuple(found.group() for found in MARKS.finditer(text))
