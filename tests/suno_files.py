"""Makes tiny, seeded Bark networks with the real vocabularies, and Suno's files of them, for tests."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.checkpoints.formats import SUNO_NAMES, build_network
from bark.stages.gpt import GPT, GPTConfig
from bark.stages.gpt_fine import FineGPT, FineGPTConfig

SIZES = {
    "semantic": GPTConfig(1, 2, 4, 1024, input_vocab_size=129_600, output_vocab_size=10_048),
    "coarse": GPTConfig(
        2, 1, 4, 1024, bias=True, input_vocab_size=12_096, output_vocab_size=12_096
    ),
    "fine": FineGPTConfig(1, 2, 4, 1024),
}


def network(stage: str, seed: int = 0) -> GPT | FineGPT:
    """A network of random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = FineGPT(SIZES[stage]) if stage == "fine" else GPT(SIZES[stage])
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, 0, 0.3)
    return made.eval()


def checkpoint(stage: str, prefix: str = "_orig_mod.", **changes: Any) -> dict[str, Any]:
    """What Suno's file of a stage holds; `changes` replace fields of model_args."""
    config = SIZES[stage]
    sizes = {name: getattr(config, name) for name in config.__dataclass_fields__}
    state = OrderedDict(
        (prefix + name, tensor) for name, tensor in network(stage).state_dict().items()
    )
    return {
        "model": state,
        "model_args": {**sizes, **changes},
        "iter_num": 10,
        "best_val_loss": np.float64(2.5),
    }


def suno_folder(folder: Path, size: str = "_2") -> Path:
    """Write Suno's three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for stage, name in SUNO_NAMES.items():
        torch.save(checkpoint(stage), folder / f"{name}{size}.pt")
    return folder


def add_codec(folder: Path) -> Path:
    """Put a tiny EnCodec of random weights beside Suno's files."""
    from safetensors.torch import save_file
    from transformers import EncodecConfig, EncodecModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = EncodecModel(EncodecConfig(hidden_size=4, codebook_dim=4, num_filters=2))
    for layer in codec.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed)
    save_file(codec.state_dict(), folder / "codec.safetensors")
    return folder


def same_network(first: Any, second: Any) -> bool:
    """Tell whether two networks have equal sizes and weights."""
    one, two = first.state_dict(), second.state_dict()
    return first.config == second.config and one.keys() == two.keys() and all(
        torch.equal(one[name], two[name]) for name in one
    )  # fmt: skip


def rebuilt(stage: str, weights: dict[str, torch.Tensor]) -> GPT | FineGPT:
    """A network of the standard sizes from given weights."""
    return build_network(SIZES[stage], weights, "test")
