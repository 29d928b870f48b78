"""Every flag of every command refuses a bad value in one line and with exit code 2; failures have their codes."""

import argparse
import os
import signal
from collections.abc import Callable

import pytest

from bark.commandline import OneLineParser, choice, number, run, say, whole
from bark.errors import (
    AudioError,
    BarkError,
    CheckpointError,
    MissingFileError,
    MissingModelError,
    SettingError,
    SilentError,
    StorageError,
    TextError,
    VoiceError,
)
from booth.cli import clone, convert, replay, voices
from booth.cli.main import main as bark
from training.finetune import command as finetune
from training.finetune import prepare
from training.quantizer.commands import evaluate as evaluate_quantizer
from training.quantizer.commands import prepare as prepare_pairs
from training.quantizer.commands import synthesize as synthesize_pairs
from training.quantizer.commands import train as train_quantizer

Main = Callable[[list[str]], int]
BY_KIND = {
    "X": ["soon", "nan", "inf", "-1"],
    "N": ["many", "1.5", "-1"],
    "N,N": ["0", "a,b"],
    "WHOSE": ["maybe"],
}
COMMANDS: dict[str, tuple[Main, list[str], OneLineParser]] = {
    "clone": (bark, ["clone", "me.wav"], clone.build_parser("bark clone")),
    "prepare": (prepare.main, ["data", "--out", "out"], prepare.build_parser()),
    "finetune": (
        finetune.main,
        ["--stage", "fine", "--data", "d", "--out", "o"],
        finetune.build_parser(),
    ),
    "pairs": (
        synthesize_pairs.main,
        ["--texts", "t", "--out", "o"],
        synthesize_pairs.build_parser(),
    ),
    "prepare pairs": (prepare_pairs.main, ["pairs"], prepare_pairs.build_parser()),
    "quantizer": (train_quantizer.main, ["pairs", "--out", "o"], train_quantizer.build_parser()),
    "evaluate": (evaluate_quantizer.main, ["run", "pairs"], evaluate_quantizer.build_parser()),
    "convert": (bark, ["convert", "a", "b"], convert.build_parser("bark convert")),
    "replay": (bark, ["replay", "take.json"], replay.build_parser()),
}
(_subparsers,) = (
    action
    for action in voices.build_parser()._actions
    if isinstance(action, argparse._SubParsersAction)
)
PLACES = {"list": [], "rename": ["a", "b"], "export": ["a", "b.npz"]}
COMMANDS |= {
    f"voices {name}": (bark, ["voices", name, *PLACES.get(name, ["a"])], parser)
    for name, parser in _subparsers.choices.items()
}
FLAGS = [
    (name, action.option_strings[-1])
    for name, (_, _, parser) in COMMANDS.items()
    for action in parser._actions
    if action.option_strings and action.nargs is None
]


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_a_bad_value_is_one_line_and_code_2(
    command: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main, words, parser = COMMANDS[command]
    (action,) = (action for action in parser._actions if flag in action.option_strings)
    kind = getattr(action.type, "name", None)
    assert kind is not None, "a flag without a kind takes anything"
    for bad in [
        [],
        [""],
        *([value] for value in BY_KIND.get(kind, ["nonsense"] if "|" in kind else [])),
    ]:
        assert main([*words, flag, *bad]) == 2
        shown = capsys.readouterr()
        assert shown.err.count("\n") == 1 and flag in shown.err and not shown.out, bad
        assert not bad or "allowed: " in shown.err


def test_all_commands_are_here() -> None:
    assert len(FLAGS) > 35 and {name for name, _ in FLAGS} == set(COMMANDS)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (number(), {"0": 0.0, "2.5": 2.5}, ["-0.1", "x", ""]),
        (number(0, 1), {"1": 1.0}, ["1.01"]),
        (number(0, above=True), {"1e-9": 1e-9}, ["0"]),
        (whole(1), {"1": 1, " 7 ": 7}, ["0", "1e3"]),
        (whole(0, 9), {"9": 9}, ["10"]),
        (choice("wav", "mp3"), {"WAV": "wav"}, ["ogg"]),
    ],
)
def test_kinds(kind: Callable[[str], object], good: dict[str, object], bad: list[str]) -> None:
    assert {word: kind(word) for word in good} == good
    for word in bad:
        with pytest.raises(argparse.ArgumentTypeError, match="got .*; allowed: "):
            kind(word)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingError("a", 1, 2), 2), (VoiceError("a"), 2), (TextError("a"), 2), (AudioError("a"), 2),
        (MissingFileError("a"), 2), (MissingModelError("a"), 1), (SilentError("a"), 1), (CheckpointError("a"), 1),
        (StorageError("a"), 1), (BarkError("a"), 1), (OSError("a"), 1), (MemoryError("a"), 1),
        (KeyboardInterrupt("Go on."), 130),
    ],
)  # fmt: skip
def test_each_failure_has_its_code_and_one_line(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert run("name", fail) == code
    shown = capsys.readouterr().err
    assert shown.startswith("name: ") and shown.count("\n") == 1 and str(error) in shown


def test_a_bug_keeps_its_traceback() -> None:
    def broken() -> int:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run("name", broken)
    assert run("name", lambda: 3) == 3


def test_a_polite_end_is_an_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def ended() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    assert run("name", ended) == 130 and "name: interrupted." in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_any_letters_can_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    say("Grüße \udc80")
    assert capsys.readouterr().out == "Grüße \\udc80\n"
