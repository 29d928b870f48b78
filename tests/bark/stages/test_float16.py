"""Weights that float16 holds exactly: products are those of float32, for one row and for many."""

import numpy as np
import pytest
import torch

from bark import Bark
from bark.stages import float16
from bark.stages.decoding import Decoder
from bark.stages.sampling import Sampling
from tests.stages import random_gpt

needs_operator = pytest.mark.skipif(
    not float16.has_operator(), reason="torch has no such operator"
)  # fmt: skip


@needs_operator
@pytest.mark.parametrize("count", [1, 3, float16.FEW, float16.FEW + 1])
def test_products_are_those_of_float32(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 64, generator=generator).half().float()
    rows, residual = (torch.randn(count, n, generator=generator) for n in (64, 50))
    layer = float16.packed(weight)
    assert layer is not None
    wanted = rows.double() @ weight.double().t()
    assert torch.allclose(layer.multiply(rows).double(), wanted, atol=1e-5, rtol=0)
    added = layer.add(residual, rows)
    assert torch.allclose(added.double(), wanted + residual, atol=1e-5, rtol=0)


@needs_operator
@pytest.mark.parametrize("value", [1 / 3, 70_000.0, 1e-9, float("nan")])
def test_weights_that_float16_would_change_are_left(value: float) -> None:
    weight = torch.ones(8, 8)
    weight[3, 4] = value
    assert float16.packed(weight) is None
    assert float16.packed(torch.ones(8, 8)) is not None
    assert float16.packed(torch.ones(8, 8, dtype=torch.bfloat16)) is None


@torch.inference_mode()
def test_logits_with_and_without_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_gpt(input_vocab_size=60, output_vocab_size=50)
    for weight in model.parameters():
        weight.copy_(weight.half())
    ids = torch.randint(60, (3, 30), generator=torch.Generator().manual_seed(1))
    wanted = model(ids)
    for able in (float16.has_operator(), False):
        monkeypatch.setattr(float16, "has_operator", lambda able=able: able)
        decoder = Decoder(model, 3)
        decoder.prefill(model.embed(ids[:, :20]), slice(None))
        for position in range(20, 30):
            logits = decoder.step(ids[:, position], slice(None))
            torch.testing.assert_close(logits, wanted[:, position])


@needs_operator
def test_nano_says_the_same_without_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    bark = Bark.from_pretrained("nano")
    ids = bark.tokenizer.encode("Good morning.")
    said = []
    for able in (True, False):
        monkeypatch.setattr(float16, "has_operator", lambda able=able: able)
        semantic = bark.semantic.generate(ids, sampling=Sampling(temperature=0), max_duration_s=0.5)
        said.append(bark.coarse.generate(semantic, sampling=Sampling(temperature=0)))
    assert said[0].shape[1] > 30
    assert np.array_equal(*said)
