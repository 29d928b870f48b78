"""Reads random texts with the English reader: ``python -m tests.fuzz texts SEED MINUTES``.

Between two words that are surely read stands each random one; it is spoken, named as lost, or named
as left out. Anything else is a fault: silence, an exception that is not ours, 2 s of computing.
"""

import random
import time
import unicodedata
from collections import Counter

from bark.errors import BarkError
from bark.text.english.normalize import read
from bark.text.english.phones import PhoneTokenizer

from . import Outcome

MOST_SECONDS = 2.0  # of one text
WORDS = (
    "word Привет 日本語 $5.50 ₹3 10:30 2021-03-05 C++ AI NASA 100km/h 20°C #tag @you a.b@c.de x.pdf "
    "www.a.org 3/4 ½ x² 🎉 ♪ [laughs] <b> hmmm XIV 1990s 1'000 🇩🇪 ∞ ✓ café 5-3 24/7 0900 9.30pm "
    "30°15' 3/4\" 5! Sun. 1.Oct-2.Dec 747 g/cm³ 13A £5m XX"
).split()
LETTERS = "abcXYZ019.,:;-+=/#@&$%€°'\"()!?[]<>^*~_|"
# drawn as text, but said by nobody: a listener misses none of them
SILENT = set("|~<>⁄∕−⁻₋ʼʻ｜～＜＞﹤﹥⁓")


def campaign(seed: int, seconds: float, inputs: int | None = None) -> Outcome:
    """Read texts for so long, or so many of them; the same seed gives the same texts."""
    outcome, began, kinds = Outcome(), time.monotonic(), Counter[str]()
    tokenizer = PhoneTokenizer()
    read("warm up 5 km on 5 May"), tokenizer.encode("warmed up")
    while time.monotonic() - began < seconds and (inputs is None or outcome.inputs < inputs):
        draw = random.Random(f"{seed}/{outcome.inputs}")
        words = [_word(draw) for _ in range(draw.randint(1, 6))]
        text = "zebra " + " zebra ".join(words) + " zebra"
        start = time.process_time()
        try:
            kinds[_fault(words, text, outcome) or "read"] += 1
            tokenizer.encode(text)
        except BarkError:
            kinds["refused"] += 1
        except Exception as error:  # noqa: BLE001  what the campaign looks for
            outcome.faults.append(
                f"{seed}/{outcome.inputs} {text!r}: {type(error).__name__}: {error}"
            )
        taken = time.process_time() - start
        outcome.slowest = max(outcome.slowest, taken)
        if taken > MOST_SECONDS:
            outcome.faults.append(f"{seed}/{outcome.inputs} {text!r}: {taken:.1f} s")
        outcome.inputs += 1
    outcome.seconds, outcome.kinds = time.monotonic() - began, kinds
    return outcome


def _fault(words: list[str], text: str, outcome: Outcome) -> str | None:
    whole = read(text)
    heard = whole.words.replace(",", " ").split("zebra")[1:-1]
    if any("zebra" in mark for mark in whole.dropped):  # "<a zebra b>" is left out, and named
        return None
    if len(heard) != len(words):
        outcome.faults.append(f"{text!r}: {len(heard)} of {len(words)} words: {whole.words!r}")
        return "fault"
    for word, said in zip(words, heard, strict=True):
        if _visible(word) and not said.split():
            alone = read(f"zebra {word} zebra")
            if not (alone.lost or alone.dropped):
                outcome.faults.append(f"{word!r} of {text!r} vanishes")
                return "fault"
    return None


def _word(draw: random.Random) -> str:
    match draw.randrange(4):
        case 0:
            return draw.choice(WORDS)
        case 1:
            return "".join(draw.choice(LETTERS) for _ in range(draw.randint(1, 10)))
        case 2:
            return draw.choice(WORDS) + draw.choice(LETTERS) + draw.choice(WORDS)
    found = ""
    while not found:
        limit = draw.choice((0x250, 0x3000, 0xFFFF, 0x1FFFF))
        signs = (chr(draw.randrange(0x21, limit)) for _ in range(draw.randint(1, 6)))
        found = "".join(s for s in signs if unicodedata.category(s)[0] not in "ZC")
    return found


def _visible(word: str) -> bool:
    return any(
        unicodedata.category(sign)[0] in "LN" or unicodedata.category(sign) in ("Sc", "Sm", "So")
        for sign in word
        if sign not in SILENT
    )
