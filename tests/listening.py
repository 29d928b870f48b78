"""Makes tiny, seeded parts that listen: a random HuBERT with k-means in our folder format, and EnCodec's golden one."""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import HubertConfig, HubertModel

from bark.codec import EncodecCodec
from hubert.encoder import SemanticEncoder
from hubert.features import HubertFeatures
from hubert.quantizer import KMeansQuantizer, LSTMQuantizer

GOLDEN = Path(__file__).parent / "golden"
ENCODEC_FILE = GOLDEN / "encodec" / "encodec_24khz_tiny-76c38443.th"
HUBERT_FILE = GOLDEN / "hubert" / "hubert_tiny_fp16.pt"
QUANTIZER_FILE = GOLDEN / "quantizer" / "quantizer_v0.pth"


def golden_encoder() -> SemanticEncoder:
    """The references' tiny HuBERT, layer 2, and LSTM quantizer."""
    return SemanticEncoder(HubertFeatures.from_pretrained(HUBERT_FILE, 2), LSTMQuantizer.load(QUANTIZER_FILE))


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
