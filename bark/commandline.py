"""What every command line shares: checked values, one line for a failure, exit codes."""

import argparse
import io
import logging
import math
import os
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from .errors import SHOWN, BarkError, out_of_memory, printable

FAILED = 1
INTERRUPTED, UNREAD = 130, 141  # as shells say it: stopped by Ctrl-C; nobody reads the output
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong command, 130 interrupted, 141 unread output."


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line and whose exit code is then 2.

    It takes no abbreviations of flags: they would change their meaning when a flag is added.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; the words of a flag may be joined by ``_`` or ``-``."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([self.spelled(word) for word in words], namespace)

    def spelled(self, word: str) -> str:
        """Return a flag as it is known here, its words joined by ``_`` or ``-`` as there."""
        name, equals, value = word.partition("=")
        known = self._option_string_actions
        if not name.startswith("--") or name in known:
            return word
        for joined in (name[2:].replace("-", "_"), name[2:].replace("_", "-")):
            if f"--{joined}" in known:
                return f"--{joined}{equals}{value}"
        return word

    def flag(
        self, name: str, kind: "Kind", meaning: str, default: Any = None, required: bool = False
    ) -> None:
        """Add a flag whose value is of one kind."""
        self.add_argument(
            name, type=kind, metavar=kind.name, help=meaning, default=default, required=required
        )

    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse would take no notice of a reader that has left."""
        say(self.format_help().rstrip("\n"), file)

    def error(self, message: str) -> NoReturn:
        """Print `message` on standard error and leave."""
        message = printable(message.removeprefix("argument ").replace("\n", " "))
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help\n")


@dataclass(frozen=True)
class Kind:
    """A kind of value: how the help calls it, and how it is read from one word of the command line.

    Serves as ``type`` of ``add_argument``.
    """

    name: str | None  # None: a boolean, which may stand alone
    read: Callable[[str], Any]

    def __call__(self, word: str) -> Any:
        """Return the value, or raise what argparse expects."""
        return self.read(word)


def number(least: float = 0, most: float = math.inf, *, above: bool = False) -> Kind:
    """Return the kind of finite numbers from `least` (not itself if `above`) to `most`."""
    allowed = (
        f"a number {'>' if above else '>='} {least:g}"
        if most == math.inf
        else f"{least:g} to {most:g}"
    )

    def read(word: str) -> float:
        value = _convert(float, word, allowed)
        if not math.isfinite(value) or not least <= value <= most or (above and value == least):
            raise refused(word, allowed)
        return value

    return Kind("X", read)


def whole(least: int, most: int | None = None) -> Kind:
    """Return the kind of whole numbers from `least` to `most`."""
    allowed = (
        f"a whole number >= {least}" if most is None else f"a whole number from {least} to {most}"
    )

    def read(word: str) -> int:
        value = _convert(int, word, allowed)
        if value < least or (most is not None and value > most):
            raise refused(word, allowed)
        return value

    return Kind("N", read)


def choice(*names: str) -> Kind:
    """Return the kind of one word out of `names`."""

    def read(word: str) -> str:
        if word.lower() not in names:
            raise refused(word, ", ".join(names))
        return word.lower()

    return Kind("|".join(names), read)


def refused(word: str, allowed: str) -> argparse.ArgumentTypeError:
    """Return the complaint about one word of the command line."""
    return argparse.ArgumentTypeError(f"got {printable(repr(word), SHOWN)}; allowed: {allowed}")


def _convert(to: type, word: str, allowed: str) -> Any:
    try:
        return to(word)
    except ValueError as error:
        raise refused(word, allowed) from error


def _word(word: str) -> str:
    if not word:
        raise argparse.ArgumentTypeError("got an empty value; allowed: at least one character")
    return word


def _truth(word: str) -> bool:
    if word.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise refused(word, "True or False, or the flag alone")
    return word.lower() in ("true", "1", "yes")


TRUTH = Kind(None, _truth)
WORD, FILE, FOLDER = (Kind(name, _word) for name in ("WORD", "FILE", "FOLDER"))
MODEL, DEVICE = Kind("MODEL", _word), Kind("DEVICE", _word)
SEED = whole(0, 2**63 - 1)


def run(name: str, work: Callable[[], int], interrupted: str = "") -> int:
    """Do the work of a command, whose `name` begins each complaint, and return its exit code.

    `interrupted` tells how to go on after an interrupt that says nothing itself.

    0 done; 1 failed; 2 what was named cannot be used, be it a flag, a file or a voice; 130 stopped
    by Ctrl-C or politely from outside; 141 nobody reads what it prints."""
    _open_streams()
    try:
        with _terminate_like_interrupt():
            try:
                code = work()
            except SystemExit as stop:  # argparse has said what is wrong, or has shown the help
                code = stop.code if isinstance(stop.code, int) else FAILED
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except BarkError as error:
        return complain(name, str(error), error.exit_code)
    except KeyboardInterrupt as interrupt:
        return complain(name, f"interrupted. {str(interrupt) or interrupted}", INTERRUPTED)
    except BrokenPipeError:
        _forget_output()
        return UNREAD
    except (OSError, MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            return complain(
                name, "there is not enough memory. Try a smaller model, or --device cpu on a GPU"
            )
        if isinstance(error, RuntimeError):
            raise
        return complain(name, f"{type(error).__name__}: {error}")


def _open_streams() -> None:
    """Open what the shell has closed, so that no file of ours becomes the standard output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the help and others' notes, too


def _forget_output() -> None:
    """Let the rest go nowhere: Python would complain at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no real file
        return


def complain(name: str, message: str, code: int = FAILED) -> int:
    """Say in one line on standard error what went wrong; return the exit code."""
    with suppress(OSError):  # nobody reads it
        say(f"{name}: {printable(' '.join(message.split()))}", sys.stderr)
    return code


def say(line: str, stream: Any = None) -> None:
    """Print a line, above a progress bar if one is on the screen, whatever its letters: what moves
    the cursor or is not in the stream's encoding is escaped.

    Standard output is looked up now, where tests replace it; one that is closed takes nothing.
    """
    stream = sys.stdout if stream is None else stream
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    line = plain(line).encode(encoding, "backslashreplace").decode(encoding)
    if "tqdm" not in sys.modules:
        print(line, file=stream, flush=True)
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(stream):
        print(line, file=stream, flush=True)


def plain(text: str) -> str:
    """Return text whose control characters, but for new lines and tabs, are escaped."""
    if text.isprintable():
        return text
    controls = {letter for letter in text if unicodedata.category(letter) == "Cc"} - {"\n", "\t"}
    return text.translate({ord(letter): printable(letter) for letter in controls})


class _PlainFormatter(logging.Formatter):
    """Writes a message, and any name in it, without what could steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def log_to_stderr(level: int = logging.WARNING, times: bool = False) -> None:
    """Show log messages of this level on standard error, with the time of day where asked."""
    handler = logging.StreamHandler()
    pattern = "%(asctime)s %(message)s" if times else "%(message)s"
    handler.setFormatter(_PlainFormatter(pattern, "%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("torch").setLevel(logging.WARNING)  # it counts its caches at the exit


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
