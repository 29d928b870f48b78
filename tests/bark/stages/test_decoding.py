"""One step of the decoder gives the network's own logits, with and without cache, for any batch."""

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bark.errors import SettingError, VoiceError
from bark.stages import decoding
from bark.stages.base import check_tokens, per_item
from bark.stages.decoding import Decoder
from bark.stages.gpt import GPT
from tests.stages import message, random_gpt, read_checkpoint

EVERY = slice(None)


def random_ids(*shape: int) -> torch.Tensor:
    return torch.randint(60, shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def network() -> GPT:
    return random_gpt(input_vocab_size=60, output_vocab_size=50)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("name", ["text", "coarse", "coarse_bias"])
@torch.inference_mode()
def test_golden_logits(golden: Path, name: str, use_cache: bool) -> None:
    model = read_checkpoint(golden / "A_suno_checkpoints" / f"{name}.pt")
    assert isinstance(model, GPT)
    with np.load(golden / "B_suno_expected" / f"logits_{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    for prefix in [""] if name == "text" else ["noctx_", "ctx630_"]:
        ids, wanted = arrays[f"{prefix}prefill_ids"], arrays[f"{prefix}logits"]
        embeddings = model.embed(ids)
        if name == "text":  # text and history are summed
            embeddings = torch.cat(
                [embeddings[:, :256] + embeddings[:, 256:512], embeddings[:, 512:]], dim=1
            )
        decoder = Decoder(model, 1, use_cache=use_cache)
        rows = [decoder.prefill(embeddings, EVERY)]
        for token in arrays[f"{prefix}forced_tokens"][: len(wanted) - 1]:
            rows.append(decoder.step(token[None], EVERY))
        torch.testing.assert_close(torch.cat(rows), wanted, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_golden_logits_of_a_checkpoint_with_mask_buffers(golden: Path) -> None:
    model = read_checkpoint(golden / "A_suno_checkpoints" / "gpt_with_mask_buffers.pt")
    assert isinstance(model, GPT)
    with np.load(golden / "B_suno_expected" / "logits_gpt_with_mask_buffers.npz") as file:
        ids, wanted = torch.from_numpy(file["ids"]), torch.from_numpy(file["logits"])
    logits = Decoder(model, 2).prefill(model.embed(ids), EVERY)
    torch.testing.assert_close(logits, wanted[:, 0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_steps_equal_the_whole_sequence(bias: bool, use_cache: bool) -> None:
    model = random_gpt(input_vocab_size=60, output_vocab_size=50, bias=bias)
    ids = random_ids(3, 20)
    wanted = model(ids)
    decoder = Decoder(model, 3, positions=20, use_cache=use_cache)
    torch.testing.assert_close(decoder.prefill(model.embed(ids[:, :9]), EVERY), wanted[:, 8])
    for position in range(9, 20):
        logits = decoder.step(ids[:, position], slice(10, 30))
        torch.testing.assert_close(logits, wanted[:, position, 10:30])


@pytest.mark.parametrize("use_cache", [True, False])
@torch.inference_mode()
def test_sequences_can_leave_the_batch(network: GPT, use_cache: bool) -> None:
    ids = random_ids(4, 12)
    wanted = network(ids)
    decoder = Decoder(network, 4, use_cache=use_cache)
    decoder.prefill(network.embed(ids[:, :9]), EVERY)
    for kept, position in (([0, 1, 3], 9), ([0, 3], 10), ([3], 11)):
        before = [0, 1, 2, 3] if position == 9 else ([0, 1, 3] if position == 10 else [0, 3])
        decoder.keep([before.index(row) for row in kept])
        logits = decoder.step(ids[kept, position], EVERY)
        torch.testing.assert_close(logits, wanted[kept, position])


@pytest.mark.usefixtures("static")
@torch.inference_mode()
def test_static_steps_equal_the_whole_sequence(network: GPT) -> None:
    """Over prompts of several lengths and batches, one after the other, as the coarse windows are read."""
    decoder = Decoder(network, 4, positions=24)
    for batch, prompt in ((4, 9), (3, 15), (3, 5)):
        ids = random_ids(batch, 24)
        wanted = network(ids)
        torch.testing.assert_close(
            decoder.prefill(network.embed(ids[:, :prompt]), EVERY), wanted[:, prompt - 1]
        )
        for position in range(prompt, 24):
            logits = decoder.step(ids[:, position], slice(10, 30))
            torch.testing.assert_close(logits, wanted[:, position, 10:30])
    with pytest.raises(SettingError, match="position to decode: got 24; allowed: 0 … 23"):
        decoder.step(ids[:, 0], EVERY)


@pytest.mark.usefixtures("static")
@torch.inference_mode()
def test_static_sequences_can_leave_the_batch(network: GPT) -> None:
    ids = random_ids(5, 12)
    wanted = network(ids)
    decoder = Decoder(network, 5)
    decoder.prefill(network.embed(ids[:, :8]), EVERY)
    for kept, chosen, position in (
        ([4, 1, 3], [4, 1, 3], 8), ([4, 3], [0, 2], 9), ([4], [0], 10), ([4], [0], 11)
    ):  # fmt: skip
        decoder.keep(chosen)
        torch.testing.assert_close(decoder.step(ids[kept, position], EVERY), wanted[kept, position])


@pytest.mark.usefixtures("static")
def test_a_static_decoder_is_freed_with_its_last_reference(network: GPT) -> None:
    """Its cache is the largest thing on a GPU beside the weights: it must not wait for a garbage collection."""
    with torch.inference_mode():
        decoder = Decoder(network, 1)
        decoder.prefill(network.embed(random_ids(1, 4)), EVERY)
        decoder.step(torch.zeros(1, dtype=torch.int64), EVERY)
    cache = weakref.ref(decoder.cache[0].untyped_storage())
    del decoder
    assert cache() is None


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("threads", [1, 3, 4])
@torch.inference_mode()
def test_layers_divided_among_threads(
    monkeypatch: pytest.MonkeyPatch, threads: int, small: bool
) -> None:
    monkeypatch.setattr(decoding, "LEAST", 64)
    if not small:
        monkeypatch.setattr(decoding, "SMALL", 0)
    model = random_gpt(input_vocab_size=60, output_vocab_size=50)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for batch in (1, 2, decoding.FEW + 1):
            ids = random_ids(batch, 20)
            decoder = Decoder(model, batch)
            decoder.prefill(model.embed(ids[:, :19]), EVERY)
            torch.testing.assert_close(decoder.step(ids[:, 19], EVERY), model(ids)[:, 19])
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def test_a_second_prompt_forgets_the_first(network: GPT) -> None:
    ids = random_ids(2, 9)
    decoder = Decoder(network, 2)
    decoder.prefill(network.embed(random_ids(2, 20)), EVERY)
    decoder.step(ids[:, 0], EVERY)
    torch.testing.assert_close(decoder.prefill(network.embed(ids[:1]), EVERY), network(ids)[:1, -1])


@torch.inference_mode()
def test_a_replaced_layer_is_used_not_its_weights(network: GPT) -> None:
    """An adapter such as LoRA's, or a quantised layer, stands in for nn.Linear and must be called."""

    class Adapted(nn.Module):
        def __init__(self, base: nn.Linear) -> None:
            super().__init__()
            self.base, self.weight, self.bias = base, base.weight, base.bias

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.base(x) * 1.5).mT.contiguous().mT  # column by column

    ids = random_ids(3, 9)
    plain = network(ids)[:, -1]
    layer = network.transformer.h[0].get_submodule("mlp")
    layer.c_fc = Adapted(layer.get_submodule("c_fc"))  # type: ignore[arg-type, assignment]
    decoder = Decoder(network, 3)
    decoder.prefill(network.embed(ids[:, :8]), EVERY)
    adapted = decoder.step(ids[:, 8], EVERY)
    torch.testing.assert_close(adapted, network(ids)[:, -1])
    assert not torch.allclose(adapted, plain)


@torch.inference_mode()
def test_half_precision_stays_close(network: GPT) -> None:
    ids = random_ids(2, 9)
    wanted = network(ids)[:, -1]
    half = network.to(torch.bfloat16)
    decoder = Decoder(half, 2)
    decoder.prefill(half.embed(ids[:, :8]), EVERY)
    logits = decoder.step(ids[:, 8], EVERY)
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_refusals(network: GPT) -> None:
    assert "positions to decode: got 65; allowed: 1 … 64" in message(
        lambda: Decoder(network, 1, 65), SettingError
    )
    assert per_item("seeds", None, 2) == [None, None] and per_item("seeds", [1, 2], 2) == [1, 2]
    assert "seeds: got 1 of them; allowed: 3" in message(
        lambda: per_item("seeds", [1], 3), SettingError
    )
    good = np.array([1, 2], np.uint16)
    assert check_tokens("x", good, 3, 1).dtype == np.int64
    for bad, said in (
        ("12", "a str"), (good[None], "shape (1, 2)"), (good[:0], "shape (0,)"), (good > 1, "type bool"),
        (good + 1j, "type complex128"), (good * np.nan, "nan"), (good - 2.5, "values -1.5 … -0.5"),
        (good + 1, "values 2 … 3; allowed: 0 … 2"),
    ):  # fmt: skip
        assert said in message(
            lambda values=bad: check_tokens("x", values, 3, 1, VoiceError), VoiceError
        )  # type: ignore[misc]
