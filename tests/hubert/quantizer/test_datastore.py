"""The datastore of version 2: neighbours by the definition, votes beside the network, files, and when it is kept."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bark.errors import CheckpointError
from hubert.quantizer.datastore import Datastore, Pair
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import ContextNetwork, QuantizerSizes
from tests.pairs import DIM, VOCABULARY, make_dataset
from training.quantizer.evaluate import evaluate
from training.quantizer.train import QuantizerRecipe, quantizer_options, train

REACH = Datastore.CONTEXT


def some_pairs(count: int, seed: int = 0, width: int = DIM) -> list[Pair]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 20, count)
    return [
        (
            generator.normal(1, 2, size=(length, width)).astype(np.float32),
            generator.integers(0, VOCABULARY, length),
        )
        for length in lengths
    ]


def with_store(seed: int = 0) -> LSTMQuantizer:
    torch.manual_seed(seed)
    store = Datastore.of(some_pairs(6), some_pairs(3, 1))
    return LSTMQuantizer(ContextNetwork(QuantizerSizes(DIM, 8, VOCABULARY, 2)), store)


def by_hand(
    store: Datastore, pairs: list[Pair], features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compare each frame's surroundings with those of each stored one: distances (S, N) and tokens (N,)."""

    def surroundings(part: np.ndarray, rounded: bool) -> np.ndarray:
        narrow = (torch.from_numpy(part) - store.mean) @ store.projection
        narrow = narrow.half().float() if rounded else narrow
        padded = np.pad(narrow.numpy(), ((REACH, REACH), (0, 0)))
        weights = np.sqrt(1 - np.abs(np.arange(-REACH, REACH + 1)) / (REACH + 1))[:, None]
        return np.stack([padded[at : at + 2 * REACH + 1] * weights for at in range(len(part))])

    stored = np.concatenate([surroundings(part, True) for part, _ in pairs])
    gaps = surroundings(features, False)[:, None] - stored[None]
    return np.square(gaps).sum((2, 3)), np.concatenate([tokens for _, tokens in pairs])


def test_neighbours_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Datastore, "CHUNK", 5)
    monkeypatch.setattr(Datastore, "NEIGHBOURS", 7)
    pairs = some_pairs(8)
    store = Datastore.of(pairs, some_pairs(2, 1))
    assert len(store) == sum(len(tokens) for _, tokens in pairs)
    features = some_pairs(1, 2)[0][0]
    wanted, tokens = by_hand(store, pairs, features)
    distances, named = store.nearest(torch.from_numpy(features))
    nearest = wanted.argsort(axis=1)[:, :7]
    np.testing.assert_allclose(distances.numpy(), np.take_along_axis(wanted, nearest, 1), rtol=1e-3)
    assert np.array_equal(named.numpy(), tokens[nearest])


def test_what_is_stored_is_white_and_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Datastore, "SHRINKAGE", 0.0)
    pairs = some_pairs(40)
    store = Datastore.of(pairs, pairs[:2])
    frames = store.frames[store.tokens >= 0].float()
    torch.testing.assert_close(frames.mean(0), torch.zeros(DIM), atol=0.01, rtol=0)
    torch.testing.assert_close(frames.t() @ frames / len(frames), torch.eye(DIM), atol=0.01, rtol=0)
    monkeypatch.setattr(Datastore, "WIDTH", 3)
    assert Datastore.of(pairs, pairs[:2]).frames.shape == (len(store.frames), 3)


def test_the_votes_are_added_to_the_network() -> None:
    quantizer = with_store()
    features = some_pairs(1, 3)[0][0]
    alone = LSTMQuantizer(quantizer.network).logits(features)
    store = quantizer.datastore
    assert store is not None
    distances, tokens = (found.numpy() for found in store.nearest(torch.from_numpy(features)))
    votes = np.exp(-(distances - distances.min(1, keepdims=True)) / float(store.bandwidth))
    shares = np.full_like(alone, store.LEAST)
    for row in range(len(shares)):
        np.add.at(shares[row], tokens[row], votes[row] / votes[row].sum())
    wanted = torch.from_numpy(alone).log_softmax(1).numpy() + store.SHARE * np.log(shares)
    np.testing.assert_allclose(quantizer.logits(features), wanted, atol=1e-4)
    both = quantizer.logits(np.stack([features, features[::-1]]))
    np.testing.assert_allclose(both[0], wanted, atol=1e-4)
    assert np.array_equal(quantizer(np.stack([features, features]))[1], quantizer(features))


def test_a_frame_that_is_known_gets_its_own_token() -> None:
    pairs = some_pairs(6)
    store = Datastore.of(pairs, some_pairs(3, 1))
    for features, tokens in pairs:
        found = store(torch.from_numpy(features), torch.zeros(len(features), VOCABULARY))
        assert np.array_equal(found.argmax(1).numpy(), tokens)


def test_a_file_keeps_it(tmp_path: Path) -> None:
    quantizer = with_store()
    again = LSTMQuantizer.load(quantizer.save(tmp_path / "q.pth"))
    features = some_pairs(1, 4)[0][0]
    assert np.array_equal(again.logits(features), quantizer.logits(features))
    assert again.datastore is not None and len(again.datastore) == len(quantizer.datastore or ())
    assert again.sizes == quantizer.sizes


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("frames", torch.zeros(3, 2)), ("tokens", torch.zeros(4)), ("bandwidth", torch.tensor(0.0)),
        ("bandwidth", torch.zeros(2)), ("mean", torch.zeros(DIM + 1)), ("projection", torch.zeros(DIM)),
        ("bandwidth", torch.tensor(float("nan"))), ("tokens", None), ("more", torch.zeros(1)),
        ("vocabulary", None),
    ],
)  # fmt: skip
def test_a_store_that_does_not_fit_is_refused(
    tmp_path: Path, name: str, wrong: torch.Tensor | None
) -> None:
    path = with_store().save(tmp_path / "q.pth")
    state = torch.load(path, weights_only=True)
    if name == "vocabulary":
        state["datastore.tokens"][REACH] = VOCABULARY
    elif wrong is None:
        del state[f"datastore.{name}"]
    else:
        state[f"datastore.{name}"] = wrong
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="does not fit an LSTM quantizer"):
        LSTMQuantizer.load(path)


@pytest.mark.parametrize("frames, kept", [(0, False), (70, True), (100_000, True)])
def test_training_keeps_it_where_it_helps(tmp_path: Path, frames: int, kept: bool) -> None:
    dataset = make_dataset(
        tmp_path / "data", 12, splits="train," * 8 + "validation,validation,test,test"
    )
    recipe = QuantizerRecipe(hidden_size=8, batch=4, datastore=frames)
    options = quantizer_options(
        steps=1, warmup=1, device="cpu"
    )  # it knows nothing yet: any help is welcome
    quantizer, _, _ = train(dataset, tmp_path / f"run{frames}", recipe, options)
    assert (quantizer.datastore is not None) == kept
    alone = LSTMQuantizer(quantizer.network)
    gain = evaluate(quantizer, dataset, "test").top1 - evaluate(alone, dataset, "test").top1
    assert gain > 0.1 if frames else gain == 0
    there = sum(len(dataset.read(entry)[1]) for entry in dataset.split("train"))
    assert len(quantizer.datastore or ()) == min(frames, there)


def test_training_leaves_it_out_where_it_does_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Datastore, "SHARE", -9.0)
    dataset = make_dataset(
        tmp_path / "data", 12, splits="train," * 8 + "validation,validation,test,test"
    )
    options = quantizer_options(steps=40, warmup=1, learning_rate=0.01, device="cpu")
    quantizer, _, _ = train(
        dataset, tmp_path / "run", QuantizerRecipe(hidden_size=16, batch=4), options
    )
    assert quantizer.datastore is None
