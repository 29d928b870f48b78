"""A network to the optimizers that train it."""

from __future__ import annotations

from torch import Tensor, nn, optim

from bark.errors import SettingError


def make_optimizers(
    network: nn.Module, name: str, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> list[optim.Optimizer]:
    """Return the optimizers of a network; matrices are under weight decay, vectors and position tables not.

    Parameters
    ----------
    name : "adamw"; or "muon", which is Muon (K. Jordan et al., 2024) for the weights of linear layers except
        the heads and AdamW for the rest. Muon's updates are scaled to the size of AdamW's
        (arXiv:2502.16982), so that one learning rate serves both.
    betas : of AdamW.

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
        muon = optim.Muon(hidden, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        optimizers.append(muon)
    return optimizers
