"""Runs a stage's network with 8-bit weights on a CPU.

Each weight matrix is quantised per output channel when the model is loaded, or was when it was
saved; activations are quantised per row as they come, symmetrically, so a row's result depends on
that row alone: a sequence of a batch gets the numbers it gets alone. Full attention is computed in
bfloat16 where the CPU can, causal attention where it has AMX, without which it gains nothing.
Decoding steps attend in float32 (with AVX-512 a third of bfloat16's time); layer norms, the
residual stream and the fine stage's embeddings and heads, which share their weights, are float32
too.

Which operator of torch multiplies (times are of whole stacks of `small`):
- a few rows: FBGEMM's, the one under torch's dynamic quantisation, in the form that takes a fixed
  scale, so that all rows of a batch, each divided by its own largest magnitude before, can go
  through one call. For one row it takes a third of oneDNN's time.
- hundreds of rows on a CPU with AMX or AVX-512 VNNI: `onednn::qlinear_pointwise`, the operator
  under torch's own compiled int8 models, which takes a third or three quarters of FBGEMM's time
  there. It wants the weights in another order; the coarse stage, which reads long prompts and
  decodes, keeps both, but for `large`'s.
Both sum in integers and scale alike, so that they give the same numbers, bit for bit. Without
either there is `aten::_weight_int8pack_mm`, slower throughout, of which every CPU has a version.
The first takes weights as a quantised tensor, which torch is about to remove: that is in this file
only, and without it the second does all."""

import ctypes
import platform
import warnings
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from bark.devices import cpu_computes_in, cpu_has

from .gpt import GPT, SelfAttention
from .gpt_fine import FineGPT

HALF = torch.bfloat16
FEW = 64  # rows; more of them are for the operator that multiplies many quickly
LEAST = 16  # rows; above, where neither operator is there, the product is one of float32
PIECE = 1024  # rows of a matrix that are quantised at a time
BLOCK = 1 << 16  # numbers that are quantised while they are in the processor's cache

Rows = Literal["few", "many", "both"]
ROWS: dict[str, Rows] = {"semantic": "few", "coarse": "both", "fine": "many"}
MOST_KEPT = 31 << 20  # bytes: glibc's limit is 32 MiB with what it puts around them
MOST_TWICE = 128 << 20  # bytes of weights that may be kept in two orders: small's, not large's
Codes = tuple[torch.Tensor, torch.Tensor]  # (out, in) int8 and the scale of each row, float32


def quantized(network: GPT | FineGPT, rows: Rows = "both") -> GPT | FineGPT:
    """Quantise the weights of a network in place, layer by layer; it is for inference only.

    Parameters
    ----------
    rows : how many are multiplied at a time; `ROWS` has what each stage needs.
    """
    rows = affordable(network, rows)
    for name in matrices(network):
        weight = network.get_submodule(name).get_parameter("weight")
        install(network, name, codes_of(weight), rows)
    return finished(network)


def affordable(network: GPT | FineGPT, rows: Rows) -> Rows:
    """Return `rows`, or "few" where weights that are kept twice would take too much memory."""
    config = network.config
    size = 12 * config.n_layer * config.n_embd**2
    return "few" if rows == "both" and size > MOST_TWICE else rows


def finished(network: GPT | FineGPT) -> GPT | FineGPT:
    """Make a network whose 8-bit matrices are all installed ready to run."""
    for module in network.modules():
        if isinstance(module, SelfAttention) and not module.causal and cpu_computes_in(HALF):
            module.attend = _attend_by_heads  # type: ignore[assignment]
        elif isinstance(module, SelfAttention) and cpu_has("amx_bf16"):
            module.attend = _attend_in_bfloat16  # type: ignore[assignment]
    keep_freed_memory()
    return network.float().eval()


def keep_freed_memory() -> None:
    """Let glibc reuse the memory of a layer's tensors for those of the next.

    What is as large as the largest piece freed so far it hands back to the system, which clears
    its pages anew: a tenth of a fine pass. So the largest piece that it counts is freed once; as
    nothing is written to it, it takes no memory. `trim_memory` gives back what is left over."""
    torch.empty(MOST_KEPT, dtype=torch.uint8)


def trim_memory(network: GPT | FineGPT) -> None:
    """Give back what was freed before an 8-bit network begins its work: that of small needs 60 MB,
    and the stage before left as much."""
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None and any(isinstance(module, Int8Linear) for module in network.modules()):
        trim(0)


@lru_cache
def _libc() -> ctypes.CDLL | None:
    """Return glibc, whose allocator keeps freed memory; None where the system has another."""
    return ctypes.CDLL("libc.so.6") if platform.libc_ver()[0] == "glibc" else None


def matrices(network: GPT | FineGPT) -> list[str]:
    """Return the names of the modules whose weights are kept in 8 bits."""
    layers = [f"transformer.h.{name}" for name, module in network.transformer.h.named_modules()
              if isinstance(module, nn.Linear)]  # fmt: skip
    return [*layers, "transformer.wte", "lm_head"] if isinstance(network, GPT) else layers


def install(network: GPT | FineGPT, name: str, codes: Codes, rows: Rows) -> None:
    """Put 8-bit weights in the place of one of a network's `matrices`."""
    module = network.get_submodule(name)
    if name == "lm_head":
        network.set_submodule(name, Int8Head(*codes))
    elif isinstance(module, nn.Linear):
        network.set_submodule(name, Int8Linear(*codes, module.bias, rows))
    else:
        network.set_submodule(name, Int8Embedding(*codes))


class Int8Linear(nn.Module):
    """A linear layer (..., in) → (..., out), float32 to float32.

    Parameters
    ----------
    codes : (out, in) int8 weights.
    scale : (out,) of the channels.
    bias : (out,) or none.
    rows : how many are multiplied at a time.
    """

    def __init__(
        self,
        codes: torch.Tensor,
        scale: torch.Tensor,
        bias: torch.Tensor | None = None,
        rows: Rows = "few",
    ) -> None:
        super().__init__()
        self.levels = levels()
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.few: Any = None  # FBGEMM's packed weights
        self.many: torch.Tensor | None = None  # oneDNN's
        if self.levels is None:
            self.codes, self.scale = codes, scale
            return
        if has_fbgemm() and not (rows == "many" and prefers_onednn()):
            self.few = _packed_for_few(codes, scale)
        if self.few is None or (rows == "both" and prefers_onednn()):
            self.many, self.scale = _packed_for_many(codes), scale * (1 / self.levels)
            self.zero_points = torch.zeros(len(codes), dtype=torch.int64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.multiply(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """Multiply rows (N, in) → (N, out)."""
        product, size = self._product(rows)
        if size is not None:
            product.mul_(size)
        return product if self.bias is None else product.add_(self.bias)

    def add(self, residual: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Multiply rows (N, in) and add the residual (N, out)."""
        product, size = self._product(rows)
        if self.bias is not None:
            residual = residual + self.bias
        return residual + product if size is None else torch.addcmul(residual, product, size)

    def _product(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return products (N, out), and by what each row of them is still to be multiplied.

        A row of zeros becomes 0 / 0, that is, any codes, which are multiplied by 0 in the end."""
        if self.levels is None:
            if len(rows) <= LEAST:
                return torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scale), None
            return F.linear(rows, self.codes.float()).mul_(self.scale), None
        if self.many is None or (self.few is not None and rows.shape[0] <= FEW):
            size = rows.abs().amax(-1, keepdim=True)
            return _multiplied_few(rows / size, self.levels, self.few), size
        codes, size = _quantised(rows, self.levels)
        return _multiplied_many(codes, self.levels, self.many, self.scale, self.zero_points), size


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
        return part.forward(x)


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


def _attend_in_bfloat16(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any
) -> torch.Tensor:
    attended: torch.Tensor = F.scaled_dot_product_attention(
        query.to(HALF), key.to(HALF), value.to(HALF), **options
    )
    return attended.to(query.dtype)


def _attend_by_heads(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **_options: Any
) -> torch.Tensor:
    """Attend to all positions by two products of each head, (B, heads, T, D/heads) → the same.

    In bfloat16 they take 70 % of the time of torch's function, whose own bfloat16 gains nothing on
    a CPU without AMX. The scores of one head, 2 MB, stay in the processor's cache."""
    heads = [part.to(HALF).flatten(0, 1) for part in (query * query.shape[-1] ** -0.5, key, value)]
    attended = torch.empty_like(query, memory_format=torch.contiguous_format)
    for q, k, v, found in zip(*heads, attended.flatten(0, 1), strict=True):
        found.copy_((q @ k.t()).softmax(-1) @ v)
    return attended


# ---- the operators -------------------------------------------------------------------------------


@lru_cache
def levels() -> int | None:
    """Return how many steps to a side activations are quantised to; None without either operator.

    CPUs without VNNI add pairs of products in 16 bits, which overflow unless activations have 7
    bits. The worst case is tried, as a CPU's name and an operator's choice of instructions may
    differ."""
    found = [count for count in (_levels_of_few(), _levels_of_many()) if count is not None]
    return min(found, default=None)


def has_fbgemm() -> bool:
    """Tell whether torch has the operator for a few rows."""
    return _levels_of_few() is not None


def prefers_onednn() -> bool:
    """Tell whether the operator for many rows is there and quicker than the other."""
    return _levels_of_many() is not None and cpu_has("amx_int8", "avx512_vnni")


@lru_cache
def _levels_of_few() -> int | None:
    weight, ones = torch.full((64, 64), 127, dtype=torch.int8), torch.ones(64)
    for count in (127, 63):
        try:
            with warnings.catch_warnings():  # torch says once that quantised tensors are to go
                warnings.simplefilter("ignore")
                packed = _packed_for_few(weight, ones)
            found = _multiplied_few(torch.ones(2, 64), count, packed)
        except (AttributeError, RuntimeError, NotImplementedError):
            return None
        if _is_exact(found):
            return count
    return None


@lru_cache
def _levels_of_many() -> int | None:
    weight = torch.full((64, 64), 127, dtype=torch.int8)
    ones, zeros = torch.ones(64), torch.zeros(64, dtype=torch.int64)
    for count in (127, 63):
        rows = torch.full((2, 64), 2 * count + 1, dtype=torch.uint8)
        try:
            found = _multiplied_many(rows, count, _packed_for_many(weight), ones, zeros)
        except (AttributeError, RuntimeError, NotImplementedError):
            return None
        if _is_exact(found / count):
            return count
    return None


def _is_exact(products: torch.Tensor) -> bool:
    """Tell whether 64 products of 1 and 127 were summed without an overflow."""
    return bool((products / (64 * 127) - 1).abs().max() < 1e-5)


def _packed_for_few(codes: torch.Tensor, scale: torch.Tensor) -> Any:
    """Lay weights (out, in) out as FBGEMM wants them."""
    zeros = torch.zeros(len(codes), dtype=torch.int64)
    weight = torch._make_per_channel_quantized_tensor(codes, scale.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(weight, None)


def _packed_for_many(codes: torch.Tensor) -> torch.Tensor:
    """Lay weights (out, in) out as oneDNN wants them."""
    packed: torch.Tensor = torch.ops.onednn.qlinear_prepack(codes, None)
    return packed


def _multiplied_few(rows: torch.Tensor, levels: int, packed: Any) -> torch.Tensor:
    """Quantise rows of numbers in [-1, 1] and multiply them by packed weights → float32."""
    product: torch.Tensor = (
        torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default(
            rows, 1 / levels, levels + 1, packed
        )
    )
    return product


def _multiplied_many(
    codes: torch.Tensor, levels: int, packed: torch.Tensor, scale: torch.Tensor, zeros: torch.Tensor
) -> torch.Tensor:
    """Multiply uint8 rows with zero point `levels` + 1 by packed weights → float32.

    oneDNN's kernels multiply with two scales in different orders: it gets the product of both."""
    product: torch.Tensor = torch.ops.onednn.qlinear_pointwise.default(
        codes, 1.0, levels + 1, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return product


def _quantised(rows: torch.Tensor, levels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows (N, in) as uint8 and the largest magnitude of each, (N, 1).

    The numbers are FBGEMM's: multiplied by the inverse of the scale, rounded to even."""
    codes, size = torch.empty(rows.shape, dtype=torch.int8), torch.empty(len(rows), 1)
    inverse = float(torch.tensor(1 / levels).reciprocal())
    count = max(1, BLOCK // rows.shape[1])
    buffer = torch.empty(min(count, len(rows)), rows.shape[1])
    for start in range(0, len(rows), count):
        part, largest = rows[start : start + count], size[start : start + count]
        block = buffer[: len(part)]
        torch.amax(torch.abs(part, out=block), -1, keepdim=True, out=largest)
        torch.div(part, largest, out=block)
        codes[start : start + count] = block.mul_(inverse).round_()
    # 8 bits wrap around: with 127 levels the sums pass 127 as int8, and are right as uint8
    return codes.add_(levels + 1 if levels < 127 else -128).view(torch.uint8), size


def float_of(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Undo `codes_of`, but for the rounding."""
    return codes * scale[:, None]


def codes_of(weight: torch.Tensor) -> Codes:
    """Quantise a matrix row by row."""
    codes, scale = torch.empty(weight.shape, dtype=torch.int8), torch.empty(len(weight))
    for start in range(0, len(weight), PIECE):  # the largest table must not be there three times
        part = weight[start : start + PIECE].detach().float()
        size = part.abs().amax(1) / 127
        codes[start : start + PIECE] = (part / size.clamp_min(1e-30)[:, None]).round_()
        scale[start : start + PIECE] = size
    return codes, scale
