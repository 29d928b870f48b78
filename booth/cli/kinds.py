"""The kinds of value that only these command lines take, and the question at the terminal."""

import argparse
import sys

from bark.commandline import Kind, refused
from bark.errors import BarkError
from hubert.consent import check_consent


def _read_mode(word: str) -> str:
    name, _, interval = word.partition("=")
    if word in ("anchored", "chained") or (
        name == "reanchor" and interval.isdecimal() and int(interval) > 0
    ):
        return word
    raise refused(word, "anchored, chained, reanchor=N with N >= 1")


def _read_parts(word: str) -> tuple[int, ...]:
    if not all(part.strip().isdecimal() and int(part) > 0 for part in word.split(",")):
        raise refused(word, "part numbers from 1, as in 3,7")
    return tuple(sorted({int(part) for part in word.split(",")}))


def _read_speakers(word: str) -> tuple[tuple[str, str], ...]:
    pairs = [pair.partition("=") for pair in word.split(",")]
    if not all(name.strip() and voice.strip() for name, _, voice in pairs):
        raise refused(word, "NAME=VOICE pairs, as in ANA=ana.npz,BO=bo.npz")
    return tuple((name.strip(), voice.strip()) for name, _, voice in pairs)


def _read_steps(word: str) -> tuple[str, ...]:
    steps = tuple(step.strip() for step in word.split(","))
    if not all(step.partition("=")[0] for step in steps):
        raise refused(word, "NAME or NAME=ARGUMENT, as in loudness=-16")
    return steps


FREE = Kind("TEXT", str)
MODE = Kind("MODE", _read_mode)
PARTS = Kind("N,N", _read_parts)
STEPS = Kind("NAME=X,NAME", _read_steps)
SPEAKERS = Kind("NAME=VOICE", _read_speakers)


def _read_consent(word: str) -> str:
    try:
        check_consent(word)
    except BarkError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("consent: ")) from error
    return word


CONSENT = Kind("WHOSE", _read_consent)  # a word of the command line


def ask_at_terminal(question: str) -> str | None:
    """Ask the person at the terminal; None where nobody is there."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()
