"""First weights of the coarse and fine networks: heads that attend where the answer is.

All of it is plain weight initialisation of `GPT` and `FineGPT`. The width is divided: some
dimensions hold what a token sounds like, others the time it stands for. Heads of the first layers
then begin aimed: with the sines and cosines of a time's angles, query · key = Σ cos(speed · (here +
offset - there)), which peaks at the offset. Without this start the networks spend most of a short
training on finding out what time is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bark.stages.gpt import GPT
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.tokens import TokenLayout

from .initial import FINE_PAD_IDS, NetworkSize, plain_weights, stage_config

SCALE = 0.5  # of embeddings: large, so that single training steps do not scramble them
SOFT = 0.02  # of everything that is not set
LOOK, PREFER, PASS = (
    2.2,
    4.0,
    0.7,
)  # sharpness of aimed heads, of their preferences, and what they pass on
WRITE = 0.4  # with which an aimed head's finding is written into its place
MATCH = 1.05  # sharpness with which coarse compares units
LEAST_SHARE = 0.35  # of the first codebook's scale, that the later ones keep in the fine tables
NEAR_FRAMES = (
    (-1, 1, -2, 2),
    (-1, 1, -3, 3),
)  # what the heads of the fine network's first layers look at


@dataclass(frozen=True)
class Clock:
    """Where in the width time is held, and how fast each angle turns."""

    sine: Tensor  # (F,) dimensions
    cosine: Tensor  # (F,)
    speeds: Tensor  # (F,) radians for each unit of time

    @classmethod
    def at(cls, first: int, dimensions: int, shortest: float, longest: float) -> Clock:
        """Use `dimensions` from `first` on for periods from shortest to longest."""
        count = dimensions // 2
        periods = torch.exp(torch.linspace(math.log(shortest), math.log(longest), count))
        places = first + torch.arange(count)
        return cls(places, places + count, 2 * math.pi / periods)

    def write(self, positions: Tensor, times: Tensor) -> None:
        """Write the angles of ``(T,)`` times into ``(T, D)`` positions."""
        angles = times[:, None] * self.speeds
        positions[:, self.sine] = SCALE * angles.sin()
        positions[:, self.cosine] = SCALE * angles.cos()


@dataclass(frozen=True)
class Aim:
    """What a head begins to do."""

    offset: float  # in the clock's time
    source: Tensor  # dimensions it passes on
    target: Tensor | None = None  # dimensions it writes them to; None leaves that to training
    prefer: tuple[
        tuple[int, int], ...
    ] = ()  # pairs: where the query has this dimension, keys with that one


def aim_head(block: Any, head: int, heads: int, clock: Clock, aim: Aim) -> None:
    """Set query, key and value weights of one head, and perhaps where its finding goes."""
    weight = block.attn.c_attn.weight  # (3 D, D)
    width = weight.shape[1]
    each = width // heads
    used = min((each - len(aim.prefer)) // 2, len(clock.speeds))
    query, key, value = torch.zeros(3, each, width)
    even, odd = 2 * torch.arange(used), 2 * torch.arange(used) + 1
    sine, cosine = clock.sine[:used], clock.cosine[:used]
    turn = clock.speeds[:used] * aim.offset
    query[even, sine] = query[odd, cosine] = LOOK
    key[even, sine] = key[odd, cosine] = LOOK * turn.cos()
    key[even, cosine], key[odd, sine] = -LOOK * turn.sin(), LOOK * turn.sin()
    for row, (ours, theirs) in enumerate(aim.prefer, start=2 * used):
        query[row, ours] = key[row, theirs] = PREFER
    _set_head(block, head, (query, key, value), aim)


def _set_head(block: Any, head: int, parts: tuple[Tensor, Tensor, Tensor], aim: Aim) -> None:
    each, width = parts[0].shape
    passed = torch.arange(min(each, len(aim.source)))
    parts[2][passed, aim.source[: len(passed)]] = PASS
    for part, rows in enumerate(parts):
        block.attn.c_attn.weight[part * width + head * each : part * width + (head + 1) * each] = (
            rows
        )
    if aim.target is not None:
        block.attn.c_proj.weight[aim.target[: len(passed)], head * each + passed] += WRITE


@torch.no_grad()
def new_coarse(
    layout: TokenLayout,
    size: NetworkSize,
    centres: np.ndarray,
    codebooks: np.ndarray,
    seed: int = 0,
) -> GPT:
    """Make the semantic → coarse network; `codebooks` is (8, 1024, latent), `centres` (K, D).

    A quarter of the width each: what unit is spoken, what code was heard, what unit that code was
    heard with, time and kind. Heads of the first layer fetch these; one of the second looks for
    moments when the same unit was spoken and fetches the code that was heard then: it copies the
    voice of the prompt."""
    torch.manual_seed(seed)
    network = GPT(stage_config("coarse", layout, size))
    plain_weights(network)
    quarter, heads = size.width // 4, size.heads
    unit, code, then, rest = (torch.arange(quarter) + quarter * part for part in range(4))
    is_unit, is_code, first_book, second_book = (int(place) for place in rest[-4:])
    table, head_table = network.transformer.wte.weight, network.lm_head.weight
    table.normal_(0, SOFT)
    head_table.normal_(0, SOFT)
    _write(table, 0, unit, half_whitened(centres)[:, :quarter], 1.0)
    basis = principal_directions(codebooks)[:, :quarter]
    for book in range(layout.coarse_books):
        low = layout.coarse_offset + book * layout.codebook_size
        entries = (codebooks[book] - codebooks[book].mean(0)) @ basis
        for place in (table, head_table):
            _write(place, low, code, entries, 1.0 if book == 0 else 0.5)
    network.transformer.ln_f.weight.fill_(0.3)
    positions, window = network.transformer.wpe.weight, layout.coarse_semantic_window
    positions.zero_()
    steps = torch.arange(len(positions) - window)  # i behind the window predicts coarse token i
    frame, step = 1 / layout.coarse_rate, 1 / layout.semantic_rate
    units_at = (torch.arange(window) + 0.5) * step
    times = torch.cat([units_at, (steps // layout.coarse_books + 0.5) * frame])
    clock = Clock.at(int(rest[0]), quarter - 4, 0.04, 8.0)
    clock.write(positions, times)
    positions[:window, is_unit] = positions[window:, is_code] = SCALE
    positions[window::2, first_book] = positions[window + 1 :: 2, second_book] = SCALE
    units = ((is_code, is_unit),)
    codes = ((is_code, is_code), (first_book, second_book), (second_book, second_book))
    # a position's input is the code before: for a first book, that of the frame before
    first = [Aim(0, unit, unit, units), Aim(-frame, unit, then, units)]
    first += [Aim(2 * step, unit, None, units), Aim(-frame, code, code, codes)]
    second = [Aim(0, code, code), Aim(step, unit, None, units)]
    second += [Aim(-2 * frame, code, None, codes), Aim(-3 * step, unit, None, units)]
    aims: Sequence[Sequence[Aim]] = (first, second)
    blocks: Any = network.transformer.h
    for layer, (block, row) in enumerate(zip(blocks, aims, strict=False)):
        for head, aim in zip(range(heads), row, strict=False):
            if (layer, head) == (1, 0):
                _match_units(block, heads, unit, then, (first_book, second_book), aim)
            else:
                aim_head(block, head, heads, clock, aim)
    return network


def _match_units(
    block: Any, heads: int, unit: Tensor, then: Tensor, books: tuple[int, int], aim: Aim
) -> None:
    """Make head 0 look for codes heard with the unit spoken now, of the codebook that
    comes next.
    """
    width = block.attn.c_attn.weight.shape[1]
    each = width // heads
    query, key, value = torch.zeros(3, each, width)
    rows = torch.arange(min(each - 4, len(unit)))
    query[rows, unit[: len(rows)]] = key[rows, then[: len(rows)]] = MATCH
    for row, (ours, theirs) in enumerate((books, books[::-1]), start=len(rows)):
        query[row, ours] = key[row, theirs] = PREFER
    _set_head(block, 0, (query, key, value), aim)


@torch.no_grad()
def new_fine(
    layout: TokenLayout, size: NetworkSize, codebooks: np.ndarray, seed: int = 0
) -> FineGPT:
    """Make the coarse → fine network; `codebooks` is (8, 1024, latent).

    A third of the width holds the codec's latent, so that the sum of a frame's embeddings is the
    frame as quantised so far; a third holds positions; the rest tells unknown entries apart. The
    heads of the first two layers look at near frames: a linear filter over those already guesses
    the next codebook far better than its frequencies do."""
    torch.manual_seed(seed)
    config = stage_config("fine", layout, size)
    if not isinstance(config, FineGPTConfig):
        raise TypeError("the fine stage's sizes are a FineGPTConfig")
    network = FineGPT(config)
    plain_weights(network)
    third = size.width // 3
    latent, rest = torch.arange(third), 2 * third + torch.arange(size.width - 2 * third)
    basis = principal_directions(codebooks)[:, :third]
    tables: Any = network.transformer.wtes
    for book, table in enumerate(tables):
        share = max(LEAST_SHARE, float(codebooks[book].std() / max(1e-6, codebooks[0].std())))
        table.weight.normal_(0, SOFT)
        _write(table.weight, 0, latent, (codebooks[book] - codebooks[book].mean(0)) @ basis, share)
        table.weight[layout.codebook_size :] = 0
        table.weight[layout.codebook_size :, rest] = SCALE * torch.randn(FINE_PAD_IDS, len(rest))
    network.transformer.ln_f.weight.fill_(
        0.15
    )  # heads are the tables, whose scale would make logits too sharp
    positions = network.transformer.wpe.weight
    positions.zero_()
    clock = Clock.at(third, third, 3.0, 150.0)  # frames
    clock.write(positions, torch.arange(len(positions)))
    blocks: Any = network.transformer.h
    for block, offsets in zip(blocks, NEAR_FRAMES, strict=False):
        for head, offset in zip(range(size.heads), offsets, strict=False):
            aim_head(block, head, size.heads, clock, Aim(offset, latent))
    network.tie_heads()
    return network


def _write(table: Tensor, first: int, places: Tensor, entries: np.ndarray, share: float) -> None:
    """Write ``(V, d)`` entries, brought to the common scale times `share`, into rows of a table."""
    kept = min(len(places), entries.shape[1])
    rows = torch.as_tensor(entries[:, :kept], dtype=torch.float32)
    scaled = rows / rows.std().clamp(min=1e-6) * (share * SCALE)
    table[first : first + len(rows), places[:kept]] = scaled


def principal_directions(codebooks: np.ndarray, draws: int = 20_000) -> np.ndarray:
    """Return the directions of a quantised latent by falling variance, ``(latent, latent)``."""
    random = np.random.default_rng(0)
    frames = sum(book[random.integers(0, len(book), draws)] for book in codebooks)
    return np.linalg.svd(frames - frames.mean(0), full_matrices=False)[2].T


def half_whitened(centres: np.ndarray) -> np.ndarray:
    """Return ``(K, D)`` centres in their principal directions, large ones shrunk to the square
    root.
    """
    left, sizes, _ = np.linalg.svd(centres - centres.mean(0), full_matrices=False)
    return left * np.sqrt(sizes)
