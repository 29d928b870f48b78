"""Turns one word of a command line into a checked value, or into one line that says what is allowed."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from bark.errors import BarkError
from hubert.consent import check_consent

FORMATS = ("wav", "flac", "mp3", "ogg")


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line and whose exit code is then 2."""

    def error(self, message: str) -> NoReturn:
        """Print `message` on standard error and leave."""
        message = message.removeprefix("argument ").replace("\n", " ")
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help\n")


@dataclass(frozen=True)
class Kind:
    """A kind of value: how the help calls it, and how it is read from one word of the command line."""

    name: str | None  # None: a boolean, which may stand alone
    read: Callable[[str], Any]


def number(least: float = 0, most: float = math.inf, *, above: bool = False) -> Kind:
    """Return the kind of finite numbers from `least` (not itself if `above`) to `most`."""
    allowed = f"a number {'>' if above else '>='} {least:g}" if most == math.inf else f"{least:g} to {most:g}"

    def read(word: str) -> float:
        value = _convert(float, word, allowed)
        if not math.isfinite(value) or not least <= value <= most or (above and value == least):
            raise argparse.ArgumentTypeError(f"got {word!r}; allowed: {allowed}")
        return value

    return Kind("X", read)


def whole(least: int, most: int | None = None) -> Kind:
    """Return the kind of whole numbers from `least` to `most`."""
    allowed = f"a whole number >= {least}" if most is None else f"a whole number from {least} to {most}"

    def read(word: str) -> int:
        value = _convert(int, word, allowed)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"got {word!r}; allowed: {allowed}")
        return value

    return Kind("N", read)


def choice(*names: str) -> Kind:
    """Return the kind of one word out of `names`."""

    def read(word: str) -> str:
        if word.lower() not in names:
            raise argparse.ArgumentTypeError(f"got {word!r}; allowed: {', '.join(names)}")
        return word.lower()

    return Kind("|".join(names), read)


def _convert(to: type, word: str, allowed: str) -> Any:
    try:
        return to(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {word!r}; allowed: {allowed}") from error


def _read_word(word: str) -> str:
    if not word:
        raise argparse.ArgumentTypeError("got an empty value; allowed: at least one character")
    return word


def _read_truth(word: str) -> bool:
    if word.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise argparse.ArgumentTypeError(f"got {word!r}; allowed: True or False, or the flag alone")
    return word.lower() in ("true", "1", "yes")


def _read_mode(word: str) -> str:
    name, _, interval = word.partition("=")
    if word in ("anchored", "chained") or (name == "reanchor" and interval.isdecimal() and int(interval) > 0):
        return word
    raise argparse.ArgumentTypeError(f"got {word!r}; allowed: anchored, chained, reanchor=N with N >= 1")


def _read_parts(word: str) -> tuple[int, ...]:
    if not all(part.strip().isdecimal() and int(part) > 0 for part in word.split(",")):
        raise argparse.ArgumentTypeError(f"got {word!r}; allowed: part numbers from 1, as in 3,7")
    return tuple(sorted({int(part) for part in word.split(",")}))


def _read_speakers(word: str) -> tuple[tuple[str, str], ...]:
    pairs = [pair.partition("=") for pair in word.split(",")]
    if not all(name.strip() and voice.strip() for name, _, voice in pairs):
        raise argparse.ArgumentTypeError(
            f"got {word!r}; allowed: NAME=VOICE pairs, as in ANA=ana.npz,BO=bo.npz"
        )
    return tuple((name.strip(), voice.strip()) for name, _, voice in pairs)


def _read_consent(word: str) -> str:
    try:
        check_consent(word)
    except BarkError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("consent: ")) from error
    return word


WORD = Kind("WORD", _read_word)
FREE = Kind("TEXT", str)
FILE = Kind("FILE", _read_word)
TRUTH = Kind(None, _read_truth)
MODE = Kind("MODE", _read_mode)
PARTS = Kind("N,N", _read_parts)
SPEAKERS = Kind("NAME=VOICE", _read_speakers)
CONSENT = Kind("WHOSE", _read_consent)
SEED = whole(0, 2**63 - 1)
