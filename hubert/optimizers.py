"""A network to the optimizers that train it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn, optim

from bark.errors import SettingError


class Muon(optim.Muon):
    """torch's Muon (K. Jordan et al., 2024), its updates scaled to the size of AdamW's (arXiv:2502.16982).

    torch orthogonalises in bfloat16 always, which a CPU without such instructions does nine times slower than
    float32: there this one works in float32. State and results are otherwise torch's.
    """

    def __init__(self, weights: list[Tensor], learning_rate: float, weight_decay: float, exact: bool) -> None:
        super().__init__(weights, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.exact = exact  # in float32

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step; `closure` evaluates the loss anew, as for every torch optimizer."""
        if not self.exact:
            return super().step(closure)
        loss = closure() if closure else None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                momentum = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight.grad))
                momentum.lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(momentum, group["momentum"])
                rate = 0.2 * group["lr"] * max(weight.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(orthogonalised(update, group["ns_coefficients"], group["ns_steps"]), alpha=rate)
        return loss


def orthogonalised(matrix: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """Bring all singular values of a matrix near 1 by Newton-Schulz iterations of the fifth order.

    Each step maps a singular value s to a s + b s³ + c s⁵; they begin at most 1.
    """
    a, b, c = coefficients
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


def make_optimizers(
    network: nn.Module,
    name: str,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    exact: bool = False,
) -> list[optim.Optimizer]:
    """Return the optimizers of a network; matrices are under weight decay, vectors and position tables not.

    Parameters
    ----------
    name : "adamw"; or "muon", which is `Muon` for the weights of linear layers except the heads and AdamW for
        the rest; one learning rate serves both.
    betas : of AdamW.
    exact : Muon works in float32.

    Raises
    ------
    SettingError
        For another name.
    """
    if name not in ("adamw", "muon"):
        raise SettingError("optimizer", name, "adamw or muon")
    named = [(key, weight) for key, weight in network.named_parameters() if weight.requires_grad]
    hidden: list[Tensor] = []
    if name == "muon":
        modules = network.named_modules()
        linear = {f"{key}.weight" for key, module in modules if isinstance(module, nn.Linear)}
        hidden = [weight for key, weight in named if key in linear and "lm_head" not in key]
    taken = {id(weight) for weight in hidden}
    rest = [(key, weight) for key, weight in named if id(weight) not in taken]
    decayed = [weight for key, weight in rest if weight.dim() > 1 and "wpe" not in key]
    plain = [weight for key, weight in rest if not (weight.dim() > 1 and "wpe" not in key)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizers: list[optim.Optimizer] = [optim.AdamW(groups, lr=learning_rate, betas=betas)]
    if hidden:
        muon = Muon(hidden, learning_rate, weight_decay, exact)
        optimizers.append(muon)
    return optimizers
