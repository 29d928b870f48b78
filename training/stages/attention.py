"""Attention for training: by blocks of queries on a CPU, and guided along a text.

`block_attention` makes the same sums as `torch.nn.functional.scaled_dot_product_attention`, with
other rounding. Queries go in blocks of 192, and a causal block looks at no key behind its end; on
one core, forward and backward take about half the time of torch's fused kernel at the sizes of
`nano` (measured with torch 2.13, AVX-512 bf16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bark.stages.gpt import SelfAttention

Attend = Callable[..., Tensor]  # the signature of `block_attention`
BLOCK = 192  # queries
HIDDEN = -1e4  # added to scores that must not be seen


def block_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
) -> Tensor:
    """Attend as torch's function of the same arguments, ``(B, heads, T, D/heads)`` each; takes no
    mask.
    """
    if attn_mask is not None:
        raise NotImplementedError("block attention takes no mask")
    length = query.shape[-2]
    query = query * query.shape[-1] ** -0.5
    turned = key.transpose(-1, -2)
    parts = []
    for start in range(0, length, BLOCK):
        end = min(length, start + BLOCK)
        seen = end if is_causal else length
        scores = query[..., start:end, :] @ turned[..., :seen]
        if is_causal:
            future = torch.full(
                (end - start, seen), HIDDEN, dtype=scores.dtype, device=scores.device
            )
            scores = scores + future.triu(start + 1)
        weights = nn.functional.dropout(scores.softmax(-1), dropout_p)
        parts.append(weights @ value[..., :seen, :])
    return torch.cat(parts, dim=-2)


def use_block_attention(network: nn.Module) -> None:
    """Make every attention layer of a network that stands on a CPU use `block_attention`."""
    for module in network.modules():
        if isinstance(module, SelfAttention) and module.c_attn.weight.device.type == "cpu":
            module.attend = block_attention  # type: ignore[assignment]


class GuidedAttention:
    """Attention whose head 0 can be told what to look at, see `guide_heads`."""

    def __init__(self, attend: Attend) -> None:
        self.attend = attend
        # queries and keys of head 0, (B, T, D/heads) each
        self.seen: tuple[Tensor, Tensor] | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """Attend as ever, and remember head 0's queries and keys."""
        self.seen = query[:, 0], key[:, 0]
        return self.attend(query, key, value, **options)

    def loss(self, places: Tensor, window: int) -> Tensor:
        """Return the cross-entropy of head 0's attention of the last pass with the `places` to look
        at.

        Parameters
        ----------
        places : (B, n) positions that `window` + 0, 1, … should look at; -100 where any will do.
        window : the first position that is told.
        """
        if self.seen is None:
            raise RuntimeError("no pass to guide")
        query, key = self.seen
        self.seen = None
        scores = (
            query[:, window:] * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
        ).float()  # (B, n, T)
        future = torch.full(scores.shape[1:], HIDDEN, device=scores.device).triu(window + 1)
        seen = (scores + future).flatten(0, 1)
        total = nn.functional.cross_entropy(seen, places.flatten(), reduction="sum")
        return total / (places >= 0).sum().clamp(min=1)


def guide_heads(network: nn.Module, layers: Sequence[int]) -> None:
    """Make the first heads of some layers ready to be guided during training."""
    for layer in layers:
        attention = network.get_submodule(f"transformer.h.{layer}.attn")
        attention.attend = GuidedAttention(attention.attend)  # type: ignore[assignment, arg-type]


def guides(network: nn.Module) -> list[GuidedAttention]:
    """Return the guided attentions of a network."""
    attentions = (
        module.attend for module in network.modules() if isinstance(module, SelfAttention)
    )
    return [attend for attend in attentions if isinstance(attend, GuidedAttention)]
