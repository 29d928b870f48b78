"""Says which extra to install where an optional dependency is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import SettingError


@contextmanager
def from_extra(extra: str, what: str) -> Iterator[None]:
    """Turn an `ImportError` of the block into a `SettingError` that names the extra to install.

    Parameters
    ----------
    extra : the extra's name, such as "train".
    what : what cannot be done without it.
    """
    try:
        yield
    except ImportError as error:
        raise SettingError(
            what, fix=f"Install it: pip install 'bark-voice-booth[{extra}]'"
        ) from error
