"""Sizes, a codec's codebooks and k-means centres to fresh networks that start with a sense of time and
sound.

Everything here is plain weight initialisation; what comes out are ordinary `GPT` and `FineGPT`. Positions
are sinusoids of the time in seconds that a position stands for, equal for streams of different rates, and
some heads of the first layer begin with equal query and key weights: such a head attends to what stands
at the same time. Token embeddings begin as projections of the vectors that the tokens stand for.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bark.model import GPT, GPTConfig
from bark.model_fine import FineGPT, FineGPTConfig
from bark.tokens import TokenLayout

EMBEDDING_STD = 0.05
WEIGHT_STD = 0.03
ALIGNED_STD = 0.075  # of the shared query and key weights
ALIGNED_HEADS = 2  # of the first layer
FINE_SCALE = 0.5  # of the fine tables: large, so that single steps of training do not scramble them
NEAR_FRAMES = ((-1, 1, -2, 2), (-1, 1, -3, 3))  # what the heads of the fine network's first layers look at
LOOK = 2.2  # sharpness of that look
LEAST_SHARE = 0.35  # of the scale of the first codebook, that the later ones keep in the fine tables
LONGEST = 20.0  # s, period of the slowest sinusoid
FINE_PAD_IDS = 32  # rows of the fine tables beyond the codebook; the first is the padding


@dataclass(frozen=True)
class NetworkSize:
    """Width and depth of a stage."""

    width: int = 192
    layers: int = 6
    heads: int = 4


def nano_layout(units: int, text_ids: int) -> TokenLayout:
    """Return nano's token layout for `units` semantic tokens and `text_ids` ids of its tokenizer."""
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
    )


def stage_config(stage: str, layout: TokenLayout, size: NetworkSize) -> GPTConfig:
    """Return the sizes of a stage's network that speaks `layout`; those of "fine" are a `FineGPTConfig`."""
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
    _plain_weights(network)
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


@torch.no_grad()
def new_coarse(
    layout: TokenLayout, size: NetworkSize, centres: np.ndarray, codebooks: np.ndarray, seed: int = 0
) -> GPT:
    """Make the semantic → coarse network; `codebooks` is (8, 1024, latent), `centres` (K, D)."""
    torch.manual_seed(seed)
    books, window = layout.coarse_books, layout.coarse_semantic_window
    network = GPT(stage_config("coarse", layout, size))
    _plain_weights(network)
    _align_heads(network, size)
    table = network.transformer.wte.weight
    table[: layout.semantic_vocab] = projection(centres, size.width, seed=5)
    for book in range(books):
        low = layout.coarse_offset + book * layout.codebook_size
        table[low : low + layout.codebook_size] = projection(codebooks[book], size.width, seed=book)
    network.lm_head.weight.copy_(table[: network.config.output_vocab_size])
    positions = network.transformer.wpe.weight
    kinds = torch.randn(1 + books, size.width) * 0.03
    positions[:window] = time_code(np.arange(window) / layout.semantic_rate, size.width) + kinds[0]
    tokens = np.arange(len(positions) - window)  # position i predicts coarse token i
    positions[window:] = time_code(tokens // books / layout.coarse_rate, size.width)
    positions[window:] += kinds[1 + torch.from_numpy(tokens % books)]
    return network


@torch.no_grad()
def new_fine(layout: TokenLayout, size: NetworkSize, codebooks: np.ndarray, seed: int = 0) -> FineGPT:
    """Make the coarse → fine network; `codebooks` is (8, 1024, latent).

    A third of the width holds the codec's latent, so that the sum of a frame's embeddings is the frame as
    quantised so far; a third holds positions; the rest tells unknown entries apart. The heads of the first
    two layers begin by looking at near frames: a linear filter over those already guesses the next codebook
    far better than its frequencies do.
    """
    torch.manual_seed(seed)
    config = stage_config("fine", layout, size)
    network = FineGPT(FineGPTConfig(**asdict(config)))
    _plain_weights(network)
    third = size.width // 3
    basis = principal_directions(codebooks)[:, :third]  # (latent, kept)
    kept = basis.shape[1]
    tables: Any = network.transformer.wtes
    for book, table in enumerate(tables):
        share = max(LEAST_SHARE, float(codebooks[book].std() / max(1e-6, codebooks[0].std())))
        entries = torch.as_tensor((codebooks[book] - codebooks[book].mean(0)) @ basis, dtype=torch.float32)
        table.weight.normal_(0, 0.02)
        table.weight[: layout.codebook_size, :kept] = (
            entries / entries.std().clamp(min=1e-6) * (share * FINE_SCALE)
        )
        table.weight[layout.codebook_size :] = 0
        table.weight[layout.codebook_size :, 2 * third :].normal_(0, FINE_SCALE)
    network.transformer.ln_f.weight.fill_(
        0.15
    )  # heads are the tables, whose scale would make logits too sharp
    periods = torch.exp(torch.linspace(math.log(3), math.log(150), third // 2))  # frames
    speeds = 2 * math.pi / periods
    angles = torch.arange(layout.fine_window)[:, None] * speeds
    positions = network.transformer.wpe.weight
    positions.zero_()
    positions[:, third : third + 2 * len(speeds)] = FINE_SCALE * torch.cat(
        [angles.sin(), angles.cos()], dim=1
    )
    blocks: Any = network.transformer.h
    for block, offsets in zip(blocks, NEAR_FRAMES, strict=False):
        for head, offset in zip(range(size.heads), offsets, strict=False):
            _look_at(block.attn.c_attn.weight, size, head, offset, speeds)
    network.tie_heads()
    return network


def principal_directions(codebooks: np.ndarray, draws: int = 20_000) -> np.ndarray:
    """Return the directions of a quantised latent by falling variance, ``(latent, latent)``."""
    random = np.random.default_rng(0)
    frames = sum(book[random.integers(0, len(book), draws)] for book in codebooks)
    return np.linalg.svd(frames - frames.mean(0), full_matrices=False)[2].T


def _look_at(weight: Tensor, size: NetworkSize, head: int, offset: int, speeds: Tensor) -> None:
    """Make a head attend to the position `offset` frames away and pass on the latent found there.

    With sin and cos of a position's angles, query · key = Σ cos(speed · (here + offset - there)).
    """
    width, third, each = size.width, size.width // 3, size.width // size.heads
    used = min(each // 2, len(speeds))
    sine, cosine = third + torch.arange(used), third + len(speeds) + torch.arange(used)
    turn = speeds[:used] * offset
    query, key, value = torch.zeros(3, each, width)
    even, odd = 2 * torch.arange(used), 2 * torch.arange(used) + 1
    query[even, sine] = query[odd, cosine] = LOOK
    key[even, sine] = key[odd, cosine] = LOOK * turn.cos()
    key[even, cosine], key[odd, sine] = -LOOK * turn.sin(), LOOK * turn.sin()
    passed = torch.arange(min(each, third))
    value[passed, passed] = 0.7
    for part, rows in enumerate((query, key, value)):
        weight[part * width + head * each : part * width + (head + 1) * each] = rows


def projection(vectors: np.ndarray, width: int, seed: int) -> Tensor:
    """Turn centred ``(V, D)`` vectors to random orthonormal directions: ``(V, width)``, as embeddings."""
    points = torch.as_tensor(vectors, dtype=torch.float32)
    points = points - points.mean(0)
    generator = torch.Generator().manual_seed(seed)
    tall = max(width, points.shape[1])
    basis = torch.linalg.qr(torch.randn(tall, tall, generator=generator))[0][:width, : points.shape[1]]
    turned = points @ basis.T
    return turned / turned.std().clamp(min=1e-6) * EMBEDDING_STD


def time_code(seconds: np.ndarray, width: int, amplitude: float = 0.07, shortest: float = 0.08) -> Tensor:
    """Return ``(T, width)`` sines and cosines of times, with periods from `shortest` to 20 s."""
    periods = torch.exp(torch.linspace(math.log(shortest), math.log(LONGEST), width // 2))
    angles = torch.as_tensor(seconds, dtype=torch.float32)[:, None] * (2 * math.pi / periods)
    return amplitude * torch.cat([angles.sin(), angles.cos()], dim=1)


def _plain_weights(network: GPT | FineGPT) -> None:
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
