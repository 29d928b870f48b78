"""bark.codec.carrier: pitch, pulses and noise, and a decoder on them that starts as no change."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bark.checkpoints.find import find_model
from bark.codec.carrier import CarrierCodec, carrier, noise_like, pitch_of, pulses
from bark.codec.mel import MelCodec
from bark.codec.spectra import FFT_LENGTH, HOP_LENGTH, spectrum
from bark.codec.vocos import Vocos, VocosConfig, save_vocos
from bark.errors import CheckpointError

SIZES = VocosConfig(codebooks=0, inputs=112, width=16, inner=32, blocks=1, fft_length=FFT_LENGTH)
INSIDE = slice(3, -3)  # frames that do not reach over the ends


@pytest.fixture(scope="module")
def nano() -> MelCodec:
    codec = find_model("nano").load_codec()
    assert isinstance(codec, MelCodec)
    return codec


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    voice = find_model("nano").resolve_voice("alba")
    assert voice is not None
    return voice.fine[:, :150]


@pytest.mark.parametrize("hertz", [70.0, 118.0, 205.0, 333.0, 410.0])
def test_pulses_have_equal_harmonics_and_their_pitch_is_found(hertz: float) -> None:
    audio = pulses(torch.full((1, 60), hertz))
    magnitude = spectrum(audio).abs()[:, INSIDE]
    found, strength = pitch_of(magnitude)
    torch.testing.assert_close(found, torch.full_like(found, hertz), rtol=0.015, atol=0)
    assert float(strength.min()) > 0.8
    peaks = magnitude.amax(1)[0]
    harmonics = torch.arange(1, int(11_000 / hertz)) * hertz * FFT_LENGTH / 24_000
    heights = torch.stack([peaks[int(h) - 1 : int(h) + 3].max() for h in harmonics])
    assert 0.8 < float(heights.min()) and float(heights.max()) < 1.2


def test_a_gliding_pitch_is_followed() -> None:
    glide = torch.linspace(100, 250, 120)[None]
    found, _ = pitch_of(spectrum(pulses(glide)).abs())
    torch.testing.assert_close(found[:, INSIDE], glide[:, INSIDE], rtol=0.03, atol=0)


def test_noise_and_silence_have_no_pitch_to_speak_of() -> None:
    noise = spectrum(noise_like(torch.ones(1, 200))).abs()
    assert float(noise.mean()) == pytest.approx(1, abs=0.05)
    assert float(pitch_of(noise)[1].median()) < 0.5
    for magnitude in (torch.zeros(1, 9, 513), noise):
        assert all(torch.isfinite(part).all() for part in pitch_of(magnitude))


def test_the_carrier_keeps_the_magnitudes() -> None:
    magnitude = torch.rand(2, 30, 513, generator=torch.Generator().manual_seed(0)) + 0.01
    found = carrier(magnitude)
    torch.testing.assert_close(found.abs(), magnitude, rtol=1e-3, atol=1e-4)
    assert torch.equal(carrier(magnitude), found)


def test_pulses_join_from_frame_to_frame(nano: MelCodec, codes: np.ndarray) -> None:
    """The carrier's audio has about the magnitudes asked for; with any phases it would not."""
    from bark.codec.spectra import overlap, waveform

    latent = nano.network.dequantize(torch.from_numpy(codes))
    with torch.inference_mode():
        magnitude = nano.network.magnitude(nano.network.decoder(latent[None]))
        ours = carrier(magnitude)
        random = torch.polar(magnitude, 6.28 * torch.rand(magnitude.shape))

        def error(spectra: torch.Tensor) -> float:
            audio = waveform(spectra, overlap(magnitude))
            return float((spectrum(audio).abs() - magnitude).norm() / magnitude.norm())

        assert error(ours) < 0.5 * error(random)


def test_a_fresh_decoder_changes_nothing_and_a_saved_one_is_loaded(
    nano: MelCodec, codes: np.ndarray, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = Vocos(SIZES)
    torch.nn.init.zeros_(network.head.out.weight)
    torch.nn.init.zeros_(network.head.out.bias)
    fresh = CarrierCodec(nano, network)
    audio = fresh.decode(codes)
    assert audio.shape == (150 * HOP_LENGTH,) and np.abs(audio).max() <= 1
    level = np.std(audio) / np.std(nano.decode(codes))
    assert level == pytest.approx(1, abs=0.1)
    torch.nn.init.constant_(network.head.out.bias[:513], -float(np.log(2)))
    np.testing.assert_allclose(fresh.decode(codes), audio / 2, atol=1e-4)
    save_vocos(network, tmp_path / "decoder.safetensors")
    shutil.copytree(find_model("nano").path("codec"), tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["decoder"] = {"type": "vocos"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    shutil.copy(tmp_path / "decoder.safetensors", tmp_path / "model")
    own = find_model(tmp_path / "model").load_codec()
    assert isinstance(own, CarrierCodec)
    loaded = find_model("nano").load_codec(tmp_path)
    np.testing.assert_array_equal(own.decode(codes), loaded.decode(codes))
    assert isinstance(loaded, CarrierCodec) and loaded.context_frames is None
    np.testing.assert_allclose(loaded.decode(codes), audio / 2, atol=1e-3)
    assert loaded.decode(codes[:2, :1]).shape == (HOP_LENGTH,)
    np.testing.assert_array_equal(loaded.encode(audio), nano.encode(audio))


def test_what_is_settled_is_settled(nano: MelCodec, codes: np.ndarray) -> None:
    torch.manual_seed(1)
    network = Vocos(SIZES)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    codec = CarrierCodec(nano, network)
    assert codec.lookahead == 49
    whole, settled = codec.decode(codes), 60 * HOP_LENGTH
    enough = codec.decode(codes[:, : 60 + codec.lookahead])
    np.testing.assert_allclose(enough[:settled], whole[:settled], atol=1e-4)
    too_few = codec.decode(codes[:, : 60 + 5])
    assert np.abs(too_few[:settled] - whole[:settled]).max() > 1e-2


def test_a_decoder_for_other_frames_is_refused(nano: MelCodec) -> None:
    with pytest.raises(CheckpointError, match=r"got \(8, 112, 1024\) and 3"):
        CarrierCodec(nano, Vocos(replace(SIZES, codebooks=8)))
    with pytest.raises(CheckpointError, match=r"allowed: \(0, 112, 1024\)"):
        CarrierCodec(nano, Vocos(replace(SIZES, inputs=40)))
