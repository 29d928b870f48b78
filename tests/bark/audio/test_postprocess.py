"""bark.audio.postprocess: steps are found by name, checked, recorded, and loudness is what it says."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from bark.audio import postprocess
from bark.audio.postprocess import (
    Loudness,
    Step,
    loudness_of,
    postprocessed,
    postprocessed_stream,
    step_of,
)
from bark.errors import AudioError, SettingError
from tests.speech import phrase

RATE = 24_000  # Hz


class Quieter:
    """A step of another package that can follow a stream."""

    def __init__(self, argument: str) -> None:
        self.gain = float(argument or 0.5)

    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        return audio * self.gain

    def stream(self, pieces: Iterator[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
        return (piece * self.gain for piece in pieces)


def broken(argument: str) -> None:
    raise RuntimeError("no such model\nhere")


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package that brings steps."""
    brought = [
        EntryPoint(name, f"{__name__}:{value}", postprocess.GROUP)
        for name, value in (
            ("quieter", "Quieter"),
            ("broken", "broken"),
            ("number", "RATE.__int__"),
        )
    ]
    monkeypatch.setattr(postprocess, "entry_points", lambda group: brought)


@pytest.mark.parametrize("seconds", [0.2, 0.41, 3.0])
@pytest.mark.parametrize("target", [-30.0, -16.0])
def test_speech_comes_to_its_loudness(seconds: float, target: float) -> None:
    audio = phrase([(1.0, 0.3), (1.0, 0.3), (1.0, 0.2)], RATE)[: round(seconds * RATE)]
    made = Loudness(target)(audio, RATE)
    assert made.dtype == np.float32 and loudness_of(made, RATE) == pytest.approx(target, abs=0.05)


def test_a_full_scale_sine_has_the_loudness_of_the_standard() -> None:
    tone = np.sin(2 * np.pi * 997 * np.arange(2 * RATE) / RATE)
    assert loudness_of(tone, RATE) == pytest.approx(-3.01, abs=0.1)  # ITU-R BS.1770, mono


def test_silence_stays_silence() -> None:
    for audio in (np.zeros(RATE, np.float32), np.zeros(0, np.float32)):
        assert np.array_equal(Loudness(-16)(audio, RATE), audio)


def test_names_are_looked_up_and_kept_for_the_record(plugged: None) -> None:
    audio = np.ones(100, np.float32)
    steps = [step_of("quieter=0.25"), step_of(Loudness(-16)), step_of(Quieter(""))]
    assert [step.name for step in steps[:3]] == [
        "quieter=0.25", "loudness=-16", f"python:{__name__}.Quieter",
    ]  # fmt: skip
    assert step_of(steps[0]) is steps[0]
    assert np.allclose(postprocessed(audio, RATE, ["quieter", steps[0]]), 0.125)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "rvc=me.pth",
            "no postprocess of this name: got 'rvc'; allowed: broken, loudness, number, q",
        ),
        ("loudness=loud", "loudness: got 'loud'; allowed: a number of LUFS"),
        ("loudness", "loudness: got ''; allowed: a number"),
        ("loudness=nan", "loudness: got nan; allowed: -60 to 0 LUFS"),
        ("loudness=3", "loudness: got 3.0; allowed: -60 to 0 LUFS"),
        ("quieter=x", "postprocess quieter cannot be made: got ValueError"),
        ("broken", r"postprocess broken cannot be made: got RuntimeError: no such model\\nhere"),
    ],
)
def test_what_is_no_step_is_told_in_one_line(plugged: None, name: str, message: str) -> None:
    with pytest.raises(SettingError, match=message) as told:
        step_of(name)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (np.zeros((2, 5), np.float32), r"made no audio: got \(2, 5\) float32; allowed: \(N,\)"),
        (np.zeros(5, np.int16), "made no audio"),
        (np.full(5, np.nan), "made NaN or infinity"),
        (np.zeros(0), "left no samples"),
    ],
)
def test_what_a_step_makes_is_checked(made: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=f"postprocess x {message}"):
        postprocessed(np.ones(5, np.float32), RATE, [Step("x", lambda audio, rate: made)])


def test_a_stream_takes_steps_that_need_not_wait(plugged: None) -> None:
    pieces = [np.ones(3, np.float32), np.ones(2, np.float32)]
    made = list(postprocessed_stream(pieces, RATE, ["quieter", "quieter=0.1"]))
    assert [len(piece) for piece in made] == [3, 2] and np.allclose(np.concatenate(made), 0.05)
    with pytest.raises(SettingError, match="postprocess loudness=-16 needs the whole speech"):
        postprocessed_stream(pieces, RATE, ["loudness=-16"])
