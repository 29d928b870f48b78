"""A button in a notebook that takes a recording from the person at the screen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark.storage.atomic import atomic_write_bytes


@dataclass(frozen=True)
class Upload:
    """The button, and what was uploaded with it."""

    button: Any  # of ipywidgets; a sentence where it is not installed

    def saved(self, folder: str | Path) -> Path | None:
        """Write the uploaded recording into a folder and return its path; None if there is none."""
        files = getattr(self.button, "value", ())
        if not files:
            return None
        path = Path(folder) / Path(files[0]["name"]).name
        atomic_write_bytes(path, bytes(files[0]["content"]))
        return path


def uploaded() -> Upload:
    """Return a button that takes one recording."""
    try:
        import ipywidgets
    except ImportError:
        return Upload("no ipywidgets here: the recording named in the first cell is used")
    return Upload(ipywidgets.FileUpload(accept="audio/*,video/*", multiple=False))
