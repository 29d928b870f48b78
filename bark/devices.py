"""Chooses device and dtype, and moves a network to its device for as long as it works there."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .errors import SettingError

logger = logging.getLogger(__name__)

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,  # weights, on a CPU: `bark.stages.int8`
}
SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
INSTRUCTIONS = {  # of CPUs that multiply matrices of half-precision numbers
    torch.bfloat16: ("avx512_bf16", "amx_bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16"),
}


def choose_device(name: str | torch.device = "auto", part: str | None = None) -> torch.device:
    """Choose where a part of a model runs.

    Parameters
    ----------
    name : "cpu", "cuda", "cuda:1", "mps", or "auto": CUDA if there is one, else Apple's GPU if
        SUNO_ENABLE_MPS is set (but the codec stays on the CPU, as with Suno), else the CPU.
    part : "semantic", "coarse", "fine" or "codec".

    Raises
    ------
    SettingError
        If the name is unknown, or this machine has no such device.
    """
    if str(name) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        if mps_wanted() and torch.backends.mps.is_available() and part != "codec":
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingError("device", repr(name), _present()) from error
    if device.type == "cuda" and torch.cuda.is_available() and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    there = (
        device == torch.device("cpu")
        or (device.type == "cuda" and (device.index or 0) < torch.cuda.device_count())
        or (device.type == "mps" and torch.backends.mps.is_available())
    )
    if not there:
        raise SettingError("device", repr(str(name)), _present(), _why_absent(device))
    return device


def choose_dtype(name: str = "auto", device: torch.device | str = "cpu") -> torch.dtype:
    """Choose the dtype of the weights on a device.

    "auto" is float32 on CPU and MPS, and on CUDA bfloat16 where the GPU computes in it, else
    float16. What was asked for is done, but a half-precision type on an x86 CPU that does not
    compute in it gets a warning.

    Raises
    ------
    SettingError
        If `name` is none of "auto", "float32", "bfloat16", "float16", "int8", or is "int8" and the
        device no CPU.
    """
    if name == "int8" and torch.device(device).type != "cpu":
        allowed = ", ".join(["auto", *(other for other in DTYPES if other != name)])
        raise SettingError(f"dtype on {device}", repr(name), allowed, "int8 is for a CPU")
    if name in DTYPES:
        on_x86 = torch.device(device).type == "cpu" and platform.machine().lower() in (
            "x86_64",
            "amd64",
        )
        if on_x86 and DTYPES[name] in INSTRUCTIONS and not cpu_computes_in(DTYPES[name]):
            logger.warning("this CPU does not compute in %s: float32 is likely to be faster", name)
        return DTYPES[name]
    if name != "auto":
        raise SettingError("dtype", repr(name), ", ".join(["auto", *DTYPES]))
    if torch.device(device).type != "cuda":
        return torch.float32
    return (
        torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    )


def dtype_name(given: str | torch.dtype) -> str:
    """Return the name that `choose_dtype` knows: torch's own dtypes and fp16 have other ones.

    >>> dtype_name(torch.float16), dtype_name("bf16"), dtype_name("auto")
    ('float16', 'bfloat16', 'auto')
    """
    name = str(given).removeprefix("torch.")
    return SHORT.get(name, name)


def cpu_computes_in(dtype: torch.dtype) -> bool:
    """Tell whether this CPU multiplies matrices of bfloat16 or float16 numbers; False where nobody
    knows.
    """
    return cpu_has(*INSTRUCTIONS[dtype])


def cpu_has(*instructions: str) -> bool:
    """Tell whether this CPU has any of these; an older torch does not know."""
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(able.get(name) for name in instructions)


@contextmanager
def borrowed(holder: Any, device: torch.device | str) -> Iterator[Any]:
    """Move `holder` to `device` for the block, and back afterwards, whatever happens.

    Parameters
    ----------
    holder : a network or a codec: anything with ``.to(device)``.
    """
    device, home = torch.device(device), _place_of(holder)
    if home == device:
        yield holder
        return
    try:
        holder.to(device)
        yield holder
    finally:
        holder.to(home)
        if device.type == "cuda":
            torch.cuda.empty_cache()  # else the next network finds its room still reserved


def offload_wanted() -> bool:
    """Tell whether SUNO_OFFLOAD_CPU asks for one part at a time on the device."""
    return _is_set("SUNO_OFFLOAD_CPU")


def small_wanted() -> bool:
    """Tell whether SUNO_USE_SMALL_MODELS asks for the small models."""
    return _is_set("SUNO_USE_SMALL_MODELS")


def mps_wanted() -> bool:
    """Tell whether SUNO_ENABLE_MPS allows Apple's GPU."""
    return _is_set("SUNO_ENABLE_MPS")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


def _place_of(holder: Any) -> torch.device:
    network = holder if isinstance(holder, torch.nn.Module) else getattr(holder, "network", None)
    if isinstance(network, torch.nn.Module):
        parameter = next(network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device
    return torch.device(getattr(holder, "device", "cpu"))


def _why_absent(device: torch.device) -> str | None:
    if device.type == "mps":
        built = torch.backends.mps.is_built()
        return "torch sees no Apple GPU" if built else "This torch is built without Apple's MPS"
    if device.type != "cuda" or torch.cuda.is_available():
        return None
    if torch.version.cuda is None and torch.version.hip is None:
        return "This torch is built for CPUs only: install the CUDA build that pytorch.org names"
    return "torch sees no GPU: check that nvidia-smi lists one and that its driver is new enough"


def _present() -> str:
    names = ["auto", "cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return ", ".join([*names, "mps"] if torch.backends.mps.is_available() else names)
