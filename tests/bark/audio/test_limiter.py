"""The limiter keeps under its ceiling, leaves quiet speech alone, and makes no clicks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark.audio import limited
from bark.audio.limiter import CEILING, LOOK_AHEAD, _held
from bark.errors import AudioError
from tests.bark.audio.test_audio import tone


def noise(seed: int, samples: int, peak: float) -> np.ndarray:
    numbers = np.random.default_rng(seed)
    audio = numbers.normal(size=samples) * (numbers.random(samples) < 0.2)
    return (peak * audio / max(np.abs(audio).max(initial=0), 1e-9)).astype(np.float32)


@given(st.integers(0, 2**32), st.integers(0, 5_000), st.floats(0.01, 50), st.floats(0.1, 1))
@settings(max_examples=60, deadline=None)
def test_nothing_above_the_ceiling_and_nothing_else_touched(seed, samples, peak, ceiling):
    audio = noise(seed, samples, peak)
    quiet, taken = limited(audio, ceiling=ceiling)
    assert quiet.dtype == np.float32 and quiet.shape == audio.shape
    loudest = float(np.abs(audio).max(initial=0))
    if loudest <= ceiling:
        assert quiet is audio and taken == 0
        return
    assert np.abs(quiet).max() <= np.float32(ceiling)
    assert taken == pytest.approx(20 * np.log10(loudest / ceiling), abs=1e-3)
    assert (np.abs(quiet) <= np.abs(audio)).all() and (quiet * audio >= 0).all()
    far = np.ones(samples, bool)
    reach = round(4 * LOOK_AHEAD * 24_000 / 2)
    for at in np.flatnonzero(np.abs(audio) > ceiling):
        far[max(0, at - reach) : at + reach + 1] = False
    np.testing.assert_array_equal(quiet[far], audio[far])


@given(st.integers(0, 2**32), st.integers(1, 400), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_the_held_gain_is_the_minimum_of_its_window(seed, samples, reach):
    gain = np.random.default_rng(seed).random(samples)
    held = _held(gain, reach)
    padded = np.concatenate([np.ones(2 * reach), gain, np.ones(2 * reach)])
    np.testing.assert_array_equal(
        held, np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).min(axis=1)
    )


def test_the_gain_moves_slowly():
    audio = tone(1.0, level=0.5)
    audio[12_000] = 3.0
    quiet, taken = limited(audio)
    gain = quiet[np.abs(audio) > 0.05] / audio[np.abs(audio) > 0.05]
    assert np.abs(np.diff(gain)).max() < 0.02
    assert taken == pytest.approx(20 * np.log10(3 / CEILING), abs=0.01)
    assert quiet[12_000] == pytest.approx(CEILING, rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(AudioError, match="audio to limit holds NaN or infinity"):
        limited(np.array([0.0, value]))
