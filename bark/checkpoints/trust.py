"""Which models that a file names may be loaded without a download that nobody asked for."""

import re

from bark.storage.files import expand
from bark.storage.hub import HUB_ID, cached

from .find import SUNO_SIZES


def is_here(name: str, file: str = "config.json") -> bool:
    """Tell whether a model that a voice or a record names may be loaded.

    nano and Suno's names may; a path or a repository, of which `file` is a part, must be on this
    computer already.
    """
    if name in SUNO_SIZES or name == "nano" or (name and expand(name).exists()):
        return True
    return bool(re.fullmatch(HUB_ID, name)) and cached(name, file) is not None
