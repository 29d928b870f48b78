"""training.nano.decoder: bands, losses that look below them alone, and a short run that learns."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="the training extra is not installed")

from bark.codec.carrier import CarrierCodec
from bark.codec.decoder import with_decoder
from bark.codec.mel import MelAutoencoder, MelCodec, MelCodecConfig
from bark.codec.vocos import VocosConfig, save_vocos
from bark.errors import MissingFileError
from tests.training.nano.test_codec import write_voice
from training.engine.trainer import Trainer, TrainerOptions
from training.nano.decoder import (
    BandedPool,
    DecoderObjective,
    DecoderRecipe,
    DecoderTraining,
    band_of,
    below_band,
    magnitude_losses,
    narrowed,
)

CODEC = MelCodecConfig(
    bands=40, latent=16, encoder_width=24, encoder_blocks=1, decoder_width=24, decoder_blocks=1
)
SIZES = VocosConfig(codebooks=0, inputs=40, width=32, inner=64, blocks=1, fft_length=1024)
RECIPE = DecoderRecipe(batch=4, frames=32)


def noise(samples: int = 24_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.fixture()
def work(tmp_path: Path) -> Path:
    for name, split, pitch in (
        ("flite_a", "train", 150.0),
        ("real_1", "kept_back", 220.0),
        ("real_2_r", "prompt", 180.0),
        ("real_2", "train", 180.0),
        ("real_2_a", "train", 190.0),
        ("held_a", "heldout", 90.0),
    ):
        write_voice(tmp_path, name, split, pitch)
    return tmp_path


@pytest.fixture()
def network() -> DecoderTraining:
    torch.manual_seed(0)
    codec = MelAutoencoder(CODEC)
    codec.codebooks.normal_(generator=torch.Generator().manual_seed(1)).mul_(0.3)
    codec.mean.fill_(-2.0)
    return DecoderTraining(codec, SIZES)


def test_the_band_is_where_the_content_ends() -> None:
    wide = noise()
    assert band_of((wide * 32767).astype(np.int16)) == pytest.approx(12_000, abs=50)
    narrow = (narrowed(wide) * 32767).astype(np.int16)
    assert band_of(narrow) == pytest.approx(8_000, abs=200)


def test_narrowing_leaves_what_is_below_8_khz() -> None:
    wide = noise()
    before, after = np.fft.rfft(wide), np.fft.rfft(narrowed(wide))
    np.testing.assert_allclose(after[:7_999], before[:7_999], atol=1e-2)
    assert np.abs(after[8_001:]).max() < 1e-3


def test_losses_are_zero_for_equals_and_blind_above_the_band() -> None:
    target = torch.from_numpy(np.stack([noise(), noise(seed=1)]))
    other = torch.from_numpy(np.stack([narrowed(row) for row in target.numpy()]))
    full, half = torch.full((2,), 12_000.0), torch.full((2,), 7_500.0)
    assert all(float(loss) == 0 for loss in magnitude_losses(target, target, full))
    seen, blind = magnitude_losses(other, target, full), magnitude_losses(other, target, half)
    for with_top, without in zip(seen, blind, strict=True):
        assert float(without) < 0.05 * float(with_top)
    judged = below_band(torch.cat([target, other]), torch.tensor([12_000.0, 7_500, 12_000, 7_500]))
    torch.testing.assert_close(judged[0], target[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(judged[1], judged[3], atol=1e-6, rtol=0)  # whatever is on top


def test_pools_share_no_person(work: Path) -> None:
    training, validation = BandedPool(work, RECIPE), BandedPool(work, RECIPE, validation=True)
    assert {kind: len(found) for kind, found in training.voices.items()} == {
        "synthetic": 1,
        "narrow": 2,  # real_2 and its neighbour
    }
    assert {kind: len(found) for kind, found in validation.voices.items()} == {
        "synthetic": 1,  # held_a
        "narrow": 1,  # real_1
    }
    batch = training.batch(np.random.default_rng(0))
    assert batch["audio"].shape == batch["heard"].shape == (4, 48 * 320)
    assert torch.equal(batch["audio"], batch["heard"])  # nothing wide-band here
    again = training.batch(np.random.default_rng(0))
    assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_pool_without_speech_is_an_error(tmp_path: Path) -> None:
    write_voice(tmp_path, "held_a", "heldout", 90.0)
    with pytest.raises(MissingFileError, match="no training speech found"):
        BandedPool(tmp_path, RECIPE)


def test_an_item_is_decoded_from_its_books_alone(network: DecoderTraining) -> None:
    network.eval()
    torch.nn.init.normal_(network.decoder.head.out.weight, std=0.1)
    codes = torch.randint(0, 1024, (3, 8, 12), generator=torch.Generator().manual_seed(2))
    books = torch.tensor([1, 2, 8])
    together = network.decode(codes, books)
    codec = CarrierCodec(MelCodec(network.codec), network.decoder)
    for row, count in enumerate(books.tolist()):
        alone = codec.decode(codes[row, :count].numpy())
        np.testing.assert_allclose(together[row].detach().clamp(-1, 1), alone, atol=1e-4)


def test_a_short_run_learns_and_its_decoder_works(
    work: Path, network: DecoderTraining, tmp_path: Path
) -> None:
    objective = DecoderObjective(work, RECIPE, validation_batches=1)
    kept = {name: tensor.clone() for name, tensor in network.codec.state_dict().items()}
    options = TrainerOptions(
        steps=30, warmup=2, learning_rate=5e-3, betas=(0.8, 0.98), validate_every=30, log_every=1,
        mixed_precision="no", device="cpu",
    )  # fmt: skip
    Trainer(network, objective, tmp_path / "run", options).run()
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    rows = [row for row in map(json.loads, text.splitlines()) if row["phase"] == "train"]
    for figure in ("loss", "magnitude"):
        losses = [row[figure] for row in rows]
        assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:3])
    for name, tensor in network.codec.state_dict().items():
        assert torch.equal(tensor, kept[name]), "the codec's codes must stay what they were"
    save_vocos(network.decoder, tmp_path / "decoder.safetensors")
    codec = with_decoder(MelCodec(network.codec), tmp_path)
    audio = objective.batch(np.random.default_rng(5))["audio"][0].numpy()
    assert np.isfinite(codec.decode(codec.encode(audio))).all()


def test_discriminators_learn_in_the_same_steps_and_go_on(
    work: Path, network: DecoderTraining, tmp_path: Path
) -> None:
    """From step 2 on; a run in two parts ends with the weights of one in one part."""
    recipe = replace(RECIPE, batch=2, adversarial_from=2)
    objective = DecoderObjective(work, recipe, validation_batches=1)
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    judges = [name for name in start if name.startswith("discriminators.")]

    def trained(folder: str, *steps: int) -> dict[str, torch.Tensor]:
        network.load_state_dict(start)
        for count in steps:
            options = TrainerOptions(
                steps=count, warmup=1, learning_rate=1e-3, final_rate=1.0, log_every=1,
                mixed_precision="no", device="cpu",
            )  # fmt: skip
            Trainer(network, objective, tmp_path / folder, options).run()
        return {name: tensor.clone() for name, tensor in network.state_dict().items()}

    before = trained("before", 2)
    assert all(torch.equal(before[name], start[name]) for name in judges)
    whole, parts = trained("whole", 4), trained("parts", 3, 4)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    moved = [name for name in judges if not torch.equal(whole[name], start[name])]
    assert {name for name in judges if name.endswith("weight")} <= set(moved)
    text = (tmp_path / "whole" / "metrics.jsonl").read_text()
    rows = [json.loads(row) for row in text.splitlines()]
    steps = {row["step"] for row in rows if "adversarial" in row}
    assert steps == {3, 4} and not any(
        "adversarial" in row for row in rows if row["phase"] == "validation"
    )
