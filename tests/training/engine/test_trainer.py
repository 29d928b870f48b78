"""training.engine.trainer: a run that is killed, poisoned or crowded ends as one that was left alone."""

import io
import json
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bark.errors import CheckpointError, SettingError, StorageError
from bark.stages.gpt import GPT, GPTConfig
from training.engine.blend import blend
from training.engine.optimizers import Muon, make_optimizers, orthogonalised
from training.engine.progress import Progress
from training.engine.run_folder import (
    BEST,
    LOCK,
    checkpoints,
    load_tensors,
    locked,
    read_metrics,
    save_tensors,
)
from training.engine.trainer import Trainer, TrainerOptions, learning_rate

OPTIONS = TrainerOptions(
    steps=30,
    warmup=3,
    validate_every=6,
    checkpoint_every=4,
    log_every=5,
    mixed_precision="no",
    device="cpu",
)


class Line:
    """Fit y = sum(x); can be told to give a poisoned batch, or to be slow."""

    def __init__(self, poison: int | None = None, pause: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(7)
        self.x = torch.randn(64, 4, generator=generator)
        self.poison, self.pause, self.step = poison, pause, 0

    def begin_step(self, network: Any, step: int, seed: int) -> None:
        self.step = step

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        time.sleep(self.pause)
        x = self.x[generator.integers(0, 64, 8)]
        return {
            "x": x,
            "y": x.sum(1, keepdim=True) + (torch.nan if self.step == self.poison else 0),
        }

    def validation(self) -> Iterator[dict[str, Tensor]]:
        yield {"x": self.x, "y": self.x.sum(1, keepdim=True)}

    def loss(
        self, network: Any, batch: dict[str, Tensor], step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        loss = (network(batch["x"]) - batch["y"]).pow(2).mean()
        return loss, {"double": 2 * float(loss.detach())}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 1))


def weights(net: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in net.state_dict().values()]


MUON = TrainerOptions(**(vars(OPTIONS) | {"optimizer": "muon"}))


def run(
    folder: Path, objective: Line | None = None, options: TrainerOptions = OPTIONS, **more: Any
) -> nn.Module:
    net = network()
    Trainer(net, objective or Line(), folder, options, **more).run()
    return net


def _run_slowly(folder: Path, options: TrainerOptions) -> None:
    torch.set_num_threads(1)
    run(folder, Line(pause=0.01), options)


def test_the_loss_falls_and_the_records_say_so(tmp_path: Path) -> None:
    run(tmp_path, options=TrainerOptions(**(vars(OPTIONS) | {"steps": 200, "learning_rate": 0.02})))
    rows = read_metrics(tmp_path)
    losses = [row["loss"] for row in rows if row["phase"] == "validation"]
    assert losses[-1] < 0.2 * losses[0]
    assert all(row["double"] == pytest.approx(2 * row["loss"], abs=1e-5) for row in rows)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "checkpoint-0000196.safetensors",
        "checkpoint-0000200.safetensors",
    ]
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("options", [OPTIONS, MUON], ids=["adamw", "muon"])
def test_killed_at_ten_random_moments_it_ends_with_the_same_bits(
    tmp_path: Path, options: TrainerOptions
) -> None:
    whole = weights(run(tmp_path / "whole", options=options))
    generator = np.random.default_rng(3)
    context = multiprocessing.get_context("fork")
    folder = tmp_path / "killed"
    steps = set()
    for _ in range(10):
        job = context.Process(target=_run_slowly, args=(folder, options))
        job.start()
        time.sleep(float(generator.uniform(0.05, 0.25)))
        os.kill(job.pid or 0, signal.SIGKILL)
        job.join()
        steps.add(
            checkpoints(folder)[-1].name if folder.is_dir() and checkpoints(folder) else "none"
        )
    assert weights(run(folder, options=options)) == whole
    first, second = (
        load_tensors(tmp_path / name / "best.safetensors") for name in ("whole", "killed")
    )
    assert (
        all(torch.equal(first[0][name], second[0][name]) for name in first[0])
        and first[1] == second[1]
    )
    kept = [row for row in read_metrics(folder) if row["phase"] == "validation"]
    assert kept == [row for row in read_metrics(tmp_path / "whole") if row["phase"] == "validation"]


def test_a_short_run_that_is_killed_goes_on_by_the_clock(tmp_path: Path) -> None:
    """100 steps and a checkpoint every 250: before, a kill before the end began it anew."""
    changes = {"steps": 100, "checkpoint_every": 250, "checkpoint_seconds": 0.05}
    options = TrainerOptions(**(vars(OPTIONS) | changes))
    whole = weights(run(tmp_path / "whole", options=options))
    folder = tmp_path / "killed"
    job = multiprocessing.get_context("fork").Process(target=_run_slowly, args=(folder, options))
    job.start()
    for _ in range(1000):
        if folder.is_dir() and checkpoints(folder):
            break
        time.sleep(0.01)
    os.kill(job.pid or 0, signal.SIGKILL)
    job.join()
    assert 0 < load_tensors(checkpoints(folder)[-1])[1]["step"] < 100
    assert weights(run(folder, options=options)) == whole


def test_checkpoints_by_the_clock_take_a_small_share_of_the_time(tmp_path: Path) -> None:
    trainer = Trainer(network(), Line(), tmp_path, OPTIONS)
    now = time.monotonic()
    for ago, took, due in ((31, 0.1, True), (29, 0.1, False), (100, 10, False), (201, 10, True)):
        trainer.saved_at, trainer.saving = now - ago, took
        assert trainer._is_due() is due


def test_progress_is_shown_only_where_it_is_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "silent")
    assert capfd.readouterr() == ("", "")
    stream = io.StringIO()
    shown = Progress(stream, every=0.0)
    run(tmp_path / "shown", progress=shown, what="fitting")
    lines = stream.getvalue().splitlines()
    validations = [line for line in lines if line.startswith("step ")]
    assert [line.split(":")[0] for line in validations] == [
        f"step {step} of 30" for step in (6, 12, 18, 24, 30)
    ]
    assert any(line.startswith("fitting: 7 of 30 steps, ") for line in lines)
    lowest = min(float(line.split("loss ")[1].split()[0]) for line in validations)
    best = validations[-1].split("(best ")[-1].split(",")[0]
    assert best == f"{lowest:.3f}" or "the best so far" in validations[-1]


def test_a_run_goes_on_after_more_steps_are_asked_for(tmp_path: Path) -> None:
    run(tmp_path)
    net = network()
    trainer = Trainer(net, Line(), tmp_path, TrainerOptions(**(vars(OPTIONS) | {"steps": 40})))
    assert trainer.step == 30
    assert trainer.run().step == 40


def test_a_loss_that_is_no_number_stops_it_with_the_last_good_weights(tmp_path: Path) -> None:
    good = weights(
        run(tmp_path / "good", options=TrainerOptions(**(vars(OPTIONS) | {"steps": 30})))
    )
    with pytest.raises(
        CheckpointError, match=r"training at step 17: got loss nan.*Lower the learning rate"
    ):
        run(tmp_path / "bad", Line(poison=17))
    tensors, state = load_tensors(checkpoints(tmp_path / "bad")[-1])
    assert state["step"] == 16 and all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    best, _ = load_tensors(tmp_path / "bad" / "best.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in best.values())
    assert weights(run(tmp_path / "bad")) == good, "with the poison gone it goes on exactly"


def test_after_divergence_a_lower_rate_helps_in_the_same_folder(tmp_path: Path) -> None:
    wild = TrainerOptions(
        **(vars(OPTIONS) | {"learning_rate": 1e30, "warmup": 0, "checkpoint_every": 100})
    )
    for _ in range(2):
        with pytest.raises(CheckpointError, match="it goes on from the start"):
            run(tmp_path, options=wild)
    assert all(np.isfinite(np.frombuffer(b"".join(weights(run(tmp_path))), np.float32)))


def test_any_seed_that_the_flag_takes(tmp_path: Path) -> None:
    for seed in (20261126024300, 2**63 - 1):
        run(
            tmp_path / str(seed),
            options=TrainerOptions(**(vars(OPTIONS) | {"steps": 2, "seed": seed})),
        )


def test_processes_that_would_go_on_from_different_steps_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "gather", lambda self, steps: torch.cat([steps, steps + 10]))
    with pytest.raises(
        SettingError, match="same run folder: got they would go on from steps 0, 10.*shared disk"
    ):
        run(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = weights(run(tmp_path))
    newest = checkpoints(tmp_path)[-1]
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[-3] ^= 4
    newest.write_bytes(
        bytes(data if damage == "flip" else data[: len(data) // 2] if damage == "cut" else b"")
    )
    net = network()
    trainer = Trainer(net, Line(), tmp_path, OPTIONS)
    assert (
        trainer.step == 28 and newest.name in caplog.text and "trying the one before" in caplog.text
    )
    trainer.run()
    assert weights(net) == whole


def _hold(folder: Path, ready: Any) -> None:
    with locked(folder):
        ready.set()
        time.sleep(60)


def test_two_trainers_never_share_a_folder_and_a_dead_one_leaves_it_free(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    job = context.Process(target=_hold, args=(tmp_path, ready))
    job.start()
    ready.wait(10)
    with pytest.raises(
        SettingError, match=rf"in use by another training run: got process {job.pid} on .* since"
    ):
        run(tmp_path)
    os.kill(job.pid or 0, signal.SIGKILL)
    job.join()
    assert (tmp_path / LOCK).is_file()
    run(tmp_path)


def test_a_lock_that_is_a_link_is_refused_and_what_it_points_to_stays(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(precious)
    with pytest.raises(StorageError, match=f"cannot write .*{LOCK}"):
        run(tmp_path / "run")
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 10_000, "run is not JSON"),
        ('{"step": -1}', "run: step; allowed: int >= 0"),
        ('{"step": 1e300}', "run: step: got float; allowed: int"),
        ('{"fingerprint": 3}', "run: fingerprint: got int; allowed: object"),
    ],
)
def test_a_hostile_state_of_a_run_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors", metadata={"run": text})
    with pytest.raises(CheckpointError, match=message):
        load_tensors(tmp_path / "a.safetensors")


def test_other_data_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    run(tmp_path, fingerprint={"data": "aaa"})
    run(tmp_path, fingerprint={"data": "aaa"})
    with pytest.raises(SettingError, match="belongs to another run: got data was aaa, is bbb"):
        run(tmp_path, fingerprint={"data": "bbb"})


def test_on_a_full_disk_it_trains_on_and_says_at_the_end_what_was_not_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = weights(run(tmp_path / "whole"))
    with pytest.raises(CheckpointError):
        run(tmp_path / "full", Line(poison=8))
    before = checkpoints(tmp_path / "full")
    old, ignored = (
        resource.getrlimit(resource.RLIMIT_FSIZE),
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    net = network()
    trainer = Trainer(net, Line(), tmp_path / "full", OPTIONS)
    trainer._report = lambda *_: None  # type: ignore[method-assign]  # TensorBoard writes from a thread of its own
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, old[1]))
    try:
        with pytest.raises(StorageError, match="cannot write .*checkpoint-0000030"):
            trainer.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "training goes on" in caplog.text and weights(net) == whole
    assert checkpoints(tmp_path / "full") == before, (
        "the old ones are whole, and no stump lies beside them"
    )
    assert weights(run(tmp_path / "full")) == whole


def test_early_stop_keeps_the_best(tmp_path: Path) -> None:
    options = TrainerOptions(
        **(vars(OPTIONS) | {"steps": 200, "learning_rate": 0.0, "patience": 3})
    )
    result = Trainer(network(), Line(), tmp_path, options).run()
    assert (result.early, result.step, result.best_step) == (True, 24, 6)
    assert Trainer(network(), Line(), tmp_path, options).run().step == 24, "stopped is stopped"


def test_a_validation_counts_by_its_weight(tmp_path: Path) -> None:
    class Weighted(Line):
        def validation(self) -> Iterator[dict[str, Tensor]]:
            yield from ({"x": torch.zeros(n, 4), "y": torch.full((n, 1), float(n))} for n in (1, 3))

        def loss(
            self, net: Any, batch: dict[str, Tensor], *rest: Any
        ) -> tuple[Tensor, dict[str, float]]:
            if not net.training:
                return batch["y"].mean(), {"weight": float(len(batch["y"]))}
            return super().loss(net, batch, *rest)

    run(tmp_path, Weighted())
    row = next(row for row in read_metrics(tmp_path) if row["phase"] == "validation")
    assert row["loss"] == pytest.approx((1 * 1 + 3 * 3) / 4) and "weight" not in row


def test_what_a_run_forgot_is_found_between_its_weights(tmp_path: Path) -> None:
    class Between(Line):  # trained towards w = 2, validated at w = 1, begun at w = 0
        def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
            found = super().batch(generator)
            return found | {"y": 2 * found["y"]}

    net = nn.Linear(4, 1, bias=False)
    nn.init.zeros_(net.weight)
    first = {"weight": net.weight.detach().clone()}
    options = replace(OPTIONS, steps=200, learning_rate=0.1, weight_decay=0.0)
    trainer = Trainer(net, Between(), tmp_path, options)
    result = trainer.run()
    last = net.weight.detach().clone()
    blended = blend(trainer, first, result)
    assert blended.best_loss < 0.05 < result.best_loss and torch.equal(net.weight, last)
    best, _ = load_tensors(tmp_path / BEST)
    torch.testing.assert_close(best["weight"], last / 2)
    assert blend(Trainer(net, Between(), tmp_path, options), first, result) == blended  # again


def test_muon_takes_hidden_matrices_and_nothing_else() -> None:
    model = GPT(
        GPTConfig(
            n_layer=1, n_head=1, n_embd=8, block_size=4, input_vocab_size=5, output_vocab_size=6
        )
    )
    adam, muon = make_optimizers(model, "muon", 1e-3, 0.1, (0.9, 0.95))
    names = {id(weight): name for name, weight in model.named_parameters()}
    inside = {names[id(weight)] for group in muon.param_groups for weight in group["params"]}
    linears = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert inside == {f"transformer.h.0.{name}.weight" for name in linears}
    decay = {
        names[id(w)]: group["weight_decay"] for group in adam.param_groups for w in group["params"]
    }
    assert decay.keys() | inside == set(names.values())
    assert decay["transformer.wte.weight"] == decay["lm_head.weight"] == 0.1
    assert decay["transformer.wpe.weight"] == decay["transformer.ln_f.weight"] == 0
    with pytest.raises(SettingError, match="adamw or muon"):
        make_optimizers(model, "sgd", 1e-3, 0.1, (0.9, 0.95))


@pytest.mark.parametrize("exact", [True, False])
def test_muon_walks_the_way_of_torchs_own(exact: bool) -> None:
    """Two weights of each shape, one of them without a gradient in some steps."""
    shapes = [(16, 48), (48, 16), (16, 48), (48, 16)]
    starts, steps = [torch.randn(shape) for shape in shapes], [
        [torch.randn(shape) if (step + index) % 3 else None for index, shape in enumerate(shapes)]
        for step in range(6)
    ]  # fmt: skip
    ours, theirs = ([torch.nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    pair = (
        (ours, Muon(ours, 0.01, 0.1, exact=exact)),
        (
            theirs,
            torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        ),
    )
    for gradients in steps:
        for weights, muon in pair:
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = None if gradient is None else gradient.clone()
            muon.step()
    for mine, torchs, start in zip(ours, theirs, starts, strict=True):
        apart, moved = (mine - torchs).detach().norm(), (torchs - start).detach().norm()
        assert float(apart / moved) < 0.02  # torch's own rounds to bfloat16
    assert pair[0][1].state_dict()["state"][0].keys() == pair[1][1].state_dict()["state"][0].keys()


def test_muon_evaluates_a_closure_with_gradients() -> None:
    weight = torch.nn.Parameter(torch.randn(4, 6))
    muon = Muon([weight], 0.01, 0.1, exact=True)

    def closure() -> torch.Tensor:
        muon.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    losses = [float(muon.step(closure).detach()) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]


def test_a_training_keeps_off_cudnns_attention_and_then_lets_it_be(tmp_path: Path) -> None:
    seen = []

    class Looking(Line):
        def loss(self, net: nn.Module, batch: dict[str, torch.Tensor], *rest: Any) -> Any:
            seen.append(torch.backends.cuda.cudnn_sdp_enabled())
            return super().loss(net, batch, *rest)

    before = torch.backends.cuda.cudnn_sdp_enabled()
    run(tmp_path, Looking())
    assert seen and not any(seen) and torch.backends.cuda.cudnn_sdp_enabled() == before


@pytest.mark.parametrize("shape", [(8, 24), (24, 8)])
def test_orthogonalised_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, dtype=torch.float64) * 100
    found = orthogonalised(matrices, (3.4445, -4.7750, 2.0315), 5)
    sizes = torch.linalg.svdvals(found)
    assert 0.5 < float(sizes.min()) and float(sizes.max()) < 1.4
    torch.testing.assert_close(
        found[:1], orthogonalised(matrices[:1], (3.4445, -4.7750, 2.0315), 5)
    )


def test_the_rate_rises_and_falls() -> None:
    options = TrainerOptions(steps=100, learning_rate=1.0, warmup=10, final_rate=0.1)
    rates = [learning_rate(step, options) for step in range(100)]
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[0] == pytest.approx(0.1) and learning_rate(100, options) == pytest.approx(0.1)


def test_tensors_of_any_type_come_back(tmp_path: Path) -> None:
    tensors = {
        "a": torch.arange(6).reshape(2, 3),
        "b": torch.ones(3, dtype=torch.bfloat16),
        "c": torch.tensor(2.0),
    }
    save_tensors(tmp_path / "x.safetensors", tensors, {"step": 1})
    again, state = load_tensors(tmp_path / "x.safetensors")
    assert state == {"step": 1} and all(torch.equal(again[name], tensors[name]) for name in tensors)
    assert all(again[name].dtype == tensors[name].dtype for name in tensors)


def test_a_row_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1}) + '\n{"step":')
    assert read_metrics(tmp_path) == [{"step": 1}]
