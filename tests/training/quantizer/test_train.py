"""hubert.train: it learns, it ends the same however it was run, and what it saves others can read."""

import json
import multiprocessing
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bark.errors import SettingError
from hubert.quantizer.lstm import LSTMQuantizer, read_info
from hubert.quantizer.networks import (
    NETWORKS,
    WIDTHS,
    ContextNetwork,
    QuantizerSizes,
    default_sizes,
    sizes_of,
)
from tests.conftest import ROOT
from tests.pairs import DIM, VOCABULARY, make_dataset
from training.engine.run_folder import read_metrics
from training.quantizer.commands.train import main
from training.quantizer.dataset import IGNORED, DatasetError, PreparedDataset, collate
from training.quantizer.evaluate import evaluate
from training.quantizer.objective import QuantizerObjective
from training.quantizer.train import QuantizerRecipe, build, quantizer_options, train

RECIPE = QuantizerRecipe(version=0, hidden_size=16, batch=4)
FAST = {
    "warmup": 2,
    "validate_every": 10,
    "checkpoint_every": 5,
    "log_every": 5,
    "device": "cpu",
    "learning_rate": 0.01,
}


def weights(quantizer: LSTMQuantizer) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in quantizer.network.state_dict().values()]


@pytest.mark.parametrize("version", sorted(NETWORKS))
def test_eight_pairs_are_learned_by_heart(tmp_path: Path, version: int) -> None:
    dataset = make_dataset(
        tmp_path / "data", 10, splits="train," * 8 + "validation,test", noise=0.1
    )
    recipe = QuantizerRecipe(version=version, hidden_size=32, batch=8)
    quantizer, result, _ = train(
        dataset, tmp_path / "run", recipe, quantizer_options(steps=80, **FAST)
    )
    assert evaluate(quantizer, dataset, "train").top1 > 0.95
    spread = NETWORKS[version].SMOOTHING / VOCABULARY
    target = np.array([1 - spread * (VOCABULARY - 1)] + [spread] * (VOCABULARY - 1) * (spread > 0))
    least = -float(
        (target * np.log(target)).sum()
    )  # no network can do better than the targets' entropy
    losses = [
        row["loss"] - least for row in read_metrics(tmp_path / "run") if row["phase"] == "train"
    ]
    assert (
        losses[-1] < 0.4 * losses[0] and result.step == 80
    )  # what is left out keeps version 2's up


@pytest.mark.parametrize("version", sorted(NETWORKS))
def test_it_learns_in_bfloat16(tmp_path: Path, version: int) -> None:
    dataset = make_dataset(
        tmp_path / "data", 10, splits="train," * 8 + "validation,test", noise=0.1
    )
    recipe = QuantizerRecipe(version=version, hidden_size=16, batch=8)
    options = quantizer_options(steps=20, mixed_precision="bf16", **FAST)
    quantizer, _, _ = train(dataset, tmp_path / "run", recipe, options)
    losses = [row["loss"] for row in read_metrics(tmp_path / "run") if row["phase"] == "train"]
    assert losses[-1] < losses[0]
    assert {tensor.dtype for tensor in quantizer.network.state_dict().values()} == {torch.float32}


@torch.no_grad()
def test_the_batched_loss_is_the_mean_over_the_single_ones(tmp_path: Path) -> None:
    objective = QuantizerObjective(make_dataset(tmp_path), 5)
    for version, kind in NETWORKS.items():
        network = kind(QuantizerSizes(DIM, 8, VOCABULARY, version)).eval()
        entries = objective.train[:5]
        together, figures = objective.loss(network, objective.load(entries), 0, torch.Generator())
        single = [
            objective.loss(network, objective.load([entry]), 0, torch.Generator())
            for entry in entries
        ]
        counts = np.array([f["weight"] for _, f in single])
        assert float(together) == pytest.approx(
            float(np.average([float(x) for x, _ in single], weights=counts)), rel=1e-5
        )
        for name in ("top1", "top5"):
            assert figures[name] == pytest.approx(
                np.average([f[name] for _, f in single], weights=counts)
            )


def test_shares_of_a_batch_average_to_the_whole(tmp_path: Path) -> None:
    objective = QuantizerObjective(make_dataset(tmp_path), 6)
    network = NETWORKS[0](QuantizerSizes(DIM, 8, VOCABULARY)).train()
    batch = objective.load(objective.train[:6])
    whole, _ = objective.loss(network, batch, 0, torch.Generator())
    parts = [
        objective.loss(network, {n: t[r::2] for n, t in batch.items()}, 0, torch.Generator())[
            0
        ].detach()
        for r in (0, 1)
    ]
    assert float(whole.detach()) == pytest.approx(float(sum(parts)) / 2, rel=1e-6)


@pytest.mark.parametrize("version", sorted(NETWORKS))
def test_padding_has_no_influence_on_what_lies_before_it(version: int) -> None:
    torch.manual_seed(1)
    network = NETWORKS[version](QuantizerSizes(DIM, 8, VOCABULARY, version)).eval()
    short, long = np.random.default_rng(0).normal(size=(2, 9, DIM))
    batch = collate([(short[:5], np.zeros(5)), (long, np.zeros(9))])
    assert batch["tokens"][0, 5:].eq(IGNORED).all()
    batch["features"][0, 5:] = 1e3
    together = network(batch["features"], batch["lengths"])
    alone = network(torch.tensor(short[:5], dtype=torch.float32))
    assert torch.allclose(together[0, :5], alone, atol=1e-5)
    assert torch.allclose(together[1], network(torch.tensor(long, dtype=torch.float32)), atol=1e-5)


def test_version_2_hears_both_sides_and_stays_under_thirty_million() -> None:
    for sizes in (default_sizes(768, 10_000, 2), QuantizerSizes(version=2)):
        network = ContextNetwork(sizes)
        assert sum(parameter.numel() for parameter in network.parameters()) < 30_000_000
    torch.manual_seed(0)
    small = ContextNetwork(QuantizerSizes(DIM, 8, VOCABULARY, 2)).eval().double()
    features = torch.randn(20, DIM).double()
    for at in (0, 19):
        other = features.clone()
        other[at] = torch.randn(DIM)
        assert (small(features) != small(other)).any(dim=1).all(), "every frame hears every other"


@pytest.mark.parametrize("neck", [0, 6])
def test_version_2_convolves_as_torch_does_and_is_read_with_and_without_a_neck(
    tmp_path: Path, neck: int
) -> None:
    torch.manual_seed(0)
    network = ContextNetwork(QuantizerSizes(DIM, 8, VOCABULARY, 2, neck)).eval()
    features = torch.randn(2, 9, DIM)
    frames = torch.ones(2, 9, dtype=torch.bool)
    frames[0, 4:] = False
    features = features * frames[..., None]
    expected = network.conv(features.transpose(1, 2)).transpose(1, 2)[frames]
    torch.testing.assert_close(network._convolved(features, frames), expected)
    quantizer = LSTMQuantizer(network)
    path = quantizer.save(tmp_path / "q.pth")
    again = LSTMQuantizer.load(path)
    assert again.sizes == quantizer.sizes and ("neck_size" in read_info(path)) == bool(neck)
    assert np.array_equal(again.logits(features[1].numpy()), quantizer.logits(features[1].numpy()))


def test_each_version_has_a_width_of_its_own(tmp_path: Path) -> None:
    assert default_sizes(768, 10_000, 0) == QuantizerSizes()
    assert default_sizes(768, 10_000, 2) == QuantizerSizes(768, 384, 10_000, 2, 256)
    assert default_sizes(768, 10_000, 2, 256) == QuantizerSizes(768, 256, 10_000, 2)
    dataset = make_dataset(tmp_path)
    for version, width in WIDTHS.items():
        assert build(dataset, QuantizerRecipe(version), 0).sizes.hidden_size == width


def test_the_run_folder_holds_all_that_is_promised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(tmp_path / "data")
    run = tmp_path / "run"
    command = f"{tmp_path / 'data'} --out {run} --version 2 --hidden-size 16 --steps 20 --validate-every 10 --device cpu"
    assert main([*shlex.split(command), "--language", "pl", "--batch", "4"]) == 0
    told = capsys.readouterr().out
    assert re.search(
        r"test: top 1 [\d.]+%, top 5 [\d.]+% \(always the most frequent token: [\d.]+%\)", told
    )
    names = {path.name for path in run.iterdir()}
    assert {
        "quantizer.pth",
        "quantizer.json",
        "README.md",
        "curves.png",
        "metrics.jsonl",
        "tensorboard",
    } <= names
    card = (run / "README.md").read_text(encoding="utf-8")
    assert (
        '"pl": QuantizerSource(' in card
        and "gitmylo's tools refuse it" in card
        and "made, layer 1" in card
    )
    settings = json.loads((run / "quantizer.json").read_text())
    assert settings["language"] == "pl" and settings["figures"]["test"]["majority"] > 0
    assert LSTMQuantizer.load(run / "quantizer.pth").sizes == QuantizerSizes(DIM, 16, VOCABULARY, 2)
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("version", sorted(NETWORKS))
def test_a_saved_quantizer_gives_the_same_tokens_and_names_its_version(
    tmp_path: Path, version: int
) -> None:
    quantizer = LSTMQuantizer(NETWORKS[version](QuantizerSizes(DIM, 8, VOCABULARY, version)))
    path = quantizer.save(tmp_path / "q.pth")
    again = LSTMQuantizer.load(path)
    features = np.random.default_rng(0).normal(size=(50, DIM)).astype(np.float32)
    assert np.array_equal(quantizer(features), again(features)) and again.sizes == quantizer.sizes
    assert read_info(path)["version"] == version == sizes_of(again.network.state_dict()).version


def test_trained_versions_0_and_1_lie_as_gitmylos_own_files(tmp_path: Path, golden: Path) -> None:
    dataset = make_dataset(tmp_path / "data", 8, splits="train," * 6 + "validation,test")
    for version in (0, 1):
        recipe = QuantizerRecipe(version=version, hidden_size=8, batch=2)
        quantizer, _, _ = train(
            dataset, tmp_path / f"run{version}", recipe, quantizer_options(steps=2, **FAST)
        )
        mine = torch.load(quantizer.save(tmp_path / "mine.pth"), weights_only=True)
        theirs = torch.load(golden / "E_quantizer" / f"quantizer_v{version}.pth", weights_only=True)
        assert {n: t.dim() for n, t in mine.items()} == {n: t.dim() for n, t in theirs.items()}
        info, known = (
            read_info(tmp_path / "mine.pth"),
            read_info(golden / "E_quantizer" / f"quantizer_v{version}.pth"),
        )
        assert info.keys() == known.keys() and info["version"] == version


def test_training_goes_on_from_a_published_quantizer(tmp_path: Path, golden: Path) -> None:
    generator = np.random.default_rng(0)
    from training.quantizer.dataset import PAIRS, pair_file, write_pair

    start = LSTMQuantizer.load(golden / "E_quantizer" / "quantizer_v1.pth")
    entries = []
    for number, split in enumerate(["train", "train", "validation", "test"]):
        features = generator.normal(size=(40, 48)).astype(np.float16)
        info = {"name": str(number), "split": split}
        entries.append(
            write_pair(
                tmp_path / PAIRS / pair_file(str(number)),
                features,
                start(features.astype(np.float32)),
                info,
            )
        )
    dataset = PreparedDataset(tmp_path, {"hubert": "tiny", "layer": 2}, 48, 32, tuple(entries))
    recipe = QuantizerRecipe(init=golden / "E_quantizer" / "quantizer_v1.pth", batch=2)
    quantizer, _, _ = train(
        dataset, tmp_path / "run", recipe, quantizer_options(steps=1, warmup=100, device="cpu")
    )
    assert quantizer.sizes == start.sizes and evaluate(quantizer, dataset).top1 > 0.9
    with pytest.raises(SettingError, match="feature width does not fit .*got 48; allowed: 8"):
        train(
            make_dataset(tmp_path / "other"), tmp_path / "run2", recipe, quantizer_options(steps=1)
        )


def test_another_start_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data")
    quantizer, _, _ = train(dataset, tmp_path / "run", RECIPE, quantizer_options(steps=1, **FAST))
    start = quantizer.save(tmp_path / "start.pth")
    with pytest.raises(SettingError, match="belongs to another run: got start was"):
        train(
            dataset,
            tmp_path / "run",
            replace(RECIPE, init=start),
            quantizer_options(steps=1, **FAST),
        )


def _train_slowly(dataset: PreparedDataset, out: Path) -> None:
    torch.set_num_threads(1)
    train(dataset, out, RECIPE, quantizer_options(steps=60, **FAST))


def test_killed_at_ten_random_moments_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data", 12)
    torch.set_num_threads(1)
    options = quantizer_options(steps=60, **FAST)
    whole = weights(train(dataset, tmp_path / "whole", RECIPE, options)[0])
    generator = np.random.default_rng(11)
    context = multiprocessing.get_context("fork")
    for _ in range(10):
        job = context.Process(target=_train_slowly, args=(dataset, tmp_path / "killed"))
        job.start()
        time.sleep(float(generator.uniform(0.05, 0.4)))
        os.kill(job.pid or 0, signal.SIGKILL)
        job.join()
    assert weights(train(dataset, tmp_path / "killed", RECIPE, options)[0]) == whole


ARGUMENTS = (
    "--version 0 --hidden-size 16 --batch 8 --steps 60 --validate-every 20 --warmup 5 --device cpu"
)


def _train_as(rank: int, port: int, data: Path, out: Path) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    sys.exit(main([str(data), "--out", str(out), *shlex.split(ARGUMENTS)]))


def assert_same_curve(first: Path, second: Path) -> None:
    one, two = read_metrics(first), read_metrics(second)
    assert [(row["phase"], row["step"]) for row in one] == [
        (row["phase"], row["step"]) for row in two
    ]
    assert len(one) >= 5
    for a, b in zip(one, two, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=0.01)


def test_two_processes_follow_the_curve_of_one(tmp_path: Path) -> None:
    from accelerate.state import AcceleratorState, GradientState

    torch.set_num_threads(1)
    make_dataset(tmp_path / "data", 20)
    assert (
        main([str(tmp_path / "data"), "--out", str(tmp_path / "one"), *shlex.split(ARGUMENTS)]) == 0
    )
    AcceleratorState._reset_state(
        True
    )  # what accelerate keeps of this process, the forked ones must not inherit
    GradientState._reset_state()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    arguments = (port, tmp_path / "data", tmp_path / "two")
    jobs = [context.Process(target=_train_as, args=(rank, *arguments)) for rank in (0, 1)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(100)
        assert job.exitcode == 0
    assert_same_curve(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_accelerate_launch_follows_the_curve_of_one(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", 20)
    launch = f"{sys.executable} -m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1"
    launch += " --mixed_precision no --dynamo_backend no --main_process_port 0 -m"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for command, name in ((f"{sys.executable} -m", "one"), (launch, "two")):
        words = shlex.split(
            f"{command} hubert.train {tmp_path / 'data'} --out {tmp_path / name} {ARGUMENTS}"
        )
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert_same_curve(tmp_path / "one", tmp_path / "two")


def test_wrong_wishes_are_named(
    tmp_path: Path, golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "data")
    make_dataset(tmp_path / "data", 6, splits="train,train,train,validation,test,test")
    for wish, told, code in (
        ("--version 3", "--version: got '3'; allowed: a whole number from 0 to 2", 2),
        ("--batch 0", "--batch: got '0'; allowed: a whole number >= 1", 2),
        ("--language xx", "--language: got 'xx'; allowed: en, de,", 2),
        (f"--init {golden / 'D_hubert' / 'hubert_tiny.pt'}", "is a HuBERT, not a quantizer", 1),
        (f"--init {tmp_path / 'absent.pth'}", "no file", 2),
        (f"--init {golden / 'E_quantizer' / 'quantizer_v0.pth'}", "feature width does not fit", 2),
    ):
        assert (
            main([data, "--out", str(tmp_path / "run"), "--device", "cpu", *shlex.split(wish)])
            == code
        )
        assert told in capsys.readouterr().err
    for wrong, told in (
        ({"version": 3}, "quantizer version: got 3; allowed: 0, 1, 2"),
        ({"batch": 0}, "batch: got 0; allowed: 1 or more"),
        ({"language": "xx"}, "Bark does not speak this language: got xx"),
    ):
        with pytest.raises(SettingError, match=told):
            QuantizerRecipe(**wrong)  # type: ignore[arg-type]
    assert main([str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "holds no prepared data set" in capsys.readouterr().err
    only = make_dataset(tmp_path / "only", 2, splits="train,train")
    with pytest.raises(DatasetError, match="has no validation pairs.*--validation"):
        QuantizerObjective(only, 2)
    assert main(["--help"]) == 0
    assert "gitmylo's tools refuse its file" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "what, told",
    [
        ("QuantizerObjective.loss", "a step does not fit the memory: got --batch 4. Lower it"),
        ("Datastore.of", "the datastore does not fit the memory: got --datastore 100000. Lower it"),
    ],
)
def test_too_little_memory_names_the_flag_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, told: str
) -> None:
    dataset = make_dataset(tmp_path / "data", 6, splits="train,train,train,validation,test,test")
    recipe, options = QuantizerRecipe(hidden_size=8, batch=4), quantizer_options(steps=1, **FAST)
    faults: list[Exception] = [
        torch.OutOfMemoryError("out of memory"),
        RuntimeError("another fault"),
    ]

    def exhausted(*_: object, **__: object) -> None:
        raise faults.pop(0)

    monkeypatch.setattr(f"training.quantizer.train.{what}", exhausted)
    with pytest.raises(SettingError, match=told):
        train(dataset, tmp_path / "run", recipe, options)
    with pytest.raises(RuntimeError, match="^another fault$"):
        train(dataset, tmp_path / "run", recipe, options)
