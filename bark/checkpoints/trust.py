"""Which models that a file names may be loaded without a download that nobody asked for."""

import re

from bark.storage.files import expand
from bark.storage.hub import cached

from .find import HUB_ID, SUNO_SIZES


def is_here(name: str) -> bool:
    """Tell whether a model that a voice or a record names may be loaded.

    nano and Suno's names may; a folder or a repository must be on this computer already.
    """
    if name in SUNO_SIZES or name == "nano" or (name and expand(name).is_dir()):
        return True
    return bool(re.fullmatch(HUB_ID, name)) and cached(name, "config.json") is not None
