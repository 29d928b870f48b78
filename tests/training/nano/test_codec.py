"""training.nano.codec: losses that mean what they say, codebooks that move, and a short run that learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="the training extra is not installed")

from bark.codec.mel import MelAutoencoder, MelCodec, MelCodecConfig
from bark.errors import MissingFileError
from tests.judges import skip_without_judges
from training.engine.trainer import Trainer, TrainerOptions
from training.nano.codec import (
    CodecObjective,
    CodecRecipe,
    CodecTraining,
    SpeechPool,
    envelope_loss,
    level_loss,
    spectral_loss,
)

CONFIG = MelCodecConfig(
    bands=40,
    latent=16,
    encoder_width=32,
    encoder_blocks=1,
    decoder_width=32,
    decoder_blocks=1,
    iterations=4,
)
RECIPE = CodecRecipe(plain_steps=8, batch=4, frames=32, kmeans_batches=10, kmeans_rounds=2, heard=2)


def write_voice(work: Path, name: str, split: str, frequency: float) -> None:
    """Write a voice of the corpus: four seconds of a vowel-like tone in bursts."""
    time = np.arange(96_000) / 24_000
    tone = sum(np.sin(2 * np.pi * frequency * k * time) / k for k in range(1, 12))
    audio = 0.1 * tone * np.sin(2 * np.pi * 3 * time) ** 2
    (work / "corpus").mkdir(exist_ok=True)
    np.savez(
        work / "corpus" / f"{name}.npz",
        audio=(audio * 32767).astype(np.int16), starts=np.array([0, 48_000, 96_000]), texts=np.array(["a", "b"]),
        kinds=np.array(["x", "x"]), roles=np.array(["train", "train"]), phones=np.zeros(200, np.uint8),
        split=np.array(split), recipe=np.array("{}"),
    )  # fmt: skip


@pytest.fixture()
def work(tmp_path: Path) -> Path:
    write_voice(tmp_path, "flite_a", "train", 150.0)
    write_voice(tmp_path, "real_1", "train", 220.0)
    write_voice(tmp_path, "held_a", "heldout", 90.0)
    return tmp_path


@pytest.fixture(scope="module")
def autoencoder() -> MelAutoencoder:
    network = MelAutoencoder(CONFIG)
    network.mean.fill_(-2.0)
    return network


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.randn(2, 32, 40, generator=torch.Generator().manual_seed(0)) + 1.5


def test_equal_frames_cost_nothing(autoencoder: MelAutoencoder, frames: torch.Tensor) -> None:
    for loss in (spectral_loss, envelope_loss, level_loss):
        assert float(loss(autoencoder, frames, frames)) == pytest.approx(0, abs=2e-3)


def test_level_loss_is_the_difference_in_log_energy(
    autoencoder: MelAutoencoder, frames: torch.Tensor
) -> None:
    quieter = frames - 0.5  # log magnitude
    assert float(level_loss(autoencoder, quieter, frames)) == pytest.approx(
        1.0, abs=0.05
    )  # log energy: twice that


def test_envelope_loss_ignores_level_but_not_shape(
    autoencoder: MelAutoencoder, frames: torch.Tensor
) -> None:
    moved = frames.roll(7, dims=1)
    assert float(envelope_loss(autoencoder, frames - 0.5, frames)) < 0.1
    assert float(envelope_loss(autoencoder, moved, frames)) > 0.5


def test_pool_leaves_held_out_voices_alone(work: Path) -> None:
    pool = SpeechPool(work, RECIPE)
    assert [len(part) for part in pool.pools] == [96_000, 96_000]
    crops = pool.crops(np.random.default_rng(0))
    assert crops.shape == (4, 34 * 320) and crops.dtype == torch.float32
    short = SpeechPool(work, CodecRecipe(seconds_per_voice=1.0))
    assert [len(part) for part in short.pools] == [24_000, 24_000]


def test_pool_without_speech_is_an_error(tmp_path: Path) -> None:
    write_voice(tmp_path, "held_a", "heldout", 90.0)
    with pytest.raises(
        MissingFileError, match=r"no training speech found.*Run the corpus step first"
    ):
        SpeechPool(tmp_path, RECIPE)


def test_unused_entries_move_to_points_in_use() -> None:
    skip_without_judges()
    network = CodecTraining(CONFIG).train()
    points = torch.randn(1, 500, 16, generator=torch.Generator().manual_seed(0)) + 5
    network.counts.fill_(0.01)  # all dead
    books = torch.tensor([1])
    before = (network.quantize(points, books, torch.Generator().manual_seed(1)) - points).norm()
    after = (network.quantize(points, books, torch.Generator().manual_seed(1)) - points).norm()
    assert after < 0.2 * before
    network.eval()
    kept = network.autoencoder.codebooks.clone()
    network.quantize(points, books, torch.Generator())
    assert torch.equal(network.autoencoder.codebooks, kept)


def test_a_short_run_learns_and_its_codec_works(work: Path, tmp_path: Path) -> None:
    skip_without_judges()
    objective = CodecObjective(SpeechPool(work, RECIPE), RECIPE, validation_batches=1)
    network = CodecTraining(CONFIG)
    options = TrainerOptions(
        steps=40, warmup=2, learning_rate=5e-3, betas=(0.8, 0.98), validate_every=40, log_every=1,
        mixed_precision="no", device="cpu",
    )  # fmt: skip
    Trainer(network, objective, tmp_path / "run", options).run()
    rows = [
        json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    for figure in ("spectral", "likeness"):
        losses = [row[figure] for row in rows if row["phase"] == "train"]
        assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3]), figure
    codec = MelCodec(network.autoencoder)
    audio = objective.pool.crops(np.random.default_rng(5))[0].numpy()
    codes = codec.encode(audio)
    assert codes.shape == (8, 34) and len(np.unique(codes[0])) > 4
    assert np.isfinite(codec.decode(codes)).all()
