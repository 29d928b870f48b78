"""hubert.evaluate: the figures are what they say, and a quantizer for something else is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bark.errors import BarkError, SettingError
from hubert.quantizer.kmeans import KMeansQuantizer
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import LSTMNetwork, QuantizerSizes
from tests.pairs import DIM, VOCABULARY, make_dataset
from training.quantizer.commands.evaluate import main
from training.quantizer.dataset import DatasetError
from training.quantizer.evaluate import (
    check_fits,
    draw,
    edit_distance,
    evaluate,
    open_quantizer,
    round_trip,
    table,
)

VECTORS = np.random.default_rng(99).normal(size=(VOCABULARY, DIM))


def slow_edit_distance(ours: list[int], theirs: list[int]) -> int:
    row = list(range(len(theirs) + 1))
    for i, a in enumerate(ours, start=1):
        row, before = [i], row
        for j, b in enumerate(theirs, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def test_edit_distance_is_levenshteins() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        a, b = (generator.integers(0, 4, generator.integers(0, 12)) for _ in range(2))
        assert (
            edit_distance(a, b) == slow_edit_distance(a.tolist(), b.tolist()) == edit_distance(b, a)
        )


def test_a_perfect_quantizer_scores_one_and_a_shifted_one_does_not(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, noise=0.01)
    quantizer = KMeansQuantizer(VECTORS)
    result = evaluate(quantizer, dataset)
    assert (result.top1, result.top5, result.edit) == (1.0, 1.0, 0.0)
    assert result.confusion[:, :-1].sum() == np.trace(result.confusion[:, :-1]) == result.tokens
    shifted = evaluate(quantizer, dataset, shift=1)
    assert shifted.top1 < 0.3 and shifted.tokens == result.tokens - result.pairs


def test_figures_agree_with_a_count_by_hand(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, noise=1.5)
    quantizer = KMeansQuantizer(VECTORS)
    pairs = [dataset.read(entry) for entry in dataset.split("test")]
    named = np.concatenate([quantizer(features) for features, _ in pairs])
    truth = np.concatenate([tokens for _, tokens in pairs])
    trained = np.concatenate([dataset.read(entry)[1] for entry in dataset.split("train")])
    result = evaluate(quantizer, dataset)
    assert result.top1 == pytest.approx(np.mean(named == truth)) and 0.3 < result.top1 < 0.99
    assert result.majority == pytest.approx(np.mean(truth == np.bincount(trained).argmax()))
    row, column = 2, 5
    a, b = result.shown[row], result.shown[column]
    assert result.confusion[row, column] == np.sum((truth == a) & (named == b))
    assert result.confusion.sum() == len(truth)


def test_without_training_pairs_the_baseline_is_the_splits_own(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, 4, splits="test,test,test,test")
    tokens = np.concatenate([dataset.read(entry)[1] for entry in dataset.entries])
    result = evaluate(KMeansQuantizer(VECTORS), dataset)
    assert result.majority == np.bincount(tokens).max() / len(tokens)


def test_top_five_are_the_five_likeliest(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    quantizer = LSTMQuantizer(LSTMNetwork(QuantizerSizes(DIM, 6, VOCABULARY)))
    result = evaluate(quantizer, dataset)
    right = [
        np.isin(label, np.argsort(-row)[:5])
        for entry in dataset.split("test")
        for row, label in zip(
            quantizer.logits(dataset.read(entry)[0]), dataset.read(entry)[1], strict=True
        )
    ]
    assert result.top5 == pytest.approx(np.mean(right)) and result.top1 <= result.top5


def test_a_quantizer_for_something_else_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, 3)
    with pytest.raises(SettingError, match=r"feature width does not fit .*: got 9; allowed: 8"):
        check_fits(KMeansQuantizer(np.ones((VOCABULARY, 9))), dataset)
    with pytest.raises(SettingError, match=r"vocabulary does not fit .*: got 13; allowed: 12"):
        check_fits(KMeansQuantizer(np.ones((13, DIM))), dataset)
    empty = replace(
        dataset, entries=tuple(replace(entry, split="train") for entry in dataset.entries)
    )
    with pytest.raises(DatasetError, match="has no test pairs.*--split validation"):
        evaluate(KMeansQuantizer(np.ones((VOCABULARY, DIM))), empty)


def test_a_round_trip_counts_what_was_lost_on_the_way(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, noise=0.01)
    quantizer = KMeansQuantizer(VECTORS)

    def speak(tokens: np.ndarray, seed: int) -> np.ndarray:
        return tokens.astype(np.float32)

    def listen(audio: np.ndarray) -> np.ndarray:
        return VECTORS[audio.astype(int)]

    assert round_trip(quantizer, dataset, 3, speak, listen) == {"pairs": 3, "edit": 0.0}
    lossy = round_trip(quantizer, dataset, 3, speak, lambda audio: listen(audio[:-3]))
    tokens = sum(entry.tokens for entry in dataset.split("test")[:3])
    assert lossy["edit"] == pytest.approx(9 / tokens, abs=1e-4)


def test_table_and_picture_are_written(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, noise=1.0)
    result = evaluate(KMeansQuantizer(VECTORS), dataset)
    text = table(result, {"pairs": 2, "edit": 0.5})
    assert (
        f"| token accuracy, top 1 | {result.top1:.1%} |" in text
        and "round trip (2 pairs) | 0.500" in text
    )
    assert text.count("\n") == 7 + 2 + 1 + 2 + len(result.shown)
    draw(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_reads_a_file_or_a_run_and_writes_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make_dataset(tmp_path / "data")
    run = tmp_path / "run"
    run.mkdir()
    LSTMQuantizer(LSTMNetwork(QuantizerSizes(DIM, 6, VOCABULARY))).save(run / "quantizer.pth")
    (run / "quantizer.json").write_text(json.dumps({"shift": 1}))
    assert (
        open_quantizer(run)[1]
        == open_quantizer(run / "quantizer.pth")[1]
        == {"shift": 1, "encoder": {}}
    )
    assert main([str(run), str(tmp_path / "data"), "--device", "cpu"]) == 0
    assert "token accuracy" in capsys.readouterr().out
    shifted = json.loads((run / "evaluation.json").read_text())
    assert (
        main(
            [str(run / "quantizer.pth"), str(tmp_path / "data"), "--shift", "0", "--device", "cpu"]
        )
        == 0
    )
    assert json.loads((run / "evaluation.json").read_text())["tokens"] > shifted["tokens"]
    (run / "quantizer.json").write_text(json.dumps({"data": "of another time"}))
    assert (
        main([str(run), str(tmp_path / "data"), "--device", "cpu"]) == 0
        and "in both" in caplog.text
    )
    (run / "quantizer.json").write_text(json.dumps({"shift": "1"}))
    assert main([str(run), str(tmp_path / "data")]) == 1
    assert {"evaluation.md", "evaluation.png"} <= {path.name for path in run.iterdir()}
    assert main([str(tmp_path / "absent.pth"), str(tmp_path / "data")]) == 2
    assert main([str(run), str(tmp_path / "absent")]) == 2
    error = capsys.readouterr().err
    assert "no file" in error and "holds no prepared data set" in error
    assert issubclass(DatasetError, BarkError)
