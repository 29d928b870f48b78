"""training.engine.progress: a bar on a terminal, lines elsewhere, nothing unless asked for."""

import io
import os
import re
import struct

import pytest

from training.engine import progress as module
from training.engine.progress import SILENT, Progress, validation_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test moves."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_come_every_few_seconds_with_rate_and_time_left(clock: list[float]) -> None:
    stream = io.StringIO()
    with Progress(stream, every=10).task("training", 400, "step", done=100) as advance:
        for _ in range(300):
            clock[0] += 0.5
            advance(1)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training: 120 of 400 steps, 2.0 step/s, 02:20 left"
    assert len(lines) == 14 and "\r" not in stream.getvalue()


def test_slow_work_is_given_in_seconds_for_each(clock: list[float]) -> None:
    stream = io.StringIO()
    with Progress(stream, every=10).task("speaking", 4, "take") as advance:
        clock[0] += 20
        advance(1)
    assert stream.getvalue() == "speaking: 1 of 4 takes, 20.0 s/take, 01:00 left\n"


def test_a_terminal_gets_a_bar_and_lines_stand_above_it() -> None:
    stream = Terminal()
    progress = Progress(stream)
    with progress.task("training", 10, "step", done=4) as advance:
        advance(3)
        progress.line("step 7: fine")
    text = stream.getvalue()
    assert "training:  40%" in text and "step/s" in text
    assert "step 7: fine\n" in text and text.index("step 7: fine") < text.rindex("training: ")


def test_nothing_is_shown_unless_a_stream_is_given(capfd: pytest.CaptureFixture[str]) -> None:
    with SILENT.task("training", 10, "step") as advance:
        advance(10)
        SILENT.line("unheard")
    assert capfd.readouterr() == ("", "")


def test_a_validation_is_a_line() -> None:
    figures = {"loss": 2.5, "top1": 0.25, "top5": 0.5, "majority": 0.0625, "guide": 0.1}
    assert validation_line(40, 400, figures, 2.5, 40) == (
        "step 40 of 400: validation loss 2.500 (the best so far), top 1 25.0 %, top 5 50.0 %, "
        "always the most frequent 6.2 %, guide 0.100"
    )
    assert "(best 2.400, step 20)" in validation_line(40, 400, figures, 2.4, 20)


@pytest.mark.parametrize("columns", [0, 60, 120])
def test_the_bar_is_seen_on_terminals_of_any_width(columns: int) -> None:
    """A terminal in a container often says that it has no columns; tqdm alone shows nothing there."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", columns // 3, columns, 0, 0))
    with open(theirs, "w", encoding="utf-8") as stream:
        with Progress(stream).task("training", 10, "step", done=4) as advance:
            advance(6)
        shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert "training:  40%" in shown and "step/s" in shown
    assert max(map(len, re.split(r"[\r\n]+", shown))) <= (columns or 80)
