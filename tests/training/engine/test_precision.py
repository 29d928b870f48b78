"""What a training chooses for a device: bfloat16 where it pays, attention that no new length slows down."""

import torch
from torch.backends import cuda
from torch.nn.attention import sdpa_kernel

from training.engine.precision import ANY_LENGTH, choose_precision, make_accelerator


def test_bfloat16_is_chosen_where_the_hardware_has_it(pretended_cpu: set[str]) -> None:
    assert choose_precision(torch.device("cpu")) == (
        "bf16" if "bfloat16" in pretended_cpu else "no"
    )
    assert choose_precision(torch.device("mps")) == "no"


def test_trainings_of_different_precision_follow_each_other_in_one_process(
    pretended_cpu: set[str],
) -> None:
    for asked in ("no", "auto", "bf16", "no", "auto"):
        chosen = choose_precision(torch.device("cpu")) if asked == "auto" else asked
        accelerator = make_accelerator(True, asked)
        assert accelerator.mixed_precision == chosen
        layer = accelerator.prepare(torch.nn.Linear(2, 2))
        with accelerator.autocast():
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == (torch.bfloat16 if chosen == "bf16" else torch.float32)
        loss = layer(torch.ones(2)).sum()
        assert loss.dtype == torch.float32  # accelerate widens what a network returns
        accelerator.backward(loss)


def test_attention_of_any_length_is_all_but_cudnns() -> None:
    before = cuda.cudnn_sdp_enabled(), cuda.flash_sdp_enabled()
    with sdpa_kernel(ANY_LENGTH):
        assert not cuda.cudnn_sdp_enabled()
        assert (
            cuda.flash_sdp_enabled()
            and cuda.mem_efficient_sdp_enabled()
            and cuda.math_sdp_enabled()
        )
    assert (cuda.cudnn_sdp_enabled(), cuda.flash_sdp_enabled()) == before
