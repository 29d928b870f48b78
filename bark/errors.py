"""Turns bad input into one readable sentence: what is wrong, what was found, what is allowed, the
fix.
"""


class BarkError(ValueError):
    """Base of every error a user can cause.

    Parameters
    ----------
    what : the thing and its fault, ``"coarse_prompt has 3 codebooks"``.
    got : what was found, when `what` does not say it already.
    allowed : what would have been accepted.
    fix : one imperative sentence.
    """

    exit_code = 1  # of a command that ends so; 2 where what was named cannot be used

    def __init__(
        self, what: str, got: object = None, allowed: object = None, fix: str | None = None
    ) -> None:
        self.what, self.got, self.allowed, self.fix = what, got, allowed, fix
        text = what
        if got is not None:
            text += f": got {got}"
        if allowed is not None:
            text += f"; allowed: {allowed}"
        if fix:
            text += f". {fix}"
        self.message = text
        super().__init__(text)

    def __str__(self) -> str:
        return self.message


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


class Cancelled(BarkError):
    """A call was ended from another thread; the object that was called stays usable."""
