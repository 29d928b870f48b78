"""Makes seeded parts that listen: tiny golden ones, a tiny HuBERT folder, and true-size random ones in a hub cache."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import EncodecConfig, EncodecModel, HubertConfig, HubertModel

from bark.codec.encodec import HUB_REPO as CODEC_REPO
from bark.codec.encodec import EncodecCodec
from hubert.encoder import SemanticEncoder
from hubert.features import HUB_REPO, HubertFeatures
from hubert.quantizer.kmeans import KMeansQuantizer
from hubert.quantizer.languages import QUANTIZERS
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import LSTMNetwork, QuantizerSizes

GOLDEN = Path(__file__).parent / "golden"
ENCODEC_FILE = GOLDEN / "encodec" / "encodec_24khz_tiny-76c38443.th"
HUBERT_FILE = GOLDEN / "hubert" / "hubert_tiny_fp16.pt"
QUANTIZER_FILE = GOLDEN / "quantizer" / "quantizer_v0.pth"


def golden_encoder() -> SemanticEncoder:
    """The references' tiny HuBERT, layer 2, and LSTM quantizer."""
    return SemanticEncoder(
        HubertFeatures.from_pretrained(HUBERT_FILE, 2), LSTMQuantizer.load(QUANTIZER_FILE)
    )


def golden_codec() -> EncodecCodec:
    """The references' tiny EnCodec."""
    return EncodecCodec.from_pretrained(ENCODEC_FILE)


def make_tiny_hubert(folder: Path, tokens: int = 64) -> Path:
    """Write a random HuBERT of 3 layers and k-means centres on its second, and return the folder."""
    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        conv_dim=[16] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    HubertModel(config).save_pretrained(folder)
    (folder / "encoder.json").write_text(json.dumps({"layer": 2, "quantizer": "kmeans"}))
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000 * 3).astype(np.float32)
    frames = HubertFeatures.from_pretrained(folder)(noise)
    KMeansQuantizer(frames[:: len(frames) // tokens][:tokens]).save(folder / "kmeans.npz")
    return folder


def make_hub_cache(folder: Path) -> Path:
    """Write what cloning in English fetches, at its true size (0.5 GB) but random, as the hub's client caches it."""

    def snapshot(repo: str) -> Path:
        place = folder / f"models--{repo.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("0" * 40)
        (place / "snapshots" / ("0" * 40)).mkdir(parents=True)
        return place / "snapshots" / ("0" * 40)

    torch.manual_seed(0)
    hubert, place = HubertModel(HubertConfig()), snapshot(HUB_REPO)
    hubert.config.save_pretrained(place)
    old = (
        ("parametrizations.weight.original0", "weight_g"),
        ("parametrizations.weight.original1", "weight_v"),
    )
    state = hubert.state_dict()
    for now, then in old:
        state = {name.replace(now, then): tensor for name, tensor in state.items()}
    torch.save(state, place / "pytorch_model.bin")
    english = QUANTIZERS["en"]
    LSTMQuantizer(LSTMNetwork(QuantizerSizes())).save(snapshot(english.repo) / english.file)
    state = EncodecModel(EncodecConfig()).state_dict()
    weights = {
        name: torch.randn_like(tensor) if name.endswith(".embed") else tensor.contiguous()
        for name, tensor in state.items()
    }
    save_file(weights, snapshot(CODEC_REPO) / "model.safetensors")
    return folder
