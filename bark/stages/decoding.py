"""One step of autoregressive decoding with a static KV cache.

The semantic and coarse stages drive a `Decoder`; it runs the layers of a `GPT` on weights it looked
up once, which on a CPU halves the time of a step of a small network. All sequences of a batch stand
at the same position: Bark pads its prompts to a fixed length, so none is ragged.

On a GPU a step of one sequence is a few hundred kernels that take less time than their launches. It
is captured once as a CUDA graph and replayed: cache and shapes are static, the position is a
tensor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bark.errors import SettingError

from .cuda_graph import Step, captured, worth_a_graph
from .float16 import Float16Weight, packed
from .gpt import GPT, gelu_
from .int8 import Int8Embedding, Int8Head, Int8Linear, trim_memory

Operation = Callable[[torch.Tensor], torch.Tensor]
Addition = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # residual and rows → residual
Head = Callable[[torch.Tensor, slice], torch.Tensor]  # states (B, D) and which logits → (B, V)

SMALL = 4 << 20  # weights of a network that gets a second copy of them, see `_laid_out`
LEAST = 1 << 18  # weights of a layer for each thread; with less, threads mostly wait
FEW = 8  # rows; more of them MKL multiplies well by itself


@dataclass(frozen=True)
class _Layer:
    """The operations of one block on rows (N, D), looked up once."""

    norm_1: Operation
    query_key_value: Operation
    attend: Callable[..., torch.Tensor]  # causal, from many positions
    attention_out: Addition
    norm_2: Operation
    feed_in: Operation
    feed_out: Addition

    @classmethod
    def of(cls, block: nn.Module, copy: bool) -> "_Layer":
        part = block.get_submodule
        attention: Any = part("attn")
        return cls(
            _normalise(part("ln_1")),
            _product(part("attn.c_attn"), copy),
            attention.attend,
            _sum(part("attn.c_proj"), copy),
            _normalise(part("ln_2")),
            _product(part("mlp.c_fc"), copy),
            _sum(part("mlp.c_proj"), copy),
        )


def _normalise(module: nn.Module) -> Operation:
    if type(module) is not nn.LayerNorm:
        return module
    shape = list(module.normalized_shape)
    return partial(
        torch.layer_norm,
        normalized_shape=shape,
        weight=module.weight,
        bias=module.bias,
        eps=module.eps,
    )


def _short(module: nn.Module, copy: bool) -> Int8Linear | Float16Weight | None:
    """Return what multiplies by numbers of fewer bits, if the layer's weight has such."""
    if isinstance(module, Int8Linear):
        return module
    plain = copy and type(module) is nn.Linear and module.bias is None
    return packed(module.get_parameter("weight")) if plain else None


def _product(module: nn.Module, copy: bool) -> Operation:
    """Bind a plain or 8-bit layer's weight to its product; any other module (LoRA) is called as it
    is.
    """
    if (short := _short(module, copy)) is not None:
        return short.multiply
    if type(module) is not nn.Linear or module.bias is not None:
        return module
    weight, parts = _laid_out(module.weight, copy)
    if len(parts) == 1:
        return partial(torch.mm, mat2=weight)

    def multiply(rows: torch.Tensor) -> torch.Tensor:
        if len(rows) > FEW:
            return torch.mm(rows, weight)
        found = torch.bmm(rows.expand(len(parts), -1, -1), parts)  # (P, N, out/P)
        return found.transpose(0, 1).reshape(len(rows), -1)

    return multiply


def _sum(module: nn.Module, copy: bool) -> Addition:
    """Bind a layer's weight to a function that adds the layer's output to a residual."""
    if (short := _short(module, copy)) is not None:
        return short.add
    product = _product(module, copy)
    if isinstance(product, partial):
        return partial(torch.addmm, **product.keywords)
    return lambda residual, rows: residual + product(rows)


def _head(module: nn.Module, copy: bool) -> Head:
    """Bind the head's weight to a function that gives any range of logits."""
    if isinstance(module, Int8Head):
        return module.forward
    weight = module.get_parameter("weight")
    across = lru_cache(lambda: _laid_out(weight, copy)[0])
    part = lru_cache(lambda start, stop: packed(weight[start:stop]) if copy else None)

    def logits(states: torch.Tensor, rows: slice) -> torch.Tensor:
        short = part(rows.start, rows.stop)
        return torch.mm(states, across()[:, rows]) if short is None else short.multiply(states)

    return logits


def _embedding(module: nn.Module) -> Operation:
    if isinstance(module, Int8Embedding):
        return module.forward
    if type(module) is not nn.Embedding:
        return module
    return partial(torch.index_select, module.weight, 0)


def _laid_out(weight: torch.Tensor, copy: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a weight (out, in) transposed, (in, out), and in column blocks for the threads, (P,
    in, out/P).

    MKL runs a product of a few rows on one thread, whatever its size, but spreads a batched product
    (``bmm``) over all: so the columns become a batch of P blocks. With `copy` the transpose is made
    contiguous where out >= in, which halves the time of one row; where out < in it is slower.
    """
    across = weight.t().contiguous() if copy and len(weight) >= weight.shape[1] else weight.t()
    parts = 1
    if weight.device.type == "cpu" and weight.dtype == torch.float32:
        parts = max(1, min(torch.get_num_threads(), weight.numel() // LEAST))
        while len(weight) % parts:
            parts -= 1
    return across, across.unflatten(1, (parts, -1)).transpose(0, 1)


def _gelu_of_few(rows: torch.Tensor) -> torch.Tensor:
    """GELU by torch's own kernel: oneDNN's, which costs 50 µs a call, does not take a transpose."""
    rows = rows.contiguous()  # a layer of another kind may give anything
    gelu_(rows.view(2, -1).t())
    return rows


def _attend_with_bias(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Scaled dot-product attention of one query, with an additive bias, as two products.

    On an H200 15 µs in bfloat16 and in float32. `scaled_dot_product_attention` takes 55 and 119;
    with cuDNN, which torch uses on few GPUs, 10 in bfloat16."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, heads, 1, T)
    return (scores + bias).softmax(-1) @ value


@dataclass(frozen=True)
class _Network:
    """The operations and tables of a `GPT`, looked up once."""

    layers: list[_Layer]
    heads: int
    norm: Operation
    head: Head
    tokens: Operation  # ids (B,) → embeddings (B, D)
    positions: torch.Tensor  # (block, D) embeddings

    @classmethod
    def of(cls, model: GPT) -> "_Network":
        trunk, weight = model.transformer, model.transformer.wpe.weight
        size = sum(parameter.numel() for parameter in trunk.h.parameters())
        copy = weight.device.type == "cpu" and size <= SMALL
        return cls(
            [_Layer.of(block, copy) for block in trunk.h],
            model.config.n_head,
            _normalise(trunk.ln_f),
            _head(model.lm_head, copy),
            _embedding(trunk.wte),
            weight,
        )

    def run(
        self,
        x: torch.Tensor,
        cache: torch.Tensor | None,
        where: slice | torch.Tensor,
        stop: int,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run all layers on (B, T, D) → the normed states of the last position, (B, D).

        Keys and values are written to `where` in the `cache` (layers, B, 2, heads, positions,
        D/heads), if there is one; what it holds before `stop` is attended to. `bias` (stop,) is
        added to the scores of a single new position."""
        batch, length, width = x.shape
        x = x.view(-1, width)  # (B*T, D)
        gelu = _gelu_of_few if x.device.type == "cpu" and len(x) <= FEW else gelu_
        slots: Sequence[torch.Tensor] = ()
        if cache is not None:  # one call for the views of all layers
            keys, values = (part.unbind() for part in cache[..., :stop, :].unbind(2))
            slots = cache[..., where, :].unbind() if isinstance(where, slice) else ()
        for index, layer in enumerate(self.layers):
            heads = layer.query_key_value(layer.norm_1(x)).view(batch, length, 3, self.heads, -1)
            heads = heads.permute(0, 2, 3, 1, 4)  # (B, 3, heads, T, D/heads)
            query, key, value = heads.unbind(1)
            if slots:
                slots[index].copy_(heads[:, 1:])
            elif cache is not None:
                cache[index][:, :, :, where] = heads[:, 1:]
            if cache is not None and length == 1:
                key, value = keys[index], values[index]
                query = query.to(key.dtype)
            if length > 1 and index == len(self.layers) - 1:  # only the last position is asked for
                query, x = query[:, :, -1:], x.view(batch, length, width)[:, -1]
            if bias is not None:
                attended = _attend_with_bias(query, key, value, bias)
            elif query.shape[2] > 1:
                attended = layer.attend(query, key, value, is_causal=True).transpose(1, 2)
            else:
                attended = F.scaled_dot_product_attention(query, key, value)
            attended = attended.reshape(-1, width).to(x.dtype)
            x = layer.attention_out(x, attended)
            x = layer.feed_out(x, gelu(layer.feed_in(layer.norm_2(x))))
        return self.norm(x)


class _StaticStep:
    """A decoding step on tensors whose shapes and addresses never change, as a CUDA graph needs.

    Rows of sequences that have ended are computed on, for the shapes' sake: on a GPU one row more
    takes little time."""

    def __init__(self, network: _Network, cache: torch.Tensor) -> None:
        device, (_, batch, _, _, self.length, _) = network.positions.device, cache.shape
        self.ids = torch.zeros(batch, dtype=torch.int64, device=device)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        reach = torch.arange(self.length, device=device)
        self.run = partial(_run_static, network, cache, self.ids, self.position, reach)
        self.rows: torch.Tensor | None = None  # of the batch that go on; none: all
        self.replay: Step | None = None

    def begin(self, batch: int) -> None:
        """Go on with the first sequences."""
        self.rows = None
        if batch < len(self.ids):
            self.keep(range(batch))

    def keep(self, sequences: Sequence[int]) -> None:
        """Go on with some of the sequences, in this order."""
        chosen = torch.tensor(list(sequences), device=self.ids.device)
        self.rows = chosen if self.rows is None else self.rows[chosen]

    def __call__(self, ids: torch.Tensor, position: int) -> torch.Tensor:
        """Read one token of each sequence that goes on, (B,); return their states (B, D)."""
        if position >= self.length:  # a GPU's own complaint would end the process
            raise SettingError(
                "position to decode", position, f"0 … {self.length - 1}, those of the cache"
            )
        if self.rows is None:
            self.ids.copy_(ids)
        else:
            self.ids[self.rows] = ids
        self.position.fill_(position)
        if self.replay is None:
            self.replay = captured(self.run, self.ids.device)
        states = self.replay()
        return states if self.rows is None else states[self.rows]


def _run_static(
    network: _Network, cache: torch.Tensor, ids: torch.Tensor, position: torch.Tensor,
    reach: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    x = network.tokens(ids) + network.positions.index_select(0, position)
    bias = torch.zeros_like(reach, dtype=x.dtype).masked_fill(reach > position, float("-inf"))
    return network.run(x[:, None], cache, position, len(reach), bias)


class Decoder:
    """A `GPT` that reads a prompt once and then one token at a time.

    Call it under ``torch.inference_mode``. Without the cache every step recomputes all positions,
    slower and with the same tokens.

    Parameters
    ----------
    model : the network; its weights are read in place, in the type and on the device they have.
    batch : sequences, at most.
    positions : of a sequence, at most; the cache is allocated for so many (default: the model's
        block size).
    use_cache : keep keys and values of earlier positions.
    """

    def __init__(
        self, model: GPT, batch: int, positions: int | None = None, *, use_cache: bool = True
    ) -> None:
        config, weight = model.config, model.transformer.wpe.weight
        length = config.block_size if positions is None else positions
        if not 1 <= length <= config.block_size:
            raise SettingError(
                "positions to decode", length, f"1 … {config.block_size}, the model's block"
            )
        trim_memory(model)
        self.network, self.use_cache, self.batch = _Network.of(model), use_cache, batch
        self.position = 0  # of the next token
        self.inputs: torch.Tensor | None = None  # without cache: embeddings so far, (B, T, D)
        heads, each = config.n_head, config.n_embd // config.n_head
        shape = (config.n_layer, batch, 2, heads, length, each)  # keys and values
        static = use_cache and worth_a_graph(weight)
        # with AVX-512, attention from one position takes a third of bfloat16's time in float32
        dtype = torch.float32 if weight.device.type == "cpu" else weight.dtype
        # a bias does not keep out NaN that lay in memory
        make = torch.zeros if static else torch.empty
        self.cache = make(shape, dtype=dtype, device=weight.device) if use_cache else None
        self.static = (
            _StaticStep(self.network, self.cache) if static and self.cache is not None else None
        )

    def prefill(self, embeddings: torch.Tensor, rows: slice) -> torch.Tensor:
        """Read prompts (B, T, D) from position 0; return the logits (B, len(rows)) that follow
        them.
        """
        self.position, self.inputs, self.batch = 0, embeddings, len(embeddings)
        if self.cache is not None:
            self.cache = self.cache[:, : self.batch]
        if self.static is not None:
            self.static.begin(self.batch)
        return self._run(embeddings, rows)

    def step(self, ids: torch.Tensor, rows: slice) -> torch.Tensor:
        """Read one token of each sequence, (B,) int64; return the logits (B, len(rows)) that follow
        it.
        """
        if self.static is not None:
            states = self.static(ids, self.position)
            self.position += 1
            return self.network.head(states, rows)
        embeddings = self.network.tokens(ids)[:, None]  # (B, 1, D)
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
        if self.static is not None:
            self.static.keep(sequences)
            return
        chosen: slice | list[int] = (
            slice(len(sequences)) if first else list(sequences)
        )  # a slice copies nothing
        if self.cache is not None:
            for layer in () if first else self.cache:  # one by one: a second cache may not fit
                layer[: len(sequences)] = layer[chosen]
            self.cache = self.cache[:, : len(sequences)]
        if self.inputs is not None:
            self.inputs = self.inputs[chosen]

    def _run(self, embeddings: torch.Tensor, rows: slice) -> torch.Tensor:
        """Run all layers on (B, T, D) new positions; T > 1 starts at position 0."""
        length, start = embeddings.shape[1], self.position
        self.position = stop = start + length
        x = embeddings + self.network.positions[start:stop]
        states = self.network.run(x, self.cache, slice(start, stop), stop)
        return self.network.head(states, rows)
