"""bark.codec.mel: frames, phase reconstruction, quantisation and files; all with random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bark.codec.mel import MelAutoencoder, MelCodec, MelCodecConfig, mel_filterbank
from bark.codec.spectra import HOP_LENGTH, griffin_lim, overlap, spectrum, waveform
from bark.errors import AudioError, CheckpointError, MissingFileError

CONFIG = MelCodecConfig(
    bands=40,
    latent=16,
    encoder_width=24,
    encoder_blocks=1,
    decoder_width=24,
    decoder_blocks=1,
    iterations=4,
)


@pytest.fixture(scope="module")
def codec() -> MelCodec:
    torch.manual_seed(0)
    network = MelAutoencoder(CONFIG)
    network.codebooks.normal_(generator=torch.Generator().manual_seed(1)).mul_(0.5)
    network.mean.fill_(-4.0)
    network.deviation.fill_(2.0)
    return MelCodec(network)


@pytest.fixture(scope="module")
def speechlike() -> np.ndarray:
    """Half a second of a gliding harmonic tone in bursts."""
    time = np.arange(12_000) / 24_000
    pitch = 2 * np.pi * np.cumsum(120 + 60 * time) / 24_000
    tone = sum(np.sin(k * pitch) / k for k in range(1, 20))
    return (0.1 * tone * (np.sin(2 * np.pi * 4 * time) ** 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (1, 1), (319, 1), (320, 1), (321, 2), (24_000, 75)]
)
def test_a_frame_stands_for_320_samples(codec: MelCodec, samples: int, frames: int) -> None:
    codes = codec.encode(np.zeros(samples, dtype=np.float32))
    assert codes.shape == (8, frames) and codes.dtype == np.int64
    audio = codec.decode(codes)
    assert audio.shape == (HOP_LENGTH * frames,) and audio.dtype == np.float32


def test_codes_move_with_whole_frames(codec: MelCodec, speechlike: np.ndarray) -> None:
    moved = np.concatenate([np.zeros(5 * HOP_LENGTH, dtype=np.float32), speechlike])
    # the network sees a few frames to each side, so both ends differ
    np.testing.assert_array_equal(
        codec.encode(moved)[:, 15:-10], codec.encode(speechlike)[:, 10:-10]
    )


def test_decoding_repeats_exactly_and_stays_in_range(codec: MelCodec) -> None:
    codes = np.random.default_rng(0).integers(0, 1024, (8, 20))
    audio = codec.decode(codes)
    np.testing.assert_array_equal(audio, codec.decode(codes))
    assert np.isfinite(audio).all() and np.abs(audio).max() <= 1
    assert not np.array_equal(audio, codec.decode(codes[:2]))


def test_spectrum_is_invertible(speechlike: np.ndarray) -> None:
    audio = torch.from_numpy(speechlike[: 37 * HOP_LENGTH])[None]
    spectra = spectrum(audio)
    torch.testing.assert_close(waveform(spectra, overlap(spectra)), audio, atol=2e-5, rtol=0)


def test_griffin_lim_approaches_the_magnitude(speechlike: np.ndarray) -> None:
    magnitude = spectrum(torch.from_numpy(speechlike[: 37 * HOP_LENGTH])[None]).abs()

    def error(iterations: int) -> float:
        found = spectrum(griffin_lim(magnitude, iterations, 0.99)).abs()
        return float((found - magnitude).norm() / magnitude.norm())

    assert error(30) < 0.5 * error(1)
    assert error(30) < 0.15


def test_filters_cover_the_spectrum() -> None:
    filters = mel_filterbank(112)
    assert filters.shape == (112, 513) and (filters >= 0).all()
    torch.testing.assert_close(filters.sum(1), torch.ones(112))
    assert (filters.argmax(1).diff() >= 1).all()


def test_each_codebook_brings_the_sum_closer(codec: MelCodec) -> None:
    network = codec.network
    latent = torch.randn(200, CONFIG.latent, generator=torch.Generator().manual_seed(2))
    codes = network.quantize(latent)
    errors = [float((network.dequantize(codes[:books]) - latent).norm()) for books in (1, 2, 4)]
    assert errors == sorted(errors, reverse=True)
    assert torch.equal(network.quantize(latent, 3), codes[:3])


def test_saved_codec_gives_the_same_codes(
    codec: MelCodec, speechlike: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"name": "kept"}))
    codec.save(tmp_path)
    loaded = MelCodec.load(tmp_path)
    again = tmp_path / "again"
    loaded.save(again)  # from here on weights are exactly float16
    np.testing.assert_array_equal(
        loaded.encode(speechlike), MelCodec.load(again).encode(speechlike)
    )
    assert json.loads((tmp_path / "config.json").read_text())["name"] == "kept"
    assert loaded.network.config == CONFIG
    assert (np.mean(loaded.encode(speechlike)[0] == codec.encode(speechlike)[0])) > 0.9


def test_bad_audio_is_refused(codec: MelCodec) -> None:
    with pytest.raises(AudioError, match=r"wrong shape: got \(2, 100\); allowed: \(N,\) mono"):
        codec.encode(np.zeros((2, 100), dtype=np.float32))
    with pytest.raises(AudioError, match="NaN or infinite"):
        codec.encode(np.array([0.0, np.nan], dtype=np.float32))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((9, 4), dtype=np.int64), "K from 1 to 8"),
        (np.zeros(4, dtype=np.int64), "wrong shape"),
        (np.zeros((2, 4)), "allowed: integers"),
        (np.full((2, 4), 1024), "got 1024 to 1024; allowed: 0 to 1023"),
        (np.full((2, 4), -1), "out of range"),
    ],
)
def test_bad_codes_are_refused(codec: MelCodec, codes: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        codec.decode(codes)


def test_bad_folders_are_refused(codec: MelCodec, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"config\.json"):
        MelCodec.load(tmp_path)
    codec.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for size, value, message in [
        ("iterations", 10**9, "codec: iterations: got 1000000000; allowed: int <= 1000"),
        ("bands", 0, "codec: bands: got 0; allowed: int >= 2"),
        ("floor", 0.0, "codec: floor"),
        ("encoder_width", "wide", "codec: encoder_width: got 'wide'; allowed: int"),
        ("decoder_blocks", 64, "do not fit their configuration: got the weights are too few"),
        ("colour", 1, "codec: got Object contains unknown field colour"),
    ]:
        changed = config | {"codec": config["codec"] | {size: value}}
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match=message):
            MelCodec.load(tmp_path)
    config["codec"]["bands"] = 41
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="do not fit their configuration"):
        MelCodec.load(tmp_path)
    weights = tmp_path / "codec.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="codec.safetensors"):
        MelCodec.load(tmp_path)
    config["codec"] = {"type": "encodec"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="got encodec; allowed: mel"):
        MelCodec.load(tmp_path)
