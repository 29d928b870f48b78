"""Splits long text into parts that one utterance can hold, at the best places to pause."""

import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from bark.errors import SettingError
from bark.tokens import BARK

from .sentences import sentence_starts
from .tidy import JOINERS, clean, speakable, tidy

# How good a place to cut is, best first.
PARAGRAPH, SENTENCE, CLAUSE, WORD, SIGN = 5, 4, 3, 2, 1

_ENDS = "!?…؟۔।॥。！？｡"
_PAUSES = ",;:—–،؛、，；："
_CLOSERS = "\"')]}”’»›」』）】〉》*_"
_OPENING, _CLOSING = (
    set("([{“‘„«‹「『（【〈《¿¡"),
    set(")]}”’»›」』）】〉》" + _ENDS + _PAUSES),
)  # for certain
_QUOTES = _CLOSERS + "«‹“‘"  # German closes with what French and English open with
_KANJI = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HIRAGANA, _KATAKANA = "\u3041-\u309f", "\u30a0-\u30ff\uff66-\uff9f"
_UNSPACED = re.compile(f"[{_KANJI}{_HIRAGANA}{_KATAKANA}]")
_NO_START = set(
    "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮーゝゞヽヾ々"
)  # Japanese lines never begin with these
# Every place before which a cut may be: after a space, or after a sign of a script without spaces.
_PLACES = re.compile(f"(?<=[ {_KANJI}{_HIRAGANA}{_KATAKANA}。！？｡、，；：」』）】〉》”’])")

# Seconds of speech for one character: a rule of thumb, 15 Latin letters a second and others to
# match.
_DURATIONS = (
    (0.065, ((0x20, 0x20), (0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x370, 0x52F))),
    (
        0.27,
        ((0x30, 0x39), (0x660, 0x669), (0x6F0, 0x6F9), (0x966, 0x96F), (0xFF10, 0xFF19)),
    ),  # digits
    (0.35, tuple((ord(char), ord(char)) for char in ".!?…؟۔।॥。！？｡")),
    (0.2, tuple((ord(char), ord(char)) for char in _PAUSES)),
    (0.0, ((0x300, 0x36F), (0x64B, 0x65F), (0x200B, 0x200F), (0xFE00, 0xFE0F))),
    (0.09, ((0x5D0, 0x5EA), (0x620, 0x64A), (0x66E, 0x6D3), (0x900, 0xDFF), (0xE00, 0xEFF))),
    (0.14, ((0x3041, 0x30FF), (0xFF66, 0xFF9F))),  # kana
    (
        0.22,
        (
            (0x3400, 0x4DBF),
            (0x4E00, 0x9FFF),
            (0xAC00, 0xD7AF),
            (0xF900, 0xFAFF),
            (0x20000, 0x3FFFF),
        ),
    ),
    (0.5, tuple((ord(char), ord(char)) for char in "%&@#$€£¥₹+=<>")),
)


@dataclass(frozen=True)
class Budget:
    """What one part may hold; past its 15 s Bark hurries or leaves words out."""

    max_tokens: int = BARK.text_window
    max_seconds: float = 13.0  # of about 15.4 that Bark can speak
    max_characters: int | None = None
    goal_characters: int | None = None  # a part of this length is not filled further
    # shorter parts sound odd and are joined to a neighbour where one has room
    min_seconds: float = 1.5

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_seconds", "max_characters", "goal_characters"):
            value = getattr(self, name)
            if value is not None and not value >= 1:
                raise SettingError(f"budget: {name}", value, "1 or more")

    def load(self, tokens: int, seconds: float, characters: int) -> float:
        """Return how full a part is: above 1 it is over the budget."""
        by_characters = characters / self.max_characters if self.max_characters else 0.0
        return max(tokens / self.max_tokens, seconds / self.max_seconds, by_characters)


def estimate_seconds(text: str) -> float:
    """Estimate how long `text` takes to speak."""
    return float(_durations(text).sum())


def split_text(
    text: str,
    count_tokens: Callable[[str], int],
    budget: Budget | None = None,
    language: str | None = None,
) -> list[str]:
    """Split text into parts for one utterance each, in time linear in its length.

    Cuts fall at paragraphs, else between sentences, else after commas and the like, else between
    words; where a script has no spaces, between its signs. Only a single word that is over the
    budget itself is cut.

    Parameters
    ----------
    text : blank lines separate paragraphs; other line ends are spaces.
    count_tokens : the number of tokens of a text, 0 for one that cannot be spoken.
    budget : limits of a part.
    language : code of the text's language; it is guessed where it is not given.

    Returns
    -------
    Parts that keep the space behind them: joined, they are ``tidy(text)``.

    Raises
    ------
    TextError : nothing can be spoken.
    """
    tidy(text)  # raises
    return _Splitter(text, count_tokens, budget or Budget(), language).parts()


def split_by_words(text: str, words: int) -> list[str]:
    """Split after every `words` words; a mark that stands alone is no word of its own."""
    _check_count("words of a part", words)
    parts: list[list[str]] = [[]]
    counted = 0
    for word in tidy(text).split(" "):
        if speakable(word):
            if counted == words:
                parts.append([])
                counted = 0
            counted += 1
        parts[-1].append(word)
    return [" ".join(part) for part in parts]


def split_by_lines(text: str, lines: int) -> list[str]:
    """Split after every `lines` lines; lines without anything to speak are not counted."""
    _check_count("lines of a part", lines)
    tidy(text)  # raises
    found = [line for line in map(clean, text.splitlines()) if speakable(line)]
    return [" ".join(found[at : at + lines]) for at in range(0, len(found), lines)]


@dataclass
class _Splitter:
    source: str
    count_tokens: Callable[[str], int]
    budget: Budget
    language: str | None = None

    @cached_property
    def paragraphs(self) -> list[str]:
        return [
            part
            for part in map(clean, re.split(r"\n[ \t\r]*\n", self.source.replace("\r\n", "\n")))
            if part
        ]

    @cached_property
    def text(self) -> str:
        return " ".join(self.paragraphs)

    @cached_property
    def seconds(self) -> np.ndarray:
        """Estimated seconds before each character, (n + 1,)."""
        return np.concatenate([[0.0], np.cumsum(_durations(self.text))])

    @cached_property
    def places(self) -> dict[int, list[int]]:
        """For each strength, the sorted places that are at least as good to cut at."""
        starts = np.cumsum([len(part) + 1 for part in self.paragraphs])
        strengths = {int(at): PARAGRAPH for at in starts[:-1]}
        sentences = sentence_starts(self.text, self.language)
        for found in _PLACES.finditer(self.text, 1):
            at = found.start()
            if (
                at < len(self.text)
                and at not in strengths
                and (strength := _strength(self.text, at, at in sentences))
            ):
                strengths[at] = strength
        ordered = sorted(strengths.items())
        return {
            least: [at for at, s in ordered if s >= least] for least in range(SIGN, PARAGRAPH + 1)
        }

    def parts(self) -> list[str]:
        return [self.text[first:last] for first, last in self._merged(self._packed())]

    def _load(self, first: int, last: int, tokens: int) -> float:
        return self.budget.load(tokens, self.seconds[last] - self.seconds[first], last - first)

    def _count(self, first: int, last: int) -> int:
        return self.count_tokens(self.text[first:last])

    def _packed(self) -> list[tuple[int, int]]:
        """Fill parts with sentences, one after the other."""
        edges = [0, *self.places[SENTENCE], len(self.text)]
        spans: list[tuple[int, int]] = []
        opened = tokens = 0
        for first, last in zip(edges, edges[1:], strict=False):
            count = self._count(first, last)
            if opened < first and self._closes(opened, first, last, tokens, count):
                spans += self._divided(opened, first)
                opened, tokens = first, 0
            tokens += count
        return spans + self._divided(opened, len(self.text))

    def _closes(self, opened: int, first: int, last: int, tokens: int, count: int) -> bool:
        """Tell whether the part from `opened` ends before the sentence [first, last)."""
        goal = self.budget.goal_characters
        return (
            self._load(opened, last, tokens + count) > 1
            or (self._load(opened, first, tokens) >= 0.5 and self._begins_paragraph(first))
            or (goal is not None and first - opened >= goal)
        )

    def _begins_paragraph(self, at: int) -> bool:
        starts = self.places[PARAGRAPH]
        before = bisect_right(starts, at)
        return before > 0 and starts[before - 1] == at

    def _divided(self, first: int, last: int) -> list[tuple[int, int]]:
        """Divide what is over the budget into about equal pieces, at the best place near each ideal
        one.
        """
        load = self._load(first, last, 0)
        if load <= 1:
            load = self._load(first, last, self._count(first, last))
        if load <= 1:
            return [(first, last)]
        pieces = max(2, math.ceil(load))
        begin, end = self.seconds[first], self.seconds[last]
        ideal = begin + (end - begin) * (pieces // 2) / pieces
        cut = self._nearest(first, last, ideal, 0.35 * (end - begin) / pieces)
        if cut is None:
            return [(first, last)]
        return self._divided(first, cut) + self._divided(cut, last)

    def _nearest(self, first: int, last: int, ideal: float, reach: float) -> int | None:
        """Return the place nearest to `ideal` seconds, a better kind of place if one is within
        `reach`.
        """
        for strength, limit in (
            (SENTENCE, reach),
            (CLAUSE, reach),
            (WORD, math.inf),
            (SIGN, math.inf),
        ):
            places = self.places[strength]
            after = bisect_right(places, ideal, key=lambda at: self.seconds[at])
            around = [at for at in places[max(after - 1, 0) : after + 1] if first < at < last]
            best = min(around, key=lambda at: abs(self.seconds[at] - ideal), default=None)
            if best is not None and abs(self.seconds[best] - ideal) <= limit:
                return best
        # One word without an end: cut it, between a letter and its accents only where nothing else
        # is left.
        middle = (first + last) // 2
        nearby = sorted(
            range(max(first + 1, middle - 64), min(last, middle + 64)),
            key=lambda at: abs(at - middle),
        )
        return next(
            (at for at in nearby if _between_signs(self.text, at)), middle if nearby else None
        )

    def _merged(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Join parts that are very short, or cannot be spoken alone, to a neighbour with room."""
        merged: list[tuple[int, int]] = []
        for span in spans:
            if merged and (self._tiny(merged[-1]) or self._tiny(span)):
                whole = (merged[-1][0], span[1])
                if self._load(*whole, self._count(*whole)) <= 1:
                    merged[-1] = whole
                    continue
            merged.append(span)
        return merged

    def _tiny(self, span: tuple[int, int]) -> bool:
        short = self.seconds[span[1]] - self.seconds[span[0]] < self.budget.min_seconds
        return bool(short) or not speakable(self.text[slice(*span)]) or not self._count(*span)


def _strength(text: str, at: int, begins_sentence: bool) -> int:
    """Return how good a cut before ``text[at]`` is; 0 is none at all."""
    before = at - 1
    spaced = text[before] == " "
    closing = text[at] in _CLOSING
    if closing and (not spaced or text[at + 1 : at + 2] in ("", " ")):  # French spaces its marks
        return 0
    if spaced:
        before -= 1
        if text[before] in _OPENING and text[before - 1 : before] in ("", " "):  # and its quotes
            return 0
    elif text[at] == " " or text[at] in _NO_START:
        return 0
    stop = max(before - 8, 0)
    while before > stop and (
        text[before] in _QUOTES or (text[before] == " " and text[before + 1] in _CLOSERS)
    ):
        before -= 1
    last = text[before]
    if last in _ENDS or (last == "." and spaced):
        return SENTENCE if begins_sentence else WORD
    if last in _PAUSES:
        return CLAUSE
    if spaced:
        return WORD
    if _UNSPACED.match(last) and _UNSPACED.match(text[at]):
        # In Japanese a word mostly begins where kanji or katakana follow hiragana.
        phrase = re.match(f"[{_HIRAGANA}]", last) and re.match(f"[{_KANJI}{_KATAKANA}]", text[at])
        return WORD if phrase else SIGN
    return 0


def _between_signs(text: str, at: int) -> bool:
    """Tell whether ``text[at]`` begins a new sign: no accent, vowel mark or joined part of the one
    before.
    """
    skin = "\U0001f3fb" <= text[at] <= "\U0001f3ff"
    joined = text[at] in JOINERS or text[at - 1] in JOINERS
    return not joined and not skin and not unicodedata.category(text[at]).startswith("M")


def _durations(text: str) -> np.ndarray:
    """Return the estimated seconds of each character, (n,)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    firsts, seconds = _runs()
    return seconds[np.searchsorted(firsts, codes, side="right") - 1]


@cache
def _runs() -> tuple[np.ndarray, np.ndarray]:
    """Return where runs of equally long characters begin, and seconds of one, (n,) each."""
    ranges = [(low, high, value) for value, known in _DURATIONS for low, high in known]
    firsts = sorted({0, 0x250, *(at for low, high, _ in ranges for at in (low, high + 1))})
    seconds = [
        next(
            (value for low, high, value in reversed(ranges) if low <= at <= high),
            0.04 if at <= 0x24F else 0.09,
        )
        for at in firsts
    ]
    return np.array(firsts), np.array(seconds)


def _check_count(what: str, count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise SettingError(what, repr(count), "1 or more")
