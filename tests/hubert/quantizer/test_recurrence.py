"""hubert.quantizer.recurrence and training.quantizer.head give what torch's own modules give, with the same gradients."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from hubert.quantizer.recurrence import Packing, run_lstm
from training.quantizer import head as head_module
from training.quantizer.head import head_loss

LENGTHS = torch.tensor([3, 7, 1, 7, 5])


def reference(lstm: nn.LSTM, rows: Tensor, reverse: bool) -> Tensor:
    parts = list(rows.split(LENGTHS.tolist()))
    if reverse:
        parts = [part.flip(0) for part in parts]
    hidden, lengths = pad_packed_sequence(
        lstm(pack_sequence(parts, enforce_sorted=False))[0], batch_first=True
    )
    found = [row[:length] for row, length in zip(hidden, lengths.tolist(), strict=True)]
    return torch.cat([part.flip(0) for part in found] if reverse else found)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_states_and_gradients_are_those_of_torch(layers: int, reverse: bool) -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(4, 6, layers).double()
    rows = torch.randn(int(LENGTHS.sum()), 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(int(LENGTHS.sum()), 6, dtype=torch.float64)
    given = [rows, *lstm.parameters()]
    expected = reference(lstm, rows, reverse)
    found = run_lstm(lstm, rows, Packing.of(LENGTHS), reverse=reverse)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad((found * weight).sum(), given),
        torch.autograd.grad((expected * weight).sum(), given),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_in_bfloat16_gradients_stay_close() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(16, 32, 2)
    rows = torch.randn(int(LENGTHS.sum()), 16)
    exact = run_lstm(lstm, rows, Packing.of(LENGTHS))
    with torch.autocast("cpu", torch.bfloat16):
        rough = run_lstm(lstm, rows, Packing.of(LENGTHS))
    assert rough.dtype == torch.bfloat16
    weights = list(lstm.parameters())
    for mine, theirs in zip(
        torch.autograd.grad(rough.float().sum(), weights),
        torch.autograd.grad(exact.sum(), weights),
        strict=True,
    ):
        assert float((mine - theirs).norm() / theirs.norm()) < 0.02


def test_an_utterance_of_one_frame_is_a_batch_too() -> None:
    lstm = nn.LSTM(4, 6)
    run_lstm(lstm, torch.randn(1, 4), Packing.of(torch.tensor([1]))).sum().backward()
    assert lstm.weight_hh_l0.grad is not None and not lstm.weight_hh_l0.grad.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_head_gives_the_loss_and_gradients_of_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, smoothing: float
) -> None:
    monkeypatch.setattr(head_module, "CHUNK", 4)
    torch.manual_seed(0)
    head = nn.Linear(6, 9).double()
    rows = torch.randn(10, 6, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(0, 9, (10,))
    given = [rows, head.weight, head.bias]
    found = head_loss(head, rows, tokens, smoothing) / 7
    expected = (
        functional.cross_entropy(head(rows), tokens, reduction="sum", label_smoothing=smoothing) / 7
    )
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(found, given), torch.autograd.grad(expected, given), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_the_head_in_bfloat16_sums_its_loss_in_float32() -> None:
    torch.manual_seed(0)
    head, rows, tokens = nn.Linear(16, 50), torch.randn(300, 16), torch.randint(0, 50, (300,))
    with torch.autocast("cpu", torch.bfloat16):
        rough = head_loss(head, rows, tokens)
    assert rough.dtype == torch.float32
    assert float(rough.detach()) == pytest.approx(
        float(head_loss(head, rows, tokens).detach()), rel=1e-3
    )
