"""training.nano.mel_decoder: filled codes, and a decoder that learns from them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="the training extra is not installed")

from bark.codec.mel import MelAutoencoder, MelCodec
from bark.codec.spectra import HOP_LENGTH
from bark.stages.fine import FineStage
from tests.judges import skip_without_judges
from tests.training.nano.test_codec import write_voice
from tests.training.nano.test_decoder import CODEC
from training.engine.trainer import Trainer, TrainerOptions
from training.nano import mel_decoder
from training.nano.decoder import sum_of_entries
from training.nano.mel_decoder import (
    CHUNK,
    FilledPool,
    MelDecoderObjective,
    MelDecoderTraining,
    MelRecipe,
    with_decoder,
)
from training.nano.stages import FINE_LAYOUT
from training.stages.acoustic import new_fine
from training.stages.initial import NetworkSize

RECIPE = MelRecipe(batch=4, frames=32, heard=2)


@pytest.fixture()
def codec() -> MelAutoencoder:
    torch.manual_seed(0)
    codec = MelAutoencoder(CODEC)
    codec.codebooks.normal_(generator=torch.Generator().manual_seed(1)).mul_(0.3)
    return codec


@pytest.fixture()
def work(tmp_path: Path) -> Path:
    """Return a folder with a voice of each side; codes that count the time stand for filled ones."""
    (tmp_path / "filled").mkdir()
    for name, split, pitch in (
        ("flite_a", "train", 150.0),
        ("real_1", "train", 180.0),
        ("held_a", "heldout", 90.0),
    ):
        write_voice(tmp_path, name, split, pitch)
    codes = np.tile(np.arange(CHUNK, dtype=np.int16), (1, 8, 1))
    np.savez(tmp_path / "filled" / "real_1.npz", starts=np.array([16]), codes=codes, fine="")
    return tmp_path


def test_chunks_are_filled_behind_another_part_of_the_recording() -> None:
    random = np.random.default_rng(0)
    books = random.normal(size=(8, 1024, 8)).astype(np.float32)
    stage = FineStage(new_fine(FINE_LAYOUT, NetworkSize(32, 1, 2), books, 0).eval(), FINE_LAYOUT)
    codes = random.integers(0, 1024, (8, 700))
    starts, filled = mel_decoder._fill(stage, codes, seed=3)
    assert starts.tolist() == [0, CHUNK] and filled.shape == (2, 8, CHUNK)
    voice = np.concatenate([codes, codes], axis=1)[:, CHUNK + 350 :][:, :CHUNK]
    source = torch.Generator().manual_seed(4)
    alone = stage.generate(codes[:2, CHUNK : 2 * CHUNK], voice, temperature=0.8, generator=source)
    np.testing.assert_array_equal(filled[1], alone)
    starts, filled = mel_decoder._fill(stage, codes[:, : CHUNK - 1], seed=3)
    assert starts.shape == (0,) and filled.shape == (0, 8, CHUNK)


def test_filled_codes_come_with_the_audio_that_they_are_of(work: Path) -> None:
    with np.load(work / "corpus" / "real_1.npz") as file:
        audio = file["audio"].astype(np.float32) / 32768
    batch = FilledPool(work, RECIPE).batch(np.random.default_rng(0))
    filled = np.flatnonzero((batch["filled"] >= 0).all(2).all(1))
    assert 0 < len(filled) < RECIPE.batch, "some items have filled codes"
    for row in filled:
        assert batch["books"][row] == 8
        first = 16 + int(batch["filled"][row, 0, 0]) - mel_decoder.MARGIN
        expected = audio[first * HOP_LENGTH :][: batch["audio"].shape[1]]
        np.testing.assert_array_equal(batch["audio"][row], expected)


def test_codes_without_filled_ones_are_those_of_the_codec(
    work: Path, codec: MelAutoencoder
) -> None:
    skip_without_judges()
    network = MelDecoderTraining(codec)
    batch = FilledPool(work, RECIPE).batch(np.random.default_rng(0))
    codes, margin = network.codes(batch), mel_decoder.MARGIN
    for row, filled in enumerate(batch["filled"]):
        if int(filled[0, 0]) >= 0:
            assert torch.equal(codes[row], filled)
            continue
        whole = torch.from_numpy(MelCodec(codec).encode(batch["audio"][row].numpy()))
        assert (codes[row] == whole[:, margin:-margin]).float().mean() > 0.95
    some = sum_of_entries(codec, codes, torch.tensor([1, 2, 3, 8]))
    torch.testing.assert_close(some[1, 5], codec.dequantize(codes[1, :2, 5:6])[0])


def test_a_short_run_learns_and_codes_stay(
    work: Path, codec: MelAutoencoder, tmp_path: Path
) -> None:
    skip_without_judges()
    network = MelDecoderTraining(codec)
    kept = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    ears = {name: tensor.clone() for name, tensor in network.embedder.state_dict().items()}
    options = TrainerOptions(
        steps=25, warmup=2, learning_rate=5e-3, optimizer="muon", validate_every=25, log_every=1,
        mixed_precision="no", device="cpu",
    )  # fmt: skip
    objective = MelDecoderObjective(work, RECIPE, validation_batches=1)
    Trainer(network, objective, tmp_path / "run", options).run()
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    rows = [row for row in map(json.loads, text.splitlines()) if row["phase"] == "train"]
    for figure in ("loss", "likeness"):
        losses = [row[figure] for row in rows]
        assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:3]), figure
    for before, now in ((kept, codec), (ears, network.embedder)):
        for name, tensor in now.state_dict().items():
            assert torch.equal(tensor, before[name]), name
    made = with_decoder(network)
    assert made.config.decoder_blocks == 1 + mel_decoder.BLOCKS
    MelCodec(made).save(tmp_path / "made")
    audio = objective.batch(np.random.default_rng(5))["audio"][0].numpy()
    codes = MelCodec(codec).encode(audio)
    np.testing.assert_array_equal(MelCodec(made).encode(audio), codes)
    assert np.isfinite(MelCodec.load(tmp_path / "made").decode(codes)).all()
