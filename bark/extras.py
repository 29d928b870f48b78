"""Imports optional dependencies, or says which extra to install."""

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import SettingError


@contextmanager
def from_extra(extra: str, what: str) -> Iterator[None]:
    """Import inside it what one of the package's extras brings; without it a `SettingError` says
    so.

    Parameters
    ----------
    extra : its name in brackets, "train".
    what : that cannot be done without it.
    """
    try:
        yield
    except ImportError as error:
        raise SettingError(
            what, fix=f"Install it: pip install 'bark-voice-booth[{extra}]'"
        ) from error
