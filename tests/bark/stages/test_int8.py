"""8-bit networks: products are exact, rows independent, and nano predicts nearly as well."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bark import Bark
from bark.checkpoints.find import ModelFiles, find_model
from bark.devices import choose_dtype
from bark.errors import SettingError
from bark.stages import int8
from bark.stages.decoding import Decoder
from bark.stages.gpt import GPT
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.stages.int8 import Int8Linear, quantized
from bark.stages.semantic import semantic_prompt
from bark.tokens import flatten_codebooks
from bark.voice.voice import Voice
from tests.stages import message, random_gpt, read_checkpoint

EVERY = slice(None)
Predictions = tuple[torch.Tensor, torch.Tensor]  # logits (N, V) and what is true (N,)


@pytest.fixture(scope="module")
def nano() -> ModelFiles:
    return find_model("nano")


@pytest.fixture(params=["fbgemm", "onednn", "both", "fallback"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Multiply with one operator only, with both, or without either."""
    if request.param == "fallback":
        monkeypatch.setattr(int8, "levels", lambda: None)
        return "fallback"
    if request.param != "onednn" and not int8.has_fbgemm():
        pytest.skip("torch was built without FBGEMM")
    if request.param != "fbgemm" and int8._levels_of_many() is None:
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(int8, "has_fbgemm", lambda: request.param != "onednn")
    monkeypatch.setattr(int8, "prefers_onednn", lambda: request.param != "fbgemm")
    return str(request.param)


def calm_gpt(**sizes: int) -> GPT:
    """A network as it is before training: its softmaxes do not magnify small differences."""
    model = random_gpt(**sizes)
    for name, weight in model.named_parameters():
        if "ln_" in name:
            nn.init.ones_(weight)
        else:
            nn.init.normal_(weight, std=0.02, generator=torch.Generator().manual_seed(len(name)))
    return model


def layer(bias: bool = False, width: int = 96) -> tuple[nn.Linear, Int8Linear]:
    torch.manual_seed(0)
    plain = nn.Linear(64, width, bias=bias).requires_grad_(False)
    return plain, Int8Linear(*int8.codes_of(plain.weight), plain.bias, "both")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("count", [1, 2, 17, 150])
@torch.inference_mode()
def test_a_layer_is_close_to_its_float_self(engine: str, count: int, bias: bool) -> None:
    plain, small = layer(bias)
    rows, residual = torch.randn(count, 64), torch.randn(count, 96)
    wanted = plain(rows)
    assert (small.multiply(rows) - wanted).abs().max() < 0.02 * wanted.abs().max()
    torch.testing.assert_close(small.add(residual, rows), residual + small.multiply(rows))
    torch.testing.assert_close(small(rows.view(1, count, 64))[0], small.multiply(rows))


@torch.inference_mode()
def test_a_row_is_multiplied_as_if_alone(engine: str) -> None:
    """Whatever stands beside it, bit for bit: a sequence of a batch gets what it gets alone."""
    _, small = layer()
    rows = torch.randn(150, 64) * torch.logspace(-3, 3, 150)[:, None]
    together = small.multiply(rows[: int8.LEAST] if engine == "fallback" else rows)
    for index in range(0, len(together), 7):
        torch.testing.assert_close(
            small.multiply(rows[index : index + 1])[0], together[index], rtol=0, atol=0
        )


@torch.inference_mode()
def test_rows_of_zeros_and_of_nan(engine: str) -> None:
    _, small = layer()
    rows = torch.randn(3, 64)
    rows[0], rows[1, 5] = 0, float("nan")
    zeros, nans, finite = small.multiply(rows)
    assert (zeros == 0).all() and nans.isnan().all() and finite.isfinite().all()


def test_the_operator_and_the_attention_are_those_of_the_cpu(
    pretended_cpu: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "_levels_of_many", lambda: 127)
    assert int8.prefers_onednn() == ("int8" in pretended_cpu)
    fine = FineGPT(FineGPTConfig(n_layer=1, n_head=2, n_embd=64))
    attending = quantized(fine).transformer.h[0].attn.attend
    assert (attending is int8._attend_by_heads) == ("bfloat16" in pretended_cpu)


def test_products_do_not_overflow_on_an_older_cpu() -> None:
    """Without VNNI, oneDNN adds pairs of products in 16 bits: 127 levels would be far off."""
    if int8.levels() is None or platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("no CPU that oneDNN could take for an older one")
    code = """if 1:
        import torch
        from bark.stages.int8 import Int8Linear, levels
        rows, weight = torch.ones(5, 256), torch.full((64, 256), 127, dtype=torch.int8)
        for count in (1, 5):
            found = Int8Linear(weight, torch.ones(64)).multiply(rows[:count])
            torch.testing.assert_close(found, torch.full((count, 64), 256.0 * 127))
        print(levels())"""
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) == 63


@torch.inference_mode()
def test_cached_steps_are_close_to_the_whole_sequence(engine: str) -> None:
    model = quantized(calm_gpt(input_vocab_size=60, output_vocab_size=50, n_embd=64))
    assert isinstance(model, GPT)
    ids = torch.randint(60, (3, 20), generator=torch.Generator().manual_seed(1))
    wanted = model(ids)
    for use_cache in (True, False):
        decoder = Decoder(model, 3, use_cache=use_cache)
        decoder.prefill(model.embed(ids[:, :9]), EVERY)
        for position in range(9, 20):
            logits = decoder.step(ids[:, position], slice(10, 30))
            error = (logits - wanted[:, position, 10:30]).abs().max()
            assert error < 0.03 * wanted.abs().max()


@torch.inference_mode()
def test_steps_attend_in_float32_whatever_the_network_attends_with_elsewhere() -> None:
    model, lengths = calm_gpt(), []

    def attend(query: torch.Tensor, *others: torch.Tensor, **options: bool) -> torch.Tensor:
        lengths.append(query.shape[2])
        return nn.functional.scaled_dot_product_attention(query, *others, **options)

    for block in model.transformer.h:
        block.attn.attend = attend
    decoder = Decoder(model, 1)
    decoder.prefill(model.embed(torch.arange(9)[None]), EVERY)
    decoder.step(torch.tensor([1]), EVERY)
    assert set(lengths) == {9}


@pytest.mark.parametrize("name", ["text", "coarse_bias", "fine"])
@torch.inference_mode()
def test_golden_checkpoints(golden: Path, name: str) -> None:
    plain = read_checkpoint(golden / "A_suno_checkpoints" / f"{name}.pt")
    small = quantized(read_checkpoint(golden / "A_suno_checkpoints" / f"{name}.pt"))
    generator = torch.Generator().manual_seed(0)
    if isinstance(plain, FineGPT):
        codes = torch.randint(1000, (1, 30, 8), generator=generator)
        wanted, found = plain(3, codes), small(3, codes)
    else:
        ids = torch.randint(1000, (1, 30), generator=generator)
        wanted, found = plain(ids), small(ids)
    assert (found - wanted).abs().mean() < 0.03 * wanted.std()


@torch.inference_mode()
def test_random_layers_of_true_width_agree_on_the_best_token() -> None:
    sizes = {"n_embd": 768, "n_head": 12, "input_vocab_size": 500, "output_vocab_size": 500}
    plain, small = calm_gpt(**sizes), quantized(calm_gpt(**sizes))
    ids = torch.randint(500, (8, 64), generator=torch.Generator().manual_seed(1))
    wanted, found = plain(ids), small(ids)
    assert (found - wanted).abs().mean() < 0.03 * wanted.std()
    assert (found.argmax(-1) == wanted.argmax(-1)).float().mean() > 0.9


@pytest.mark.parametrize("block", [1, 200, 1 << 20])
def test_rows_are_quantised_alike_in_blocks_of_any_size(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    rows = torch.randn(30, 48, generator=torch.Generator().manual_seed(0))
    wanted = [int8._quantised(row[None], 127) for row in rows]
    monkeypatch.setattr(int8, "BLOCK", block)
    codes, size = int8._quantised(rows, 127)
    assert torch.equal(codes, torch.cat([code for code, _ in wanted]))
    assert torch.equal(size, torch.cat([each for _, each in wanted]))


def semantic_predictions(files: ModelFiles, network: GPT, voice: Voice) -> Predictions:
    layout = files.layout
    window, spoken = layout.text_window, voice.semantic[: layout.max_semantic - 1]
    ids = torch.from_numpy(np.concatenate([semantic_prompt([], None, layout), spoken]))[None]
    embedded = network.embed(ids)
    merged = embedded[:, :window] + embedded[:, window : 2 * window]
    hidden = network.hidden(torch.cat([merged, embedded[:, 2 * window :]], 1))[0, window:-1]
    return network.lm_head(hidden)[:, : layout.semantic_pad], torch.from_numpy(spoken)


def coarse_predictions(files: ModelFiles, network: GPT, voice: Voice) -> Predictions:
    layout = files.layout
    window, books = layout.coarse_semantic_window, layout.coarse_books
    flat = flatten_codebooks(voice.coarse, layout.codebook_size) + layout.coarse_offset
    flat = flat[: layout.max_coarse_history]
    ids = np.concatenate([voice.semantic[:window], [layout.coarse_infer], flat])
    hidden = network.hidden(network.embed(torch.from_numpy(ids)[None]))[0, window:-1]
    logits = network.lm_head(hidden)[:, layout.coarse_offset :]
    logits = logits[:, : books * layout.codebook_size].view(len(flat), books, -1)
    book = torch.arange(len(flat)) % books
    targets = torch.from_numpy(flat) - layout.coarse_offset - book * layout.codebook_size
    return logits[torch.arange(len(flat)), book], targets


def fine_predictions(files: ModelFiles, network: FineGPT, voice: Voice) -> Predictions:
    layout = files.layout
    codes = torch.from_numpy(voice.fine[:, : layout.fine_window].T.copy())[None]
    logits = []
    for book in range(layout.coarse_books, layout.fine_books):
        shown = codes.clone()
        shown[:, :, book:] = layout.codebook_size
        logits.append(network(book, shown)[0, :, : layout.codebook_size])
    return torch.cat(logits), codes[0, :, layout.coarse_books :].T.flatten()


@pytest.mark.parametrize("count", [127, 63, None], ids=["vnni", "avx2", "fallback"])
@pytest.mark.parametrize(
    ("stage", "predict"),
    [
        ("semantic", semantic_predictions),
        ("coarse", coarse_predictions),
        ("fine", fine_predictions),
    ],
)
@torch.inference_mode()
def test_nano_predicts_its_voices_nearly_as_well(
    monkeypatch: pytest.MonkeyPatch, nano: ModelFiles, stage: str,
    predict: Callable[..., Predictions], count: int | None,
) -> None:  # fmt: skip
    """Cross-entropy on the tokens of shipped voices, each token given all before it."""
    if count is not None and (int8.levels() or 0) < count:
        pytest.skip("this CPU does not multiply so")
    monkeypatch.setattr(int8, "levels", lambda: count)
    assert nano.voices is not None
    voices = [Voice.load(path) for path in sorted(nano.voices.glob("*.npz"))[:2]]
    plain, small = nano.load(stage), quantized(nano.load(stage))
    losses = [
        sum(float(F.cross_entropy(*predict(nano, network, voice))) for voice in voices)
        for network in (plain, small)
    ]
    assert losses[0] / len(voices) < 6  # nats; chance is 5.5 (semantic), 6.9
    assert abs(losses[1] / losses[0] - 1) < 0.01


def test_bark_speaks_with_8_bits(tiny_bark: Path) -> None:
    for name, texts in (("nano", ["One.", "Twenty one."]), (str(tiny_bark), ["a", "b c"])):
        bark = Bark.from_pretrained(name, device="cpu", dtype="int8")
        assert not [p for p in bark.semantic.model.parameters() if p.ndim == 2 and len(p) > 1024]
        voice = "alba" if name == "nano" else None
        takes = bark.generate_batch(texts, voice, seeds=[1, 2], max_duration_s=0.4)
        again = bark.generate(texts[1], voice, seed=2, max_duration_s=0.4)
        for part in ("semantic", "coarse", "fine"):
            np.testing.assert_array_equal(
                getattr(takes[1].tokens, part), getattr(again.tokens, part)
            )


def test_int8_is_for_a_cpu() -> None:
    assert choose_dtype("int8", "cpu") == torch.int8
    said = message(lambda: choose_dtype("int8", "cuda"), SettingError)
    assert said.startswith("dtype on cuda: got 'int8'; allowed: auto, float32, bfloat16, float16")


def test_fast_is_8_bits_where_they_pay(tiny_bark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a dtype is asked for, with longer windows in Bark's layout; and what a record says of
    the model loads the same again.
    """
    narrow = Bark.from_pretrained(tiny_bark, device="cpu", fast=True)
    assert isinstance(narrow.coarse.model.lm_head, nn.Linear)  # 8 bits would be slower
    monkeypatch.setattr("bark.checkpoints.load.INT8_PAYS", 16)
    monkeypatch.setattr("bark.checkpoints.load.BARK", narrow.layout)  # windows are for Bark's
    bark = Bark.from_pretrained(tiny_bark, device="cpu", fast=True)
    assert isinstance(bark.coarse.model.lm_head, int8.Int8Head)
    again = Bark.from_pretrained(**bark.source)
    assert isinstance(again.coarse.model.lm_head, int8.Int8Head)
    assert again.defaults == bark.defaults
    assert bark.defaults == narrow.defaults.changed({"sliding_window_len": 120})
    exact = Bark.from_pretrained(tiny_bark, device="cpu", dtype="float32", fast=True)
    assert isinstance(exact.coarse.model.lm_head, nn.Linear)
