"""training.quantizer.dataset: pairs survive the disk exactly, damage is named, tokens meet their frames."""

import json
from pathlib import Path

import numpy as np
import pytest

from bark.errors import MissingFileError, SettingError
from tests.pairs import DIM, make_dataset
from training.quantizer.dataset import (
    IGNORED,
    PAIRS,
    DatasetError,
    PreparedDataset,
    align,
    collate,
    read_pair,
    write_pair,
)
from training.quantizer.objective import epoch_batches


def test_a_pair_comes_back_as_it_was(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float16)
    tokens = np.arange(6)
    entry = write_pair(
        tmp_path / "a.safetensors", features, tokens, {"name": "ä/b", "split": "train"}
    )
    again, labels, info = read_pair(tmp_path / "a.safetensors")
    assert np.array_equal(again, features) and np.array_equal(labels, tokens)
    assert (entry.name, entry.frames, entry.tokens, info["digest"]) == ("ä/b", 7, 6, entry.digest)


def test_each_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_pair(path, np.ones((3, 2)), np.arange(3), {"name": "a", "split": "train"})
    whole = path.read_bytes()
    for at in range(len(whole) - 24, len(whole)):  # the arrays lie at the end
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DatasetError, match="cannot read .*a.safetensors"):
            read_pair(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(DatasetError, match="cannot read"):
        read_pair(path)


def test_a_data_set_comes_back_with_the_same_fingerprint(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, 6)
    again = PreparedDataset.load(tmp_path)
    assert again == dataset and again.fingerprint == dataset.fingerprint
    assert sum(len(again.split(name)) for name in ("train", "validation", "test")) == 6
    features, tokens = again.read(again.entries[0])
    assert features.dtype == np.float32 and tokens.dtype == np.int64 and features.shape[1] == DIM


def test_any_changed_pair_changes_the_fingerprint(tmp_path: Path) -> None:
    first = make_dataset(tmp_path / "a", 4, seed=0).fingerprint
    assert make_dataset(tmp_path / "b", 4, seed=0).fingerprint == first
    assert make_dataset(tmp_path / "c", 4, seed=1).fingerprint != first
    assert make_dataset(tmp_path / "d", 3, seed=0).fingerprint != first


def test_what_is_no_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="holds no prepared data set.*hubert.prepare"):
        PreparedDataset.load(tmp_path)
    list_file = make_dataset(tmp_path, 2).folder / "dataset.json"
    good = json.loads(list_file.read_text())
    entry = good["entries"][0]
    for wrong, message in {
        "{": "is not JSON.*Run hubert.prepare again",
        "[" * 100_000: "is not JSON",
        json.dumps(good | {"format_version": 9}): "format version: got 9",
        json.dumps(good | {"vocabulary": 10**12}): "vocabulary; allowed: int <= 1048576",
        json.dumps(good | {"vocabulary": "10"}): "vocabulary: got str; allowed: int",
        json.dumps(good | {"entries": [entry | {"frames": -1}]}): r"entries\[0\].frames",
        json.dumps(good | {"entries": [entry | {"split": "dev"}]}): r"entries\[0\].split",
        json.dumps(good | {"entries": [3]}): r"entries\[0\]: got int",
    }.items():
        list_file.write_text(wrong)
        with pytest.raises(DatasetError, match=message):
            PreparedDataset.load(tmp_path)
    with pytest.raises(SettingError, match="split: got dev; allowed: train, validation, test"):
        make_dataset(tmp_path, 2).split("dev")


def test_a_missing_pair_is_named(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, 2)
    (tmp_path / PAIRS / dataset.entries[0].file).unlink()
    with pytest.raises(DatasetError, match=dataset.entries[0].file):
        dataset.read(dataset.entries[0])


@pytest.mark.parametrize("shift", range(-2, 3))
def test_align_pairs_token_t_with_frame_t_plus_shift(shift: int) -> None:
    for frames, tokens in ((10, 10), (10, 9), (9, 10)):
        features, labels = align(np.arange(frames)[:, None], np.arange(tokens), shift)
        assert len(features) == len(labels) >= 7
        assert np.array_equal(features[:, 0], labels + shift)
        assert labels[0] == max(0, -shift), "trimmed at the end only"


def test_collate_pads_at_the_end() -> None:
    batch = collate([(np.ones((2, 3)), np.array([4, 5])), (np.ones((4, 3)), np.arange(4))])
    assert batch["features"].shape == (2, 4, 3) and batch["lengths"].tolist() == [2, 4]
    assert batch["tokens"][0].tolist() == [4, 5, IGNORED, IGNORED]
    assert batch["features"][0, 2:].abs().sum() == 0


def test_an_epoch_deals_each_pair_once_in_batches_of_like_length(tmp_path: Path) -> None:
    entries = list(make_dataset(tmp_path, 22).entries)
    batches = epoch_batches(entries, 4, [0, 0])
    assert [len(batch) for batch in batches] == [4] * 6
    dealt = [entry.name for batch in batches for entry in batch]
    assert set(dealt) == {entry.name for entry in entries} and len(dealt) == 24
    spread = np.mean(
        [max(e.frames for e in batch) - min(e.frames for e in batch) for batch in batches]
    )
    assert spread < max(e.frames for e in entries) - min(e.frames for e in entries)
    assert batches == epoch_batches(entries, 4, [0, 0]) != epoch_batches(entries, 4, [0, 1])
