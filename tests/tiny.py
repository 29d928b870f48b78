"""Makes a seeded, randomly initialised tiny model of the real code path, in our own folder format."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from bark.codec.mel import MelAutoencoder, MelCodec, MelCodecConfig
from bark.stages.gpt import GPT, GPTConfig
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.tokens import TokenLayout

LAYOUT = TokenLayout(
    semantic_rate=50.0,
    semantic_vocab=64,
    text_offset=72,
    text_pad=198,
    semantic_infer=199,
    text_window=64,
    max_semantic=100,
    coarse_semantic_pad=64 + 2 * 1024,
    coarse_infer=64 + 2 * 1024 + 1,
    coarse_history_drop=0,
    fine_window=128,
    fine_history=64,
    fine_hop=64,
)


def make_tiny_model(folder: Path) -> Path:
    """Write a random model of a few thousand parameters to `folder` and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 16}
    coarse_vocab = LAYOUT.coarse_infer + 1
    semantic = GPTConfig(**sizes, block_size=192, input_vocab_size=200, output_vocab_size=72)
    coarse = GPTConfig(
        **sizes, block_size=1024, input_vocab_size=coarse_vocab, output_vocab_size=coarse_vocab
    )
    fine = FineGPTConfig(**sizes, block_size=128)
    networks = {"semantic": GPT(semantic), "coarse": GPT(coarse), "fine": FineGPT(fine)}
    for name, network in networks.items():
        weights = {
            k: v.contiguous()
            for k, v in network.state_dict().items()
            if not k.startswith("lm_heads.")
        }
        save_file(weights, folder / f"{name}.safetensors")
    config = {
        "format": "bark",
        "format_version": 1,
        "name": "tiny",
        "layout": LAYOUT.to_dict(),
        **{name: asdict(network.config) for name, network in networks.items()},
        "tokenizer": {"type": "phones"},
        "defaults": {"max_duration_s": 1.0},
    }
    (folder / "config.json").write_text(json.dumps(config))
    autoencoder = MelAutoencoder(
        MelCodecConfig(bands=40, latent=8, encoder_width=16, decoder_width=16, iterations=4)
    )
    autoencoder.codebooks.normal_()
    MelCodec(autoencoder).save(folder)
    return folder
