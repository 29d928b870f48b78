"""How far a call is, told while it runs, and the way to end it from another thread."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, TypeAlias

from bark.errors import Cancelled

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
    def bar(self, stage: str, total: int, unit: str) -> Iterator[Bar]:
        """Watch one stage of `total` steps."""
        self.check()
        if not self.bars:
            yield Bar(self, stage, total, None)
            return
        from tqdm.auto import tqdm

        with tqdm(total=total, desc=stage, unit=unit, leave=None) as shown:
            yield Bar(self, stage, total, shown)


UNWATCHED = Watch()
