"""Chooses the mixed precision and the attention kernels that pay on a device."""

from typing import Any

import torch
from torch.nn.attention import SDPBackend

from bark.devices import cpu_computes_in
from bark.extras import from_extra

# not cuDNN's attention, which plans anew for many a new length: 40 ms on an H200, longer than a
# step of nano
ANY_LENGTH = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def choose_precision(device: torch.device) -> str:
    """Return the mixed precision that pays on a device: bfloat16 where its hardware multiplies in
    it.

    Weights, optimiser and sums stay float32; on a CPU with the instructions matrix products are
    four times as fast, on one without they are slower."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    if device.type == "cpu":
        return "bf16" if cpu_computes_in(torch.bfloat16) else "no"
    return "no"


def make_accelerator(on_cpu: bool, mixed_precision: str) -> Any:
    """Return accelerate's `Accelerator`; `mixed_precision` "auto" is `choose_precision`'s.

    accelerate keeps one precision for the process and refuses a second. A training that asks for
    another one than the training before it starts from a fresh state, as transformers' own trainer
    does; two trainings side by side in one process must agree on it.

    Raises
    ------
    SettingError
        If accelerate is not installed.
    """
    with from_extra("train", "training needs accelerate"):
        from accelerate import Accelerator, PartialState
        from accelerate.state import AcceleratorState, is_initialized
        from accelerate.utils import DistributedDataParallelKwargs
    if mixed_precision == "auto":
        mixed_precision = choose_precision(PartialState(cpu=on_cpu).device)
    if is_initialized() and AcceleratorState().mixed_precision != mixed_precision:
        AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=mixed_precision,
        cpu=on_cpu,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
