"""How far a call is, told while it runs, and the way to end it from another thread."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, TextIO, TypeAlias

import numpy as np

from bark.errors import Cancelled

NARROW = 80  # columns of a terminal that does not say how many it has, and more rows than two

Progress: TypeAlias = "bool | Callable[[str, int, int], None] | Watch | None"
"""True shows bars; a function is called with the stage, how much is done, and the total."""


class Bar:
    """The progress of one stage."""

    def __init__(self, watch: "Watch", stage: str, total: int, shown: Any) -> None:
        self.watch, self.stage, self.total, self.done, self.shown = watch, stage, total, 0, shown

    def update(self, count: int = 1) -> None:
        """Count what was done; raise `Cancelled` if the call was asked to end."""
        self.watch.check()
        self.done += count
        if self.shown is not None:
            self.shown.update(count)
        if self.watch.callback is not None:
            self.watch.callback(self.stage, self.done, self.total)

    def finish(self) -> None:
        """Say that the stage is done, however much of the total was needed."""
        self.total = self.done
        if self.shown is not None:
            self.shown.total = self.done
            self.shown.refresh()
        if self.watch.callback is not None:
            self.watch.callback(self.stage, self.done, self.total)


@dataclass(frozen=True)
class Watch:
    """Who watches a call: bars on the terminal, a function, a flag that ends it."""

    bars: bool = False
    callback: Callable[[str, int, int], None] | None = None
    cancel: Event | None = field(default=None, repr=False)

    @classmethod
    def of(cls, progress: Progress = False, cancel: Event | None = None) -> "Watch":
        """Return the watch that the arguments of a public call mean."""
        if isinstance(progress, Watch):
            return progress if cancel is None else replace(progress, cancel=cancel)
        callback = progress if callable(progress) else None
        return cls(bool(progress) and callback is None, callback, cancel)

    def check(self) -> None:
        """Raise `Cancelled` if the call was asked to end."""
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("cancelled")

    @contextmanager
    def bar(self, stage: str, total: int, unit: str, leave: bool | None = None) -> Iterator[Bar]:
        """Watch one stage of `total` steps; its bar stays on the screen unless another stands above
        it, or with ``leave=False``.
        """
        self.check()
        if not self.bars:
            yield Bar(self, stage, total, None)
            return
        from tqdm.auto import tqdm

        size = size_of(sys.stderr)
        with tqdm(total=total, desc=stage, unit=unit, leave=leave, **size) as shown:
            yield Bar(self, stage, total, shown)

    def through(
        self, stage: str, blocks: Iterable[np.ndarray], rate: int, seconds: float
    ) -> Iterator[np.ndarray]:
        """Watch a stage that goes through audio, `seconds` of it, in blocks (n, ...) at `rate`."""
        with self.bar(stage, round(seconds), "second", leave=False) as bar:
            held = 0
            for block in blocks:
                held += len(block)
                bar.update(held // rate - bar.done)
                yield block


UNWATCHED = Watch()


def size_of(stream: TextIO) -> dict[str, Any]:
    """Return tqdm's arguments for a terminal. By itself it shows nothing on one of unknown size, as
    in some containers.
    """
    try:
        known = os.get_terminal_size(stream.fileno()).columns > 0
    except (AttributeError, OSError, ValueError):  # no real file, or none
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": NARROW, "nrows": NARROW}
