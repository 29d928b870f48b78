"""hubert.reference.clean: what was found is taken out, and the speech stays."""

from dataclasses import replace

import numpy as np
import pytest

from hubert.clone import Cloner
from hubert.reference import examine
from hubert.reference.clean import Cleaned, cleaned
from tests.listening import golden_codec, golden_encoder
from tests.speech import phrase

RATE = 16_000  # Hz
SPEECH = phrase([(2.0, 0.5), (2.5, 0.4), (1.5, 0.5)], RATE, noise=1e-4)
TIME = np.arange(len(SPEECH)) / RATE
HUM = sum(0.03 / k * np.sin(2 * np.pi * 50.02 * k * TIME + k) for k in range(1, 9))
RUMBLE = 0.1 * np.sin(2 * np.pi * 23 * TIME)


def made(audio: np.ndarray, **rest) -> Cleaned:
    audio = np.asarray(audio, np.float32)
    return cleaned(audio, RATE, examine(audio, sample_rate=RATE).measures, **rest)


def apart(audio: np.ndarray, other: np.ndarray = SPEECH) -> float:
    """Return how far two sounds above 80 Hz are apart, in dB below the speech."""
    spectra = [np.fft.rfft(sound)[80 * len(SPEECH) // RATE :] for sound in (audio, other)]
    return float(10 * np.log10(np.square(abs(spectra[0] - spectra[1])).sum()
                               / np.square(abs(spectra[1])).sum()))  # fmt: skip


def test_a_clean_recording_stays_as_it_is() -> None:
    result = made(SPEECH)
    assert result.done == () and result.audio.dtype == np.float32
    assert np.array_equal(result.audio, SPEECH.astype(np.float32))


def test_hum_is_taken_out_and_speech_is_not() -> None:
    result = made(SPEECH + HUM)
    assert result.done == ("high-pass 60 Hz", "hum 50 Hz")
    assert apart(result.audio) < apart(SPEECH + HUM) - 5
    assert "hum" not in [found.code for found in examine(result.audio, sample_rate=RATE).findings]


def test_rumble_is_taken_out() -> None:
    result = made(SPEECH + RUMBLE)
    assert result.done == ("high-pass 60 Hz",) and apart(result.audio) < -30
    low = np.abs(np.fft.rfft(result.audio))[: 30 * len(SPEECH) // RATE]
    before = np.abs(np.fft.rfft(SPEECH + RUMBLE))[: 30 * len(SPEECH) // RATE]
    assert 20 * np.log10(low.max() / before.max()) < -40


@pytest.mark.parametrize("loudness", [0.2, 0.03])
def test_a_low_level_is_raised(loudness: float) -> None:
    result = made(loudness * SPEECH)
    level = examine(result.audio, sample_rate=RATE).measures.level_db
    assert level == pytest.approx(-23, abs=1) and result.done[-1].startswith("level +")
    assert np.abs(result.audio).max() <= 1


def test_a_denoiser_gets_noisy_recordings_alone() -> None:
    def silent(audio: np.ndarray, rate: int) -> np.ndarray:
        assert rate == RATE
        return audio * 0.5

    measures = examine(SPEECH, sample_rate=RATE).measures
    for snr, applied in ((12.0, True), (40.0, False)):
        result = cleaned(SPEECH, RATE, replace(measures, snr_db=snr), silent)
        assert any("silent" in step for step in result.done) == applied


def test_a_clone_tells_what_was_done() -> None:
    cloner = Cloner(golden_encoder(), golden_codec())
    humming = (SPEECH + HUM).astype(np.float32)
    plain = cloner.clone(humming, sample_rate=RATE)
    clone = cloner.clone(humming, sample_rate=RATE, clean=True)
    assert "cleaned" not in plain.voice.info and plain.cleaned == ()
    assert clone.voice.info["cleaned"] == "high-pass 60 Hz, hum 50 Hz"
    assert clone.cleaned == ("high-pass 60 Hz", "hum 50 Hz")
    assert clone.voice.digest != plain.voice.digest
