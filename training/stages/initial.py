"""nano's token layout, and the first weights of its text → semantic network.

What comes out is an ordinary `GPT`; only its first weights are chosen. Positions are sinusoids of
the time in seconds that a position stands for, text and speech alike, and two heads of the first
layer begin with equal query and key weights: such a head attends to what stands at the same time.
Units begin as projections of their centres, text tokens as what they sound like. `acoustic` does
the like for the other two stages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bark.stages.gpt import GPT, GPTConfig
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.tokens import TokenLayout

EMBEDDING_STD = 0.05
WEIGHT_STD = 0.03
ALIGNED_STD = 0.075  # of the shared query and key weights
ALIGNED_HEADS = 2  # of the first layer
LONGEST = 20.0  # s, period of the slowest sinusoid
FINE_PAD_IDS = 32  # rows of the fine tables beyond the codebook; the first is the padding


@dataclass(frozen=True)
class NetworkSize:
    """Width and depth of a stage."""

    width: int = 192
    layers: int = 6
    heads: int = 4

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], heads: int) -> NetworkSize:
        """Read width and layers off a stage's weights, which do not tell the heads."""
        blocks = [int(name.split(".")[2]) for name in weights if name.startswith("transformer.h.")]
        return cls(weights["transformer.wpe.weight"].shape[1], max(blocks) + 1, heads)


def deepened(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return a stage's weights for a network of as many layers or more, those of `network`.

    Layers that the weights lack get `network`'s own, and add nothing until they have learned.
    """
    added = {
        name: torch.zeros_like(tensor) if "c_proj" in name else tensor.detach()
        for name, tensor in network.named_parameters()
        if name.startswith("transformer.h.") and name not in weights
    }
    return weights | added


def nano_layout(units: int, text_ids: int) -> TokenLayout:
    """Return nano's token layout for `units` semantic tokens and `text_ids` ids of
    its tokenizer.
    """
    text_offset = units + 1  # behind the units and their padding
    text_pad = text_offset + text_ids
    coarse_pad = units + 2 * 1024
    return TokenLayout(
        semantic_rate=50.0,
        semantic_vocab=units,
        text_offset=text_offset,
        text_pad=text_pad,
        semantic_infer=text_pad + 1,
        text_window=128,
        max_semantic=450,
        coarse_semantic_pad=coarse_pad,
        coarse_infer=coarse_pad + 1,
        coarse_semantic_window=256,
        max_coarse_history=630,
        sliding_window=120,
        coarse_history_drop=0,
        fine_window=512,
        fine_history=256,
        fine_hop=256,
        fine_shortest=1,  # no padding: the loss is the same without, see docs/nano-history.md
    )


def stage_config(stage: str, layout: TokenLayout, size: NetworkSize) -> GPTConfig:
    """Return the sizes of a stage's network that speaks `layout`; those of "fine" are a
    `FineGPTConfig`.
    """
    sizes: dict[str, Any] = {"n_layer": size.layers, "n_head": size.heads, "n_embd": size.width}
    if stage == "semantic":
        return GPTConfig(
            **sizes,
            block_size=layout.text_window + 1 + layout.max_semantic,
            input_vocab_size=layout.semantic_infer + 1,
            output_vocab_size=layout.semantic_vocab + 1,
        )
    if stage == "coarse":
        most = layout.max_coarse_history + layout.sliding_window
        return GPTConfig(
            **sizes,
            block_size=layout.coarse_semantic_window + 1 + most,
            input_vocab_size=layout.coarse_infer + 1,
            output_vocab_size=layout.coarse_offset + layout.coarse_books * layout.codebook_size,
        )
    vocab = layout.codebook_size + FINE_PAD_IDS
    return FineGPTConfig(
        **sizes,
        block_size=layout.fine_window,
        input_vocab_size=vocab,
        output_vocab_size=vocab,
        n_codes_total=layout.fine_books,
        n_codes_given=layout.coarse_books,
    )


@torch.no_grad()
def new_semantic(
    layout: TokenLayout,
    size: NetworkSize,
    centres: np.ndarray,
    text_units: np.ndarray,
    text_rate: float,
    seed: int = 0,
) -> GPT:
    """Make the text → semantic network.

    Parameters
    ----------
    centres : (K, D) the k-means centre of each unit.
    text_units : (V, K) for each text token the shares of the units it sounds as.
    text_rate : text tokens in a second of speech.
    """
    torch.manual_seed(seed)
    network = GPT(stage_config("semantic", layout, size))
    plain_weights(network)
    _align_heads(network, size)
    table = network.transformer.wte.weight
    units = projection(centres, size.width, seed=5)
    table[: layout.semantic_vocab] = units
    text = torch.as_tensor(text_units, dtype=torch.float32) @ units
    # text and history are summed into one position: text must not drown
    table[layout.text_offset : layout.text_offset + len(text)] = (
        text / text.std().clamp(min=1e-6) * 2 * EMBEDDING_STD
    )
    network.lm_head.weight.copy_(table[: layout.semantic_vocab + 1])
    positions, window = network.transformer.wpe.weight, layout.text_window
    kinds = torch.randn(2, size.width) * 0.03
    positions[:window] = time_code(np.arange(window) / text_rate, size.width, 0.12, 0.4) + kinds[0]
    spoken = np.arange(len(positions) - window) / layout.semantic_rate
    positions[window:] = time_code(spoken, size.width, 0.12, 0.4) + kinds[1]
    return network


def projection(vectors: np.ndarray, width: int, seed: int) -> Tensor:
    """Turn centred ``(V, D)`` vectors to random orthonormal directions: ``(V, width)``, as
    embeddings.
    """
    points = torch.as_tensor(vectors, dtype=torch.float32)
    points = points - points.mean(0)
    generator = torch.Generator().manual_seed(seed)
    tall = max(width, points.shape[1])
    basis = torch.linalg.qr(torch.randn(tall, tall, generator=generator))[0][
        :width, : points.shape[1]
    ]
    turned = points @ basis.T
    return turned / turned.std().clamp(min=1e-6) * EMBEDDING_STD


def time_code(
    seconds: np.ndarray, width: int, amplitude: float = 0.07, shortest: float = 0.08
) -> Tensor:
    """Return ``(T, width)`` sines and cosines of times, with periods from `shortest` to 20 s."""
    periods = torch.exp(torch.linspace(math.log(shortest), math.log(LONGEST), width // 2))
    angles = torch.as_tensor(seconds, dtype=torch.float32)[:, None] * (2 * math.pi / periods)
    return amplitude * torch.cat([angles.sin(), angles.cos()], dim=1)


def plain_weights(network: GPT | FineGPT) -> None:
    """Draw all matrices small, those that write into the residual smaller by the depth."""
    depth = network.config.n_layer
    for name, weight in network.named_parameters():
        if weight.dim() < 2:
            continue
        std = WEIGHT_STD
        if "wte" in name or "wpe" in name:
            std = EMBEDDING_STD
        elif name.endswith("c_proj.weight"):
            std = WEIGHT_STD / math.sqrt(2 * depth)
        nn.init.normal_(weight, 0.0, std)


def _align_heads(network: GPT, size: NetworkSize) -> None:
    """Give the first heads of the first layer the same query and key weights."""
    head = size.width // size.heads
    first: Any = network.transformer.h[0]
    weight = first.attn.c_attn.weight  # (3 D, D): queries, keys, values
    for index in range(min(ALIGNED_HEADS, size.heads)):
        shared = torch.randn(head, size.width) * ALIGNED_STD
        rows = slice(index * head, (index + 1) * head)
        weight[: size.width][rows] = shared
        weight[size.width : 2 * size.width][rows] = shared
