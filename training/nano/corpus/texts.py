"""Draws the English texts that the corpus speaks, by seed: Debian's texts and a closed grammar.

Whole texts are held out by their own checksum (`is_held_out`), so no run can train on a text that
another tests. Every text is already in the spoken form that
`bark.text.english.phones.PhoneTokenizer.normalize` returns: lower-case words, apostrophes inside
words, and commas where the speaker pauses."""

from __future__ import annotations

import random
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bark.errors import MissingFileError
from bark.text.english.phones import PhoneTokenizer

from .grammar import GRAMMARS

WORDNET = Path("/usr/share/wordnet")
FORTUNES = Path("/usr/share/games/fortunes")
KINDS = ("digits", "number", "template", "open")
SHARES = {"digits": 0.12, "number": 0.10, "template": 0.28, "open": 0.50}  # of a voice's utterances
HELD_OUT_ONE_IN = 16  # texts
OPEN_WORDS = (4, 18)  # words in a text of the open kind: about 1.2 to 6 s
BREAK = re.compile(
    r"[.;:!?()\[\]\"“”]+|--+|\s-\s|\u2014|`+|''+"
)  # where a sentence may be cut in two
PLAIN = re.compile(r"[a-z']+(,? [a-z']+)*")


@dataclass(frozen=True)
class Text:
    kind: str  # one of KINDS
    words: str  # the spoken form


def is_held_out(words: str) -> bool:
    """Tell whether this text is kept for tests; one in sixteen is."""
    return zlib.crc32(words.encode()) % HELD_OUT_ONE_IN == 0


def jsgf(kind: str) -> str:
    """Write the grammar of `kind` ("digits", "number" or "template") for pocketsphinx."""
    return GRAMMARS[kind].jsgf(kind)


def open_texts(seed: int = 0) -> tuple[str, ...]:
    """Collect and shuffle the open English texts of the three Debian packages; every word is in the
    lexicon.

    Raises MissingFileError naming the package when one of them is absent.
    """
    tokenizer = PhoneTokenizer()
    seen: dict[str, None] = {}
    for line in _source_lines():
        for part in BREAK.split(line):
            text = _spoken(part)
            words = text.replace(",", "").split()
            if OPEN_WORDS[0] <= len(words) <= OPEN_WORDS[1] and all(map(tokenizer.knows, words)):
                seen[text] = None
    texts = list(seen)
    random.Random(seed).shuffle(texts)
    return tuple(texts)


class TextSource:
    """Draws texts of every kind for one voice; open texts are dealt out so that voices seldom share
    one.

    Parameters
    ----------
    open_texts : the shuffled collection of `open_texts`.
    position, stride : this voice takes texts number `position`, `position + stride`, ...
    """

    def __init__(
        self, open_texts: tuple[str, ...], position: int, stride: int, *, seed: int = 0
    ) -> None:
        self._rng = random.Random(f"{seed}/{position}/{stride}")
        self._open = open_texts
        self._next = position
        self._stride = stride

    def draw(self, *, held_out: bool, kind: str | None = None) -> Text:
        """Return a fresh text, from the held-out ones or from the others; `kind` None keeps to
        SHARES.
        """
        if kind is None:
            kind = self._rng.choices(KINDS, [SHARES[name] for name in KINDS])[0]
        while True:
            words = self._deal() if kind == "open" else GRAMMARS[kind].sample(self._rng)
            if is_held_out(words) == held_out:
                return Text(kind, words)

    def _deal(self) -> str:
        words = self._open[self._next % len(self._open)]
        self._next += self._stride
        return words


def _spoken(part: str) -> str:
    """Lower-case and tidy one clause; empty when it holds anything but plain words."""
    text = part.strip().lower().replace("’", "'").replace("-", " ")
    text = re.sub(r"\s*,+\s*", ", ", re.sub(r"\s+", " ", text)).strip(" ,'")
    return text if PLAIN.fullmatch(text) else ""


def _source_lines() -> Iterator[str]:
    yield from _wordnet_lines()
    yield from _bible_lines()
    yield from _fortune_lines()


def _wordnet_lines() -> Iterator[str]:
    if not WORDNET.is_dir():
        raise MissingFileError(
            f"no WordNet in {WORDNET}", fix="Install the Debian package wordnet-base"
        )
    for name in ("data.noun", "data.verb", "data.adj", "data.adv"):
        for line in (WORDNET / name).read_text(encoding="utf-8", errors="replace").splitlines():
            if " | " in line and not line.startswith("  "):
                yield line.split(" | ", 1)[1]


def _bible_lines() -> Iterator[str]:
    try:
        result = subprocess.run(
            ["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True, input=""
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingFileError(
            "the program bible cannot run", error, fix="Install the Debian package bible-kjv"
        ) from error
    for line in result.stdout.splitlines():
        yield line.partition(" ")[2]


def _fortune_lines() -> Iterator[str]:
    if not FORTUNES.is_dir():
        raise MissingFileError(
            f"no fortunes in {FORTUNES}", fix="Install the Debian package fortunes"
        )
    for path in sorted(FORTUNES.iterdir()):
        if path.suffix == "" and path.is_file() and not path.is_symlink():
            for saying in path.read_text(encoding="utf-8", errors="replace").split("\n%\n"):
                yield " ".join(saying.split())
