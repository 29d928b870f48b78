"""Turns the words typed after ``bark`` (or ``python -m bark``) into work."""

import logging
import sys
from collections.abc import Callable, Sequence

from bark.commandline import complain, run, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``bark``; returns 0, 1 after one line on standard error, 2 for a wrong command, 130 for
    Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    first = words[0] if words else "--"
    if first in COMMANDS:
        return run("bark", lambda: COMMANDS[first](words[1:]))
    if not first.startswith("-"):
        known = ", ".join(sorted(COMMANDS))
        return complain(
            "bark", f"got {first!r}; allowed: a flag, or one of {known}. See bark --help", 2
        )
    return run("bark", lambda: speak_command(words))


def speak_command(words: Sequence[str]) -> int:
    """Run ``bark --text ...``."""
    from .options import parse_options

    options = parse_options(words)
    if options.list_speakers:
        return voices_command(["list"])
    from booth.speak.speak import show_plan, speak

    from .kinds import ask_at_terminal

    if options.text_splits_only or options.dry_run:
        return _print(show_plan(options))
    for take in speak(options, ask=ask_at_terminal):
        _print([str(take.audio)])
    return 0


def voices_command(words: Sequence[str]) -> int:
    """Run ``bark voices ...``."""
    from .voices import run as run_voices

    return _print(run_voices(words))


def replay_command(words: Sequence[str]) -> int:
    """Run ``bark replay take.json``."""
    from booth.speak.replay import run as run_replay

    lines, code = run_replay(words)
    _print(lines)
    return code


def clone_command(words: Sequence[str]) -> int:
    """Run ``bark clone``, which is ``python -m hubert.clone``."""
    from .clone import main as clone

    return clone(words, "bark clone")


def convert_command(words: Sequence[str]) -> int:
    """Run ``bark convert``, which is ``python -m bark.convert``."""
    from bark.convert import main as convert

    return convert(words, "bark convert")


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "clone": clone_command,
    "convert": convert_command,
    "replay": replay_command,
    "voices": voices_command,
}


def _print(lines: Sequence[str]) -> int:
    """Print lines, above a progress bar if one is on the screen."""
    if "tqdm" not in sys.modules:
        for line in lines:
            say(line)
        return 0
    from tqdm import tqdm

    with tqdm.external_write_mode(sys.stdout):
        for line in lines:
            say(line)
    return 0
