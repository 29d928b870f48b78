"""Shows long work to whoever waits for it: a bar on a terminal, elsewhere a line now and then.

Library functions take a `Progress` and are silent without one; only a command's ``main`` makes one
that writes. Every training, preparation and synthesis uses this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:  # imported late, so that a command soon answers Ctrl-C in one line
    from tqdm import tqdm

EVERY = 10.0  # s between plain lines
SHARES = ("top", "majority", "accuracy")  # beginnings of figures that are shown in per cent
NAMES = {"top1": "top 1", "top5": "top 5", "majority": "always the most frequent"}

Advance = Callable[[int], None]  # told how many more are done


class Progress:
    """Where progress is shown.

    Parameters
    ----------
    stream : text stream such as standard error; none: nothing is shown.
    bar : show a bar; none: if the stream is a terminal.
    every : s between plain lines where there is no bar.
    """

    def __init__(
        self, stream: TextIO | None = None, bar: bool | None = None, every: float = EVERY
    ) -> None:
        self.stream, self.every = stream, every
        self.bar = bool(stream and stream.isatty()) if bar is None else bar
        self._shown: tqdm | None = None

    def line(self, text: str) -> None:
        """Write a line, above the bar where there is one."""
        if self.stream is None:
            return
        if self._shown is not None:
            self._shown.clear()
        self.stream.write(f"{text}\n")
        self.stream.flush()
        if self._shown is not None:
            self._shown.refresh()

    @contextmanager
    def task(self, what: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Show a piece of work while the block runs, and call what it yields as the work goes on.

        Parameters
        ----------
        what : the work in a word or two, "training".
        total, done : how much there is, and how much an earlier run did.
        unit : of `total`, "step".
        """
        if self.stream is None:
            yield lambda count: None
        elif self.bar:
            from tqdm import tqdm

            from bark.stages.progress import size_of

            size = size_of(self.stream)
            with tqdm(
                total=total, initial=done, desc=what, unit=unit, file=self.stream, **size
            ) as shown:
                self._shown = shown
                try:
                    yield shown.update
                finally:
                    self._shown = None
        else:
            yield _Lines(self, what, total, unit, done)


class _Lines:
    """Counts, and says every few seconds how far it is."""

    def __init__(self, progress: Progress, what: str, total: int, unit: str, done: int) -> None:
        self.progress, self.what, self.total, self.unit = progress, what, total, unit
        self.first = self.done = done
        self.begun = self.told = time.monotonic()

    def __call__(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.told < self.progress.every or self.done >= self.total:
            return
        self.told = now
        from tqdm import tqdm

        rate = (self.done - self.first) / (now - self.begun)
        left = tqdm.format_interval((self.total - self.done) / rate) if rate else "?"
        speed = f"{rate:.1f} {self.unit}/s" if rate >= 1 else f"{1 / rate:.1f} s/{self.unit}"
        self.progress.line(
            f"{self.what}: {self.done} of {self.total} {self.unit}s, {speed}, {left} left"
        )


SILENT = Progress()


def validation_line(
    step: int, steps: int, figures: Mapping[str, float], best_loss: float, best_step: int
) -> str:
    """Return what a validation found, in a line.

    >>> validation_line(40, 400, {"loss": 3.2, "top1": 0.31}, 3.1, 20)
    'step 40 of 400: validation loss 3.200 (best 3.100, step 20), top 1 31.0 %'
    """
    best = "the best so far" if step == best_step else f"best {best_loss:.3f}, step {best_step}"
    told = [f"step {step} of {steps}: validation loss {figures['loss']:.3f} ({best})"]
    for name, value in figures.items():
        if name != "loss":
            shown = f"{100 * value:.1f} %" if name.startswith(SHARES) else f"{value:.3f}"
            told.append(f"{NAMES.get(name, name)} {shown}")
    return ", ".join(told)
