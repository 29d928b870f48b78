"""Chooses the optimizers that a network is trained with: AdamW, or Muon for its matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn, optim

from bark.errors import SettingError


class Muon(optim.Muon):
    """torch's Muon (K. Jordan et al., 2024), its updates scaled to the size of AdamW's
    (arXiv:2502.16982).

    torch orthogonalises in bfloat16 always, which a CPU without such instructions does nine times
    slower than float32: there this one works in float32. And torch takes matrix by matrix, so that
    a small network on a GPU waits for launches: this one takes all of one shape at once. State and
    results are otherwise torch's."""

    def __init__(
        self, weights: list[Tensor], learning_rate: float, weight_decay: float, exact: bool
    ) -> None:
        super().__init__(
            weights, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        self.number = torch.float32 if exact else torch.bfloat16

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step; `closure` evaluates the loss anew, as for every torch optimizer."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.shape, []).append(weight)
            for shape, weights in alike.items():
                gradients = [weight.grad for weight in weights if weight.grad is not None]
                momenta = [self._momentum(weight) for weight in weights]
                torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
                updates = torch.stack(torch._foreach_lerp(gradients, momenta, group["momentum"]))
                updates = orthogonalised(
                    updates.to(self.number), group["ns_coefficients"], group["ns_steps"]
                )
                rate = 0.2 * group["lr"] * max(shape) ** 0.5
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, list(updates.to(weights[0].dtype)), alpha=-rate)
        return loss

    def _momentum(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def orthogonalised(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int
) -> Tensor:
    """Bring all singular values of matrices (N, rows, columns) near 1 by Newton-Schulz iterations.

    A step, of the fifth order, maps a singular value s to a s + b s³ + c s⁵; they begin at most 1.
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if tall else matrices
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.mT if tall else wide


def make_optimizers(
    network: nn.Module,
    name: str,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    exact: bool = False,
) -> list[optim.Optimizer]:
    """Return the optimizers of a network; matrices are under weight decay, vectors and position
    tables not.

    Parameters
    ----------
    name : "adamw"; or "muon", which is `Muon` for the weights of linear layers except the heads and
        AdamW for the rest; one learning rate serves both.
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
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizers: list[optim.Optimizer] = [optim.AdamW(groups, lr=learning_rate, betas=betas)]
    if hidden:
        muon = Muon(hidden, learning_rate, weight_decay, exact)
        optimizers.append(muon)
    return optimizers
