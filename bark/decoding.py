"""THE autoregressive loop's step: embeddings or token ids → logits of the next token, with a static KV cache.

The semantic and coarse stages drive a `Decoder`; it runs the layers of a `GPT` on weights it looked up once,
which on a CPU halves the time of a step of a small network. All sequences of a batch stand at the same
position: Bark pads its prompts to a fixed length, so none is ragged.

A CUDA graph would wrap `Decoder._run` for one new position: the cache is static, so only the position would
have to become a tensor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .errors import BarkError, SettingError
from .model import GPT
from .sampling import draw_rows
from .tokens import BARK, TokenLayout

Draw = Callable[[torch.Tensor, Sequence[torch.Generator | None]], torch.Tensor]
"""How a stage turns probabilities (B, ..., V) into tokens (B, ...); one generator a sequence."""

Operation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class _Layer:
    """The operations of one block, looked up once."""

    norm_1: Operation
    query_key_value: Operation
    attention_out: Operation
    norm_2: Operation
    feed_in: Operation
    feed_out: Operation

    @classmethod
    def of(cls, block: nn.Module) -> "_Layer":
        names = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
        return cls(*(_operation(block.get_submodule(name)) for name in names))


def _operation(module: nn.Module) -> Operation:
    """Bind a plain layer's weights to its function; leave any other module (LoRA, quantised) as it is."""
    if type(module) is nn.Linear:
        return partial(F.linear, weight=module.weight, bias=module.bias)
    if type(module) is nn.LayerNorm:
        shape = list(module.normalized_shape)
        return partial(
            F.layer_norm, normalized_shape=shape, weight=module.weight, bias=module.bias, eps=module.eps
        )
    return module


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool) -> torch.Tensor:
    """Attend: (B, heads, T, W) to (B, heads, P, W) → (B, heads, T, W)."""
    if query.shape[2] == 1 and query.device.type == "cpu":  # two products beat the fused kernel here
        scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(2, 3))
        return torch.matmul(scores.softmax(dim=-1), value)
    return F.scaled_dot_product_attention(query, key, value, is_causal=causal)


class Decoder:
    """A `GPT` that reads a prompt once and then one token at a time.

    Call it under ``torch.inference_mode``. Without the cache every step recomputes all positions, slower and
    with the same tokens.

    Parameters
    ----------
    model : the network; its weights are read in place, in the type and on the device they have.
    batch : sequences, at most.
    positions : of a sequence, at most; the cache is allocated for so many (default: the model's block size).
    use_cache : keep keys and values of earlier positions.
    """

    def __init__(
        self, model: GPT, batch: int, positions: int | None = None, *, use_cache: bool = True
    ) -> None:
        config, weight = model.config, model.lm_head.weight
        length = config.block_size if positions is None else positions
        if not 1 <= length <= config.block_size:
            raise SettingError("positions to decode", length, f"1 … {config.block_size}, the model's block")
        self.model, self.heads, self.use_cache, self.batch = model, config.n_head, use_cache, batch
        self.layers = [_Layer.of(block) for block in model.transformer.h]
        self.norm = _operation(model.transformer.ln_f)
        self.position = 0  # of the next token
        self.inputs: torch.Tensor | None = None  # without cache: embeddings so far, (B, T, D)
        shape = (2, batch, config.n_head, length, config.n_embd // config.n_head)  # keys and values
        self.cache = [
            torch.empty(shape, dtype=weight.dtype, device=weight.device)
            for _ in self.layers
            if use_cache
        ]  # fmt: skip

    def prefill(self, embeddings: torch.Tensor, rows: slice) -> torch.Tensor:
        """Read prompts (B, T, D) from position 0; return the logits (B, len(rows)) that follow them."""
        self.position, self.inputs, self.batch = 0, embeddings, len(embeddings)
        self.cache = [layer[:, : self.batch] for layer in self.cache]
        return self._run(embeddings, rows)

    def step(self, ids: torch.Tensor, rows: slice) -> torch.Tensor:
        """Read one token of each sequence, (B,) int64; return the logits (B, len(rows)) that follow it."""
        embeddings = self.model.embed(ids[:, None])  # (B, 1, D)
        if not self.use_cache and self.inputs is not None:
            embeddings = self.inputs = torch.cat([self.inputs, embeddings], dim=1)
            self.position = 0
        return self._run(embeddings, rows)

    def keep(self, sequences: Sequence[int]) -> None:
        """Go on with some sequences of the batch, in this order."""
        first = list(sequences) == list(range(len(sequences)))
        if first and len(sequences) == self.batch:
            return
        self.batch = len(sequences)
        chosen: slice | list[int] = (
            slice(len(sequences)) if first else list(sequences)
        )  # a slice copies nothing
        for index, layer in enumerate(self.cache):
            self.cache[index] = layer[:, chosen]
        if self.inputs is not None:
            self.inputs = self.inputs[chosen]

    def _run(self, embeddings: torch.Tensor, rows: slice) -> torch.Tensor:
        """Run all layers on (B, T, D) new positions; T > 1 starts at position 0."""
        batch, length, width = embeddings.shape
        start, stop = self.position, self.position + length
        x = embeddings + self.model.transformer.wpe.weight[start:stop]
        for index, layer in enumerate(self.layers):
            heads = layer.query_key_value(layer.norm_1(x)).view(batch, length, 3, self.heads, -1)
            heads = heads.permute(2, 0, 3, 1, 4)  # (3, B, heads, T, D/heads)
            query, key, value = heads.unbind(0)
            if self.use_cache:
                cache = self.cache[index]
                cache[:, :, :, start:stop] = heads[1:]
                key, value = cache[:, :, :, :stop].unbind(0)
            if index == len(self.layers) - 1:  # only the last position is asked for
                query, x = query[:, :, -1:], x[:, -1:]
            attended = _attend(query, key, value, causal=query.shape[2] > 1)
            x = x + layer.attention_out(attended.transpose(1, 2).reshape(batch, -1, width))
            x = x + layer.feed_out(F.gelu(layer.feed_in(layer.norm_2(x))))
        self.position = stop
        return F.linear(self.norm(x[:, -1]), self.model.lm_head.weight[rows])


class Stage:
    """A stage of Bark: its network, ready; its token numbers; how tokens are drawn from probabilities (B, V).

    A network that does not fit the token numbers is a `SettingError`.
    """

    def __init__(self, model: Any, layout: TokenLayout = BARK, draw: Draw = draw_rows) -> None:
        self.model, self.layout, self.draw = model, layout, draw
        self._check_fit()

    def _check_fit(self) -> None:
        raise NotImplementedError


def per_item(what: str, values: Any, count: int) -> list[Any]:
    """Return one value for each item of a batch, of a list with as many or of one value for all."""
    if not isinstance(values, (list, tuple)):
        return [values] * count
    if len(values) != count:
        raise SettingError(what, f"{len(values)} of them", f"{count}, one for each item, or one for all")
    return list(values)


def check_tokens(
    what: str, values: object, below: int, ndim: int, error: type[BarkError] = SettingError
) -> np.ndarray:
    """Return an array of token ids as int64; raise `error` for anything else.

    Whole or floating numbers in [0, below - 1] pass, the latter truncated as Suno's code does.
    """
    if not isinstance(values, np.ndarray):
        raise error(what, f"a {type(values).__name__}", "a numpy array")
    if values.ndim != ndim or values.size == 0:
        raise error(what, f"shape {values.shape}", f"a non-empty array with {ndim} dimension(s)")
    if values.dtype.kind not in "iuf":
        raise error(what, f"type {values.dtype}", "whole numbers")
    if not (values.min() >= 0 and values.max() <= below - 1):
        raise error(what, f"values {values.min()} … {values.max()}", f"0 … {below - 1}")
    return values.astype(np.int64)
