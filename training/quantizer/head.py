"""The cross-entropy of a quantizer's head and its gradients, a few rows at a time.

With 10 000 tokens the logits of a batch are what takes memory and time: they are never all there,
and no float32 copy of them is kept."""

from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 1024  # rows


def head_loss(head: nn.Linear, rows: Tensor, tokens: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the sum of the cross-entropies of ``head(rows)``, to be trained on.

    Parameters
    ----------
    rows : (N, W)
    tokens : (N,) int64
    smoothing : share of each target that is spread evenly over all V tokens.
    """
    kind = rows.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else head.weight.dtype
    bias = head.bias.to(dtype)
    return _HeadLoss.apply(rows.to(dtype), head.weight.to(dtype), bias, tokens, smoothing)


class _HeadLoss(torch.autograd.Function):
    """Linear layer, log-softmax and negative log-likelihood, with all gradients found
    on the way.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, tokens: Tensor, smoothing: float
    ) -> Tensor:
        exact = torch.promote_types(rows.dtype, torch.float32)
        total = rows.new_zeros((), dtype=exact)
        by_rows, by_weight = torch.empty_like(rows), torch.zeros_like(weight, dtype=exact)
        by_bias = torch.zeros_like(bias, dtype=exact)
        spread = smoothing / len(weight)
        for at in range(0, len(rows), CHUNK):
            part, target = rows[at : at + CHUNK], tokens[at : at + CHUNK, None]
            logits = torch.addmm(bias, part, weight.t())  # (n, V)
            found = torch.log_softmax(logits, 1, dtype=exact)
            total -= (1 - smoothing) * found.gather(1, target).sum() + spread * found.sum()
            # the gradient by the logits is the probabilities less the target's
            found.exp_().scatter_add_(1, target, found.new_full(target.shape, smoothing - 1)).sub_(
                spread
            )
            by_bias += found.sum(0)
            rounded = logits.copy_(found)
            torch.mm(rounded, weight, out=by_rows[at : at + CHUNK])
            by_weight += rounded.t() @ part
        ctx.save_for_backward(by_rows, by_weight, by_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (*(found * gradients[0] for found in ctx.saved_tensors), None, None)
