"""EnCodec behind `Codec`: codes equal to the encodec package's, audio within 1e-5 of it, from every layout."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bark.checkpoints.find import find_model
from bark.codec.encodec import EncodecCodec
from bark.errors import AudioError, CheckpointError, MissingFileError
from tests.conftest import ROOT

HERE = ROOT / "tests" / "golden" / "encodec"
TH_FILE = HERE / "encodec_24khz_tiny-76c38443.th"


@pytest.fixture(scope="module")
def codec() -> EncodecCodec:
    return EncodecCodec.from_pretrained(TH_FILE)


def check(codec: EncodecCodec, file: Path) -> None:
    with np.load(file) as expected:
        codes = codec.encode(expected["audio"])
        assert codes.dtype == np.int64
        assert np.array_equal(codes, expected["codes"])
        audio = codec.decode(codes)
        assert audio.dtype == np.float32
        assert audio.shape == expected["decoded"].shape
        assert np.abs(audio - expected["decoded"]).max() < 1e-5


@pytest.mark.parametrize("samples", [1, 321, 639])
def test_codes_and_audio_equal_the_encodec_package(codec: EncodecCodec, samples: int) -> None:
    check(codec, HERE / f"encodec_{samples}.npz")


def test_random_codes_decode_as_in_the_encodec_package(codec: EncodecCodec) -> None:
    with np.load(HERE / "decode_random_codes.npz") as expected:
        assert expected["codes"].dtype == np.int32
        assert np.abs(codec.decode(expected["codes"]) - expected["decoded"]).max() < 1e-5


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 639, 24000, 50000])
@pytest.mark.parametrize("layout", ["th", "hub folder", "bark"])
def test_all_layouts_equal_the_references(
    golden: Path, tmp_path: Path, layout: str, samples: int
) -> None:
    if layout == "th":
        codec = EncodecCodec.from_pretrained(golden / "F_encodec" / TH_FILE.name)
    elif layout == "hub folder":
        codec = EncodecCodec.from_pretrained(golden / "F_encodec" / "hf_encodec")
    else:  # the older weight-norm names, among a whole Bark
        codec = EncodecCodec.from_state_dict(load_file(golden / "C_hf_bark" / "model.safetensors"))
    check(codec, golden / "F_encodec" / f"encodec_{samples}.npz")


def test_six_kilobits_are_eight_codebooks(codec: EncodecCodec) -> None:
    assert len(codec.network.quantizer.layers) == 32  # so eight is a choice, not all there is
    assert codec.num_codebooks == 8
    assert (codec.sample_rate, codec.hop_length, codec.codebook_size) == (24_000, 320, 1024)
    assert codec.encode(np.zeros(5000, np.float32)).shape == (8, 16)


@pytest.mark.parametrize("samples", [0, 1, 2, 320, 321, 1000])
def test_frames_are_the_samples_over_the_hop_rounded_up(codec: EncodecCodec, samples: int) -> None:
    codes = codec.encode(np.linspace(-0.5, 0.5, samples, dtype=np.float32))
    frames = math.ceil(samples / 320)
    assert codes.shape == (8, frames)
    assert codec.decode(codes).shape == (320 * frames,)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, ">i8"])
def test_integers_of_any_width_decode_alike(codec: EncodecCodec, dtype: str) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (8, 5))
    assert np.array_equal(codec.decode(codes.astype(dtype)), codec.decode(codes))


def test_fewer_codebooks_decode_too(codec: EncodecCodec) -> None:
    codes = np.random.default_rng(0).integers(0, 1024, (8, 4))
    assert not np.array_equal(codec.decode(codes[:2]), codec.decode(codes))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 10), np.float32), "wrong shape"),
        (np.array([0, np.nan], np.float32), "NaN or infinite"),
    ],
)
def test_bad_audio_is_refused(codec: EncodecCodec, audio: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        codec.encode(audio)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((9, 2), np.int64), r"wrong shape.*\(9, 2\).*K from 1 to 8"),
        (np.zeros(4, np.int64), "wrong shape"),
        (np.zeros((8, 2)), "wrong type.*float64.*integers"),
        (np.full((8, 2), 1024), "out of range.*1024.*0 to 1023"),
        (np.full((8, 2), -1), "out of range.*-1"),
    ],
)
def test_bad_codes_are_refused(codec: EncodecCodec, codes: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        codec.decode(codes)


def test_save_then_load_is_the_same_codec(codec: EncodecCodec, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="config.json is not JSON"):
        codec.save(tmp_path)
    (tmp_path / "config.json").write_text('{"name": "kept"}')
    codec.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "name": "kept",
        "codec": {"type": "encodec"},
    }
    again = EncodecCodec.load(tmp_path)
    audio = np.random.default_rng(1).normal(0, 0.1, 4000).astype(np.float32)
    assert np.array_equal(again.encode(audio), codec.encode(audio))
    assert EncodecCodec.from_pretrained(tmp_path).num_codebooks == 8


def test_loading_leaves_the_seed_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    EncodecCodec.from_pretrained(TH_FILE)
    assert torch.rand(1) == expected


def test_wrong_files_are_named(codec: EncodecCodec, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="codec weights not found.*nowhere"):
        EncodecCodec.from_pretrained(tmp_path / "nowhere" / "deep")
    with pytest.raises(MissingFileError, match="model.safetensors"):
        EncodecCodec.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds no EnCodec"):
        EncodecCodec.from_state_dict({"lstm.weight": torch.zeros(1)})

    state = {name: tensor.contiguous() for name, tensor in codec.network.state_dict().items()}
    part = {name: tensor for name, tensor in state.items() if "decoder.layers.15" not in name}
    save_file(part, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match="part.safetensors does not fit EnCodec"):
        EncodecCodec.from_pretrained(tmp_path / "part.safetensors")
    few = {
        name: tensor for name, tensor in state.items() if "quantizer" not in name or ".0." in name
    }
    with pytest.raises(CheckpointError, match="EnCodec"):
        EncodecCodec.from_state_dict(few)


def test_the_stereo_codec_is_refused(codec: EncodecCodec) -> None:
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(num_filters=2, hidden_size=4, normalize=True, target_bandwidths=[6.0])
    with pytest.raises(CheckpointError, match="not a mono EnCodec"):
        EncodecCodec(EncodecModel(config))


def test_a_beginning_of_the_codes_is_a_beginning_of_the_audio(golden: Path) -> None:
    """What streaming rests on: nothing ahead of a sample changes it."""
    codec = find_model(golden / "C_hf_bark").load_codec()
    codes = np.random.default_rng(0).integers(0, 1024, (8, 200))
    whole = codec.decode(codes)
    for frames in (50, 120, 199):
        assert np.abs(codec.decode(codes[:, :frames]) - whole[: frames * 320]).max() < 1e-5
