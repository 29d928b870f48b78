"""Runs a stage's network with 8-bit weights on a CPU.

Each weight matrix is quantised per output channel when the model is loaded; activations are
quantised per row as they come, symmetrically, so a row's result depends on that row alone: a
sequence of a batch gets the numbers it gets alone. Attention is computed in bfloat16 where the CPU
can; layer norms, the residual stream and the fine stage's embeddings and heads, which share their
weights, stay in float32.

Why `onednn::qlinear_pointwise`, the operator under torch's own compiled int8 models: it takes plain
int8 tensors (`quantized::linear_dynamic` needs quantised ones, which torch is about to remove, and
has one scale for all rows of a batch), eight rows take little more time than one, and with AMX 900
rows take a third of linear_dynamic's time. For a single row linear_dynamic is quicker, by a tenth
on a quiet machine and by a third on a busy one; `aten::_weight_int8pack_mm`
is slower throughout, but there is a version of it for every CPU, so it is the fallback where torch
was built without oneDNN."""

from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bark.devices import cpu_computes_in

from .gpt import GPT, SelfAttention
from .gpt_fine import FineGPT

FEW = 16  # rows; above, the fallback multiplies in float32
PIECE = 1024  # rows of a matrix that are quantised at a time
BLOCK = 64  # rows that are quantised while they are in the processor's cache


def prepared(network: GPT | FineGPT, dtype: torch.dtype) -> GPT | FineGPT:
    """Return a loaded network in the type `bark.devices.choose_dtype` chose; int8 is quantised."""
    return quantized(network) if dtype == torch.int8 else network.to(dtype)


def quantized(network: GPT | FineGPT) -> GPT | FineGPT:
    """Quantise the weights of a network in place, layer by layer; it is for inference only."""
    for name, module in list(network.transformer.h.named_modules()):
        if isinstance(module, SelfAttention) and attention_dtype() == torch.bfloat16:
            module.attend = _attend_in_bfloat16  # type: ignore[assignment]
        if isinstance(module, nn.Linear):
            small = Int8Linear(*_codes(module.weight), module.bias)
            network.transformer.h.set_submodule(name, small)
    if isinstance(network, GPT):
        table, head = network.transformer.wte, network.lm_head
        network.transformer.add_module("wte", Int8Embedding(*_codes(table.weight)))
        network.add_module("lm_head", Int8Head(*_codes(head.weight)))
    return network.float().eval()


class Int8Linear(nn.Module):
    """A linear layer (..., in) → (..., out), float32 to float32.

    Parameters
    ----------
    codes : (out, in) int8 weights.
    scale : (out,) of the channels.
    bias : (out,) or none.
    """

    def __init__(
        self, codes: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None = None
    ) -> None:
        super().__init__()
        self.levels, self.width = levels(), len(codes)
        self.bias = None if bias is None else bias.detach().float()
        if self.levels is None:
            self.codes, self.scale = codes, scale
        else:
            self.codes, self.scale = _packed(codes), scale / self.levels
            self.zero_points = torch.zeros(len(codes), dtype=torch.int64)
            self.middle = torch.tensor(self.levels + 1.5)  # zero point, and half for rounding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.multiply(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """Multiply rows (N, in) → (N, out)."""
        product, size = self._product(rows)
        if self.bias is not None:
            return self.bias + product if size is None else product.mul_(size).add_(self.bias)
        return product if size is None else product.mul_(size)

    def add(self, residual: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Multiply rows (N, in) and add the residual (N, out)."""
        product, size = self._product(rows)
        if self.bias is not None:
            residual = residual + self.bias
        return residual + product if size is None else torch.addcmul(residual, product, size)

    def _product(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return products (N, out), and by what each row of them is still to be multiplied."""
        if self.levels is None:
            if len(rows) <= FEW:
                return torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scale), None
            return F.linear(rows, self.codes.float()).mul_(self.scale), None
        if len(rows) <= BLOCK:
            codes, size = self._quantise(rows)
        else:
            blocks = [self._quantise(block) for block in rows.split(BLOCK)]
            codes, size = map(torch.cat, zip(*blocks, strict=True))
        return _multiplied(codes, self.levels, self.codes, self.scale, self.zero_points), size

    def _quantise(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows (N, in) as uint8 and the largest magnitude of each, (N, 1).

        A row of zeros becomes 0 / 0, that is, any codes, which are multiplied by 0 in the end."""
        size = rows.abs().amax(-1, keepdim=True)
        return torch.add(self.middle, rows / size, alpha=self.levels).to(torch.uint8), size


class Int8Head(nn.Module):
    """The layer that gives logits; any range of them, since a stage asks for its own only."""

    def __init__(self, codes: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.codes, self.scale = codes, scale
        self.parts: dict[tuple[int, int], Int8Linear] = {}

    def forward(self, x: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        start, stop, _ = rows.indices(len(self.codes))
        part = self.parts.get((start, stop))
        if part is None:
            part = Int8Linear(self.codes[start:stop], self.scale[start:stop])
            self.parts[start, stop] = part
        return part(x)


class Int8Embedding(nn.Module):
    """A table of embeddings, (...) int64 → (..., D) float32.

    Parameters
    ----------
    codes : (V, D) int8.
    scale : (V,) of the rows.
    """

    def __init__(self, codes: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.codes, self.scale = codes, scale

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.codes[ids] * self.scale[ids][..., None]


def attention_dtype() -> torch.dtype:
    """Return the type of keys and values: reading them takes as long as reading the weights."""
    return torch.bfloat16 if cpu_computes_in(torch.bfloat16) else torch.float32


def _attend_in_bfloat16(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any
) -> torch.Tensor:
    half = torch.bfloat16
    attended: torch.Tensor = F.scaled_dot_product_attention(
        query.to(half), key.to(half), value.to(half), **options
    )
    return attended.to(query.dtype)


@lru_cache
def levels() -> int | None:
    """Return how many steps to a side activations are quantised to; None where oneDNN is absent.

    CPUs without VNNI add pairs of products in 16 bits, which overflow unless activations have 7
    bits. The worst case is tried, as a CPU's name and oneDNN's choice of instructions may differ.
    """
    weight = torch.full((64, 64), 127, dtype=torch.int8)
    ones, zeros = torch.ones(64), torch.zeros(64, dtype=torch.int64)
    for count in (127, 63):
        rows = torch.full((2, 64), 2 * count + 1, dtype=torch.uint8)
        try:
            found = _multiplied(rows, count, _packed(weight), ones, zeros)
        except (AttributeError, RuntimeError):
            return None
        if bool((found == 64 * 127 * count).all()):
            return count
    return None


def _packed(codes: torch.Tensor) -> torch.Tensor:
    """Lay weights (out, in) out as oneDNN wants them."""
    packed: torch.Tensor = torch.ops.onednn.qlinear_prepack(codes, None)
    return packed


def _multiplied(
    rows: torch.Tensor, levels: int, packed: torch.Tensor, scale: torch.Tensor, zeros: torch.Tensor
) -> torch.Tensor:
    """Multiply uint8 rows with zero point `levels` + 1 by packed weights → float32."""
    product: torch.Tensor = torch.ops.onednn.qlinear_pointwise.default(
        rows, 1.0, levels + 1, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return product


def _codes(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Quantise a matrix row by row → int8 codes and the rows' scales (float32)."""
    codes, scale = torch.empty(weight.shape, dtype=torch.int8), torch.empty(len(weight))
    for start in range(0, len(weight), PIECE):  # the largest table must not be there three times
        part = weight[start : start + PIECE].detach().float()
        size = part.abs().amax(1) / 127
        codes[start : start + PIECE] = (part / size.clamp_min(1e-30)[:, None]).round_()
        scale[start : start + PIECE] = size
    return codes, scale
