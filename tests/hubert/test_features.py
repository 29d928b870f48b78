"""HuBERT features: within 1e-4 of fairseq's, from fairseq's files without fairseq and from Hugging Face folders."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel

from bark.errors import AudioError, CheckpointError, MissingFileError, SettingError
from hubert.features import MAX_SECONDS, HubertFeatures
from tests.conftest import ROOT

HERE = ROOT / "tests" / "golden"
FAIRSEQ_FILE = HERE / "hubert" / "hubert_tiny_fp16.pt"
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
WAVE = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
def test_features_equal_fairseqs(layer: int) -> None:
    features = HubertFeatures.from_pretrained(FAIRSEQ_FILE, layer)
    with np.load(HERE / "hubert" / "hubert_fp16_16000.npz") as expected:
        found = features(expected["audio"])
        assert found.dtype == np.float32
        assert np.abs(found - expected[f"layer{layer}"]).max() < 1e-4
    assert len(features.network.encoder.layers) == layer  # nothing above is built
    assert features.dim == 48


# The head count is in no tensor; in the second and third file it is inside objects that are never made.
FILES = {
    "hubert_tiny.pt": None,
    "hubert_tiny_namespace.pt": 4,
    "hubert_tiny_omegaconf.pt": 4,
    "hf_hubert": None,
    "hf_hubert_oldnames": None,
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_gives_fairseqs_features_at_every_length(golden: Path, name: str) -> None:
    folder = golden / "D_hubert"
    for layer in (1, 4):
        features = HubertFeatures.from_pretrained(folder / name, layer, heads=FILES[name])
        for samples in (400, 401, 719, 720, 16000, 16160, 33333):
            with np.load(folder / f"hubert_{samples}.npz") as expected:
                found = features(expected["audio"])
                assert found.shape == expected[f"layer{layer}"].shape
                assert np.abs(found - expected[f"layer{layer}"]).max() < 1e-4
    assert "fairseq" not in sys.modules and "omegaconf" not in sys.modules


@pytest.mark.parametrize("stable", [False, True])
def test_a_layer_is_transformers_hidden_state(stable: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = HubertConfig(**SIZES, do_stable_layer_norm=stable)
    network = HubertModel(config).eval()
    with torch.inference_mode():
        out = network(torch.from_numpy(WAVE)[None], output_hidden_states=True)
    expected = {1: out.hidden_states[1], 2: out.hidden_states[2], 3: out.last_hidden_state}
    network.save_pretrained(tmp_path)
    for layer in (3, 2, 1):  # each cuts the same network further
        for features in (
            HubertFeatures(network, layer),
            HubertFeatures.from_pretrained(tmp_path, layer),
        ):
            assert np.abs(features(WAVE) - expected[layer][0].numpy()).max() < 1e-5


def test_audio_goes_in_raw() -> None:
    features = HubertFeatures.from_pretrained(FAIRSEQ_FILE, 2)
    assert (
        np.abs(features(WAVE) - features(WAVE * 0.01)).max() > 0.1
    )  # normalising would undo the scaling


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (719, 1), (720, 2), (16_000, 49)])
def test_frames(samples: int, frames: int) -> None:
    features = HubertFeatures.from_pretrained(FAIRSEQ_FILE, 1)
    assert len(features(np.full(samples, 0.1, np.float32))) == frames == (samples - 400) // 320 + 1


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (WAVE[:399], "too short for HuBERT: got 399 samples.*at least 400"),
        (WAVE[:0], "too short for HuBERT"),
        (np.zeros(int(MAX_SECONDS * 16_000) + 1, np.float32), "too long for HuBERT.*at most 60 s"),
        (np.full(500, np.inf, np.float32), "NaN or infinite"),
        (WAVE[None], r"wrong shape.*\(1, 4000\)"),
    ],
)
def test_bad_audio_is_refused(wave: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        HubertFeatures.from_pretrained(FAIRSEQ_FILE, 1)(wave)


def test_the_layer_comes_from_encoder_json(tmp_path: Path) -> None:
    HubertModel(HubertConfig(**SIZES)).save_pretrained(tmp_path)
    with pytest.raises(SettingError, match="HuBERT layer.*9.*1 to 3"):
        HubertFeatures.from_pretrained(tmp_path)
    (tmp_path / "encoder.json").write_text('{"layer": 2, "quantizer": "kmeans"}')
    assert HubertFeatures.from_pretrained(tmp_path).layer == 2
    assert HubertFeatures.from_pretrained(tmp_path, layer=3).layer == 3
    for layer in (0, -1):
        with pytest.raises(SettingError, match="HuBERT layer"):
            HubertFeatures.from_pretrained(tmp_path, layer=layer)
    (tmp_path / "encoder.json").write_text('{"layer": "2"}')
    with pytest.raises(SettingError, match="HuBERT layer: got '2'"):
        HubertFeatures.from_pretrained(tmp_path)


def test_a_bare_file_of_hugging_faces_weights_loads(tmp_path: Path) -> None:
    network = HubertModel(HubertConfig(**{**SIZES, "hidden_size": 64})).eval()
    state = {f"hubert.{name}": tensor for name, tensor in network.state_dict().items()}
    state["lm_head.weight"] = torch.zeros(2, 64)  # as in a model fine-tuned to recognise speech
    torch.save(state, tmp_path / "hubert.pt")
    found = HubertFeatures.from_pretrained(tmp_path / "hubert.pt", 2, heads=2)(WAVE)
    assert np.array_equal(found, HubertFeatures(network, 2)(WAVE))
    # without a word on heads they are 64 wide, as in every published HuBERT
    assert (
        HubertFeatures.from_pretrained(tmp_path / "hubert.pt", 2).network.config.num_attention_heads
        == 1
    )


def test_loading_leaves_the_seed_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    HubertFeatures.from_pretrained(FAIRSEQ_FILE, 1)
    assert torch.rand(1) == expected


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="HuBERT not found"):
        HubertFeatures.from_pretrained(tmp_path / "a" / "b" / "c")
    with pytest.raises(MissingFileError, match="config.json"):
        HubertFeatures.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is a quantizer, not a HuBERT"):
        HubertFeatures.from_pretrained(HERE / "quantizer" / "quantizer_v0.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="other.pt is not a HuBERT"):
        HubertFeatures.from_pretrained(tmp_path / "other.pt")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bark"}))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="another network: got bark.*hubert"):
        HubertFeatures.from_pretrained(tmp_path)


def test_unknown_heads_are_asked_for(golden: Path) -> None:
    with pytest.raises(CheckpointError, match="how many attention heads.*Give heads="):
        HubertFeatures.from_pretrained(golden / "D_hubert" / "hubert_tiny_namespace.pt", 2)
