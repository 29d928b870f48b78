"""training.nano.report.prosody: pauses, and how fast clips are spoken."""

import numpy as np
import pytest

from bark.text.english.phones import PhoneTokenizer
from training.nano.report.prosody import (
    comma_places,
    commas_paused,
    pauses,
    speaking_rate,
    spoken_seconds,
)
from training.nano.report.trials import Clip

TEXT = "one two, three four"  # of 11 phones the first 5 before the comma


def audio(*seconds: float) -> np.ndarray:
    """Return sound and silence in turns, so long each."""
    rng = np.random.default_rng(0)
    parts = [
        rng.normal(0, 0.1 if index % 2 == 0 else 1e-4, round(24_000 * length))
        for index, length in enumerate(seconds)
    ]
    return np.concatenate(parts).astype(np.float32)


def clip(text: str, *seconds: float) -> Clip:
    return Clip(0, "open", text, audio(*seconds))


def test_silence_around_is_no_pause_and_short_silence_neither() -> None:
    found = audio(0.5, 0.05, 0.4, 0.2, 0.5)
    padded = np.concatenate([np.zeros(9600, np.float32), found, np.zeros(4800, np.float32)])
    ((start, end),) = pauses(padded)
    assert start == pytest.approx(0.95, abs=0.02) and end == pytest.approx(1.15, abs=0.02)
    assert spoken_seconds(padded) == pytest.approx(1.65, abs=0.02)
    assert pauses(np.zeros(0, np.float32)) == [] and spoken_seconds(np.zeros(9000)) == 0


def test_commas_lie_between_their_phones() -> None:
    (place,) = comma_places(TEXT, PhoneTokenizer())
    assert place == pytest.approx(5 / 11, abs=0.05)
    assert comma_places("one two three", PhoneTokenizer()) == []


@pytest.mark.parametrize(
    ("seconds", "share"),
    [
        ((0.45, 0.2, 0.55), 1.0),
        ((0.45, 0.05, 0.55), 0.0),  # too short
        ((1.0,), 0.0),
        ((0.05, 0.3, 0.95), 0.0),  # elsewhere
        ((0.02, 0.5, 0.43, 0.2, 0.55), 1.0),  # a pause before it does not move the comma
    ],
)
def test_a_comma_has_its_pause_near_its_place(seconds: tuple[float, ...], share: float) -> None:
    found = commas_paused([clip(TEXT, *seconds), clip("no comma here", 0.5, 0.3, 0.5)])
    assert found.value == share and found.trials == 1


def test_the_rate_is_that_of_the_same_text() -> None:
    clips, originals = [clip(TEXT, 1.0), clip(TEXT, 2.0)], [clip(TEXT, 1.1), clip(TEXT, 2.2)]
    assert speaking_rate(clips, originals).value == pytest.approx(1.1, abs=0.02)
