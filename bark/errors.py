"""Errors that a user can cause, each one readable line: what is wrong, got, allowed, the fix."""

import os

SHOWN = 80  # letters of what was found
LINE = 1_000  # letters of anything else


class BarkError(ValueError):
    """Base of every error a user can cause.

    Its text is one line whatever it quotes: see `printable`.

    Parameters
    ----------
    what : the thing and its fault, ``"coarse_prompt has 3 codebooks"``.
    got : what was found, when `what` does not say it already; 80 letters of it are shown.
    allowed : what would have been accepted.
    fix : one imperative sentence.
    """

    exit_code = 1  # of a command that ends so; 2 where what was named cannot be used

    def __init__(
        self, what: str, got: object = None, allowed: object = None, fix: str | None = None
    ) -> None:
        self.what, self.got, self.allowed, self.fix = what, got, allowed, fix
        text = printable(what)
        if got is not None:
            text += f": got {printable(got, LINE if isinstance(got, os.PathLike) else SHOWN)}"
        if allowed is not None:
            text += f"; allowed: {printable(allowed)}"
        if fix:
            text += f". {printable(fix)}"
        self.message = text
        super().__init__(text)

    def __str__(self) -> str:
        return self.message


def printable(value: object, most: int = LINE) -> str:
    r"""Return `value` as text of one line: control characters escaped, the middle cut out.

    >>> printable("a\nb\x1b")
    'a\\nb\\x1b'
    """
    try:
        text = str(value)
    except (ValueError, RecursionError):  # of more than 4 300 digits, or of too many levels
        text = f"a huge {type(value).__name__}"
    return _cut("".join(map(_escaped, _cut(text, most))), most)


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that there is no memory left, on a device or in the computer."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"MemoryError", "OutOfMemoryError"}:  # Python's, and torch's for a GPU
        return True
    told = str(error)[:2000].lower()  # torch has a bare RuntimeError for the computer
    return isinstance(error, RuntimeError) and any(
        text in told for text in ("allocate memory", "not enough memory", "out of memory")
    )


def _cut(text: str, most: int) -> str:
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 3]}...{text[len(text) - end :]}"


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


class AudioError(BarkError):
    """A recording cannot be used."""

    exit_code = 2


class VoiceError(BarkError):
    """A history prompt, or the name of one, cannot be used."""

    exit_code = 2


class TextError(BarkError):
    """A text cannot be spoken."""

    exit_code = 2


class CheckpointError(BarkError):
    """A model file is refused."""


class SettingError(BarkError):
    """An argument is outside its range."""

    exit_code = 2


class SilentError(SettingError):
    """The model ended its speech before it began: a matter of the seed."""

    exit_code = 1


class MissingFileError(BarkError, FileNotFoundError):
    """A file or a model is not there."""

    exit_code = 2


class MissingModelError(MissingFileError):
    """Files of a known model are neither on this computer nor to be had."""

    exit_code = 1


class StorageError(BarkError, OSError):
    """A file cannot be written."""


class TakenError(StorageError, FileExistsError):
    """A file of this name is there, and is not to be replaced."""


class Cancelled(BarkError):
    """A call was ended from another thread; the object that was called stays usable."""
