"""What a training chooses for a device: bfloat16 where it pays, attention that no new length slows down."""

import pytest
import torch
from torch.backends import cuda
from torch.nn.attention import sdpa_kernel

from hubert.acceleration import ANY_LENGTH, choose_precision, make_accelerator


def test_bfloat16_is_chosen_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, chosen in (
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx2": True}, "no"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able, raising=False)
        assert choose_precision(torch.device("cpu")) == chosen
    assert choose_precision(torch.device("mps")) == "no"


def test_what_is_asked_for_is_done() -> None:
    assert make_accelerator(True, "no").mixed_precision == "no"
    assert make_accelerator(True, "auto").mixed_precision == choose_precision(torch.device("cpu"))


def test_attention_of_any_length_is_all_but_cudnns() -> None:
    before = cuda.cudnn_sdp_enabled(), cuda.flash_sdp_enabled()
    with sdpa_kernel(ANY_LENGTH):
        assert not cuda.cudnn_sdp_enabled()
        assert cuda.flash_sdp_enabled() and cuda.mem_efficient_sdp_enabled() and cuda.math_sdp_enabled()
    assert (cuda.cudnn_sdp_enabled(), cuda.flash_sdp_enabled()) == before
