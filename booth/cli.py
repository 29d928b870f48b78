"""Turns the words typed after ``bark`` (or ``python -m bark``) into work, and every failure into one line."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bark.errors import BarkError

INTERRUPTED = 130  # what shells give a program stopped by Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``bark``; returns 0, 1 after one line on standard error, 2 for a wrong command, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = COMMANDS.get(words[0]) if words else None
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        with _terminate_like_interrupt():
            return speak_command(words) if command is None else command(words[1:])
    except SystemExit as stop:  # argparse has said what is wrong, or has shown the help
        return stop.code if isinstance(stop.code, int) else 1
    except BarkError as error:
        return _fail(str(error))
    except KeyboardInterrupt as interrupt:
        _say(f"bark: interrupted. {interrupt}".rstrip(), sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say
        return 1
    except (OSError, MemoryError) as error:
        return _fail(f"{type(error).__name__}: {error}")
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's; its import must wait until it is needed
            raise
        return _fail("the device is out of memory. Try --offload, --use_smaller_models or --device cpu")


def speak_command(words: Sequence[str]) -> int:
    """Run ``bark --text ...``."""
    from .options import parse_options

    options = parse_options(words)
    if options.list_speakers:
        return voices_command(["list"])
    from hubert.consent import ask_at_terminal

    from .speak import show_plan, speak

    if options.text_splits_only or options.dry_run:
        return _print(show_plan(options))
    for take in speak(options, ask=ask_at_terminal):
        _print([str(take.audio)])
    return 0


def voices_command(words: Sequence[str]) -> int:
    """Run ``bark voices ...``."""
    from .voices import run

    return _print(run(words))


def replay_command(words: Sequence[str]) -> int:
    """Run ``bark replay take.json``."""
    from .replay import run

    lines, code = run(words)
    _print(lines)
    return code


def clone_command(words: Sequence[str]) -> int:
    """Run ``bark clone``, which is ``python -m hubert.clone``."""
    from hubert.clone import main as clone

    return clone(list(words))


def convert_command(words: Sequence[str]) -> int:
    """Run ``bark convert``, which is ``python -m bark.convert``."""
    from bark.convert import main as convert

    return convert(list(words))


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "clone": clone_command,
    "convert": convert_command,
    "replay": replay_command,
    "voices": voices_command,
}


def _print(lines: Sequence[str]) -> int:
    for line in lines:
        _say(line, sys.stdout)
    return 0


def _fail(message: str) -> int:
    _say("bark: " + " ".join(message.split()), sys.stderr)
    return 1


def _say(line: str, stream: Any) -> None:
    encoding = stream.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


@contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Let a polite end (SIGTERM) leave finished parts too, as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread, where nobody may listen to signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
