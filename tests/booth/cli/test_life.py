"""Commands that take more than two seconds show what they do, on a terminal and nowhere else."""

import sys
from pathlib import Path

import pytest

from bark.audio.read import load_audio
from bark.audio.write import save_audio
from bark.commandline import say
from bark.stages.progress import NARROW, Watch, size_of
from booth.cli.main import main
from hubert.clone import clone_voice
from tests.conftest import ROOT

REFERENCE = ROOT / "booth" / "samples" / "reference.flac"
COMMANDS = {  # a command → the bars that it shows
    "check me.flac": ["examining"],
    "clone me.flac --check": ["examining"],
    "clone me.flac --model nano --consent self": ["examining", "loading", "cloning"],
    "clone me.flac you.flac --model nano --consent self": ["recordings", "cloning"],
    "convert nano ours --to ours": ["converting"],
    "convert-voice me.flac --voice alba -o b.wav --seed 1": ["loading", "pieces", "coarse"],
    "voices preview alba --text Hi. --seed 1": ["loading", "semantic"],
}


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BARK_VOICES", str(tmp_path / "own"))
    speech = load_audio(REFERENCE, 24_000, end=3.0)
    for name in ("me.flac", "you.flac"):
        save_audio(name, speech)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_sees_what_is_being_done(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(command.split()) == 0
    shown = capsys.readouterr().err
    for bar in COMMANDS[command]:
        assert f"{bar}:   0%" in shown, shown


def test_nothing_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("clone me.flac you.flac --model nano --consent self".split()) == 0
    assert "%|" not in capsys.readouterr().err


def test_a_program_is_told_how_far_a_clone_is() -> None:
    told: list[tuple[str, int, int]] = []
    clone_voice("me.flac", model="nano", progress=lambda *step: told.append(step))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["examining", "loading", "cloning"]
    ends = {stage: (done, total) for stage, done, total in told}
    assert ends["cloning"] == ends["loading"] == (2, 2) and ends["examining"][0] > 0


def test_lines_stand_above_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(bars=True).bar("pieces", 2, "piece") as bar:
        capsys.readouterr()
        say("a line", sys.stderr)
        bar.update()
    shown = capsys.readouterr().err
    assert shown.startswith("\r") and shown.index("a line\n") < shown.index("pieces:")


def test_a_terminal_that_says_no_size_gets_a_narrow_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert size_of(sys.stderr)["ncols"] == NARROW
