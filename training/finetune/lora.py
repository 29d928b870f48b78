"""Lets a network learn through low-rank adapters only (LoRA), and merges them afterwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bark.errors import SettingError
from bark.extras import from_extra

LINEARS = ("c_attn", "c_proj", "c_fc")  # of attention and feed-forward part
SCALING = 2  # of what the adapters add
ADAPTER = "default"  # peft's name of the only one


def add_lora(network: nn.Module, rank: int, seed: int = 0) -> None:
    """Put an adapter of this rank beside every linear layer of the blocks, in place, and freeze the
    rest.

    The adapters begin as zero: at first the network says what it said before.

    Raises
    ------
    SettingError
        If peft is not installed, or the rank is no positive number.
    """
    if rank < 1:
        raise SettingError("LoRA rank", rank, "1 or more")
    config, inject = _peft()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject(config(r=rank, lora_alpha=SCALING * rank, target_modules=list(LINEARS)), network)


@torch.no_grad()
def plain_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's weights under Bark's names, copied, with adapters merged into the linear
    layers.

    Heads that repeat a table are left out, as in our model files. The network stays as it is.
    """
    weights = {}
    for name, tensor in network.state_dict().items():
        if ".lora_" not in name and not name.startswith("lm_heads."):
            weights[name.replace(".base_layer.", ".")] = tensor.detach().cpu().clone()
    for name, module in network.named_modules():
        if hasattr(module, "get_delta_weight"):
            weights[f"{name}.weight"] += module.get_delta_weight(ADAPTER).detach().cpu()
    return weights


def _peft() -> tuple[Any, Any]:
    with from_extra("train", "LoRA needs peft"):
        from peft import LoraConfig, inject_adapter_in_model
    return LoraConfig, inject_adapter_in_model
