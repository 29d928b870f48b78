"""Networks from sizes and weights, floats or 8 bits: checked, then filled without copies."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from bark.errors import CheckpointError
from bark.stages.gpt import GPT, GPTConfig
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.stages.int8 import (
    Codes,
    Rows,
    affordable,
    codes_of,
    finished,
    float_of,
    install,
    matrices,
)
from bark.storage.weights import View, view_of

from .variants import some, with_tied_heads

Network = GPT | FineGPT
SCALE = "_scale"  # after the name of an int8 weight: the scales of its rows


def build_network(
    config: GPTConfig,
    weights: dict[str, torch.Tensor],
    where: str,
    dtype: torch.dtype | None = None,
    rows: Rows = "both",
) -> Network:
    """Make a network of these sizes from weights under Suno's names.

    Parameters
    ----------
    weights : emptied for an int8 network, so that what is packed is not kept twice.
    where : the file, for messages.
    dtype : None = float32.
    rows : of an int8 network, how many are multiplied at a time.
    """
    with torch.device("meta"), _Blank():  # names and shapes only: nothing is allocated or drawn
        network: Network = FineGPT(config) if isinstance(config, FineGPTConfig) else GPT(config)
    plain, small = _apart(weights, where)
    if isinstance(config, FineGPTConfig):
        plain = with_tied_heads(plain, config, where)
    _check_fit(plain, small, network, where)
    if dtype == torch.int8:
        weights.clear()
        _quantise(network, plain, small, where, rows)
    else:
        plain |= {name: float_of(*codes) for name, codes in small.items()}
        network.load_state_dict(_ready(plain, where, dtype or torch.float32), assign=True)
    if isinstance(network, FineGPT):
        network.tie_heads()
    return finished(network) if dtype == torch.int8 else network.eval()


def in_int8(weights: Mapping[str, torch.Tensor], network: Network) -> dict[str, torch.Tensor]:
    """Return a network's weights with its matrices in 8 bits, as our own layout keeps them."""
    names = [f"{name}.weight" for name in matrices(network)]
    found = {}
    for name, tensor in weights.items():
        if name in names and tensor.is_floating_point():
            found[name], found[f"{name}{SCALE}"] = codes_of(tensor)
        else:
            found[name] = tensor
    return found


def in_float(weights: Mapping[str, torch.Tensor], where: str) -> dict[str, torch.Tensor]:
    """Undo `in_int8`; weights that are floats stay as they are."""
    plain, small = _apart(weights, where)
    return plain | {name: float_of(*codes) for name, codes in small.items()}


def _apart(
    weights: Mapping[str, torch.Tensor], where: str
) -> tuple[dict[str, torch.Tensor], dict[str, Codes]]:
    """Return the weights that are as they are, and those in 8 bits with their rows' scales."""
    small = {}
    for name, scale in weights.items():
        codes = weights.get(name.removesuffix(SCALE))
        if not name.endswith(SCALE) or codes is None:
            continue
        if codes.dtype != torch.int8 or scale.shape != codes.shape[:1]:
            raise CheckpointError(
                f"{where}: {name}",
                f"shape {tuple(scale.shape)} for {codes.dtype} of {tuple(codes.shape)}",
                "a scale for each row of int8 weights",
            )
        small[name.removesuffix(SCALE)] = codes, scale.float()
    known = small.keys() | {f"{name}{SCALE}" for name in small}
    return {name: tensor for name, tensor in weights.items() if name not in known}, small


def _quantise(
    network: Network,
    plain: dict[str, torch.Tensor],
    small: dict[str, Codes],
    where: str,
    rows: Rows,
) -> None:
    """Fill a network matrix by matrix, so that no second copy of the weights ever stands; the
    matrices are taken out of the dictionaries.

    The rest is copied, for a tensor that is mapped keeps the whole file in memory."""
    names, rows = [f"{name}.weight" for name in matrices(network)], affordable(network, rows)
    rest = {name: tensor for name, tensor in plain.items() if name not in names}
    rest |= {name: float_of(*codes) for name, codes in small.items() if name not in names}
    ready = _ready(rest, where, torch.float32)
    copies = {id(tensor): tensor.clone() for tensor in ready.values()}  # tied ones stay tied
    own = {name: copies[id(tensor)] for name, tensor in ready.items()}
    network.load_state_dict(own, strict=False, assign=True)
    for left in (rest, ready):
        left.clear()  # what is mapped from a layer keeps all of the layer in memory
    for name in set(plain) - set(names):
        del plain[name]
    for name in names:
        codes = small.pop(name) if name in small else codes_of(plain.pop(name))
        if not torch.isfinite(codes[1]).all():
            raise _not_finite(where, name)
        install(network, name.removesuffix(".weight"), codes, rows)


def _not_finite(where: str, name: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: {name} holds NaN or infinity",
        fix="Its training diverged, or the file is damaged",
    )


class _Blank(TorchFunctionMode):
    """Leaves out `torch.nn.init`, which on the meta device imports torch's compiler: a second and a
    half.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return None  # no layer asks for it
        return func(*args, **(kwargs or {}))


def _check_fit(
    plain: Mapping[str, torch.Tensor], small: Mapping[str, Codes], network: Network, where: str
) -> None:
    """Compare names and shapes with the network's; one error lists every kind of difference."""
    weights = {**plain, **{name: codes for name, (codes, _) in small.items()}}
    expected = network.state_dict()
    missing = sorted(set(expected) - set(weights))
    unknown = sorted(set(weights) - set(expected))
    misshapen = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    wrong_type = [f"{name} {weights[name].dtype}" for name in expected
                  if name in weights and name not in small
                  and not weights[name].is_floating_point()]  # fmt: skip
    faults = {
        "missing": missing,
        "unknown": unknown,
        "of another shape": misshapen,
        "not floats": wrong_type,
    }
    if any(faults.values()):
        text = "; ".join(f"{fault} {some(names)}" for fault, names in faults.items() if names)
        raise CheckpointError(f"{where} does not fit the sizes it states: {text}")


def _ready(
    weights: Mapping[str, torch.Tensor], where: str, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Cast, lay out row by row (some files hold overlapping views) and refuse NaN.

    What a file holds once under several names is cast once, and stays shared.
    """
    views = {name: view_of(tensor) for name, tensor in weights.items()}
    done: dict[View, torch.Tensor] = {}
    for name, tensor in weights.items():
        if views[name] in done:
            continue
        ready = done[views[name]] = tensor.to(dtype).contiguous()
        if not all(torch.isfinite(edge) for edge in ready.aminmax()):
            raise _not_finite(where, name)
    return {name: done[view] for name, view in views.items()}
