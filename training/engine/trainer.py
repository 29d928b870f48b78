"""The training loop of every network here.

What is random in a step is drawn from generators seeded by the run's seed and the number of the
step, so a run that was killed goes on from its last checkpoint exactly as if nothing had happened:
that number is the whole state of data order and noise. Several processes draw the same batch and
take a share each, so their number does not change what is learned."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import sdpa_kernel

from bark.errors import CheckpointError, SettingError, StorageError

from .optimizers import make_optimizers
from .options import TrainerOptions as TrainerOptions
from .options import TrainingResult as TrainingResult
from .options import learning_rate as learning_rate
from .precision import ANY_LENGTH, choose_precision, make_accelerator
from .progress import SILENT, Progress, validation_line
from .run_folder import (
    BEST,
    Metrics,
    checkpoints,
    load_network,
    load_tensors,
    locked,
    network_tensors,
    save_tensors,
)

logger = logging.getLogger(__name__)

CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into checkpoints that are written by the clock


class Objective(Protocol):
    """What is trained: where batches come from and what their loss is."""

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        """Draw a training batch; all its randomness comes from `generator`.

        The first axis of each tensor is the batch: with several processes each takes its share
        along it."""

    def validation(self) -> Iterator[dict[str, Tensor]]:
        """Yield the validation batches, the same each time."""

    def begin_step(self, network: Any, step: int, seed: int) -> None:
        """Prepare for a step, before its batch is drawn: set scales, fill codebooks;
        often nothing.
        """

    def loss(
        self, network: Any, batch: dict[str, Tensor], step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch, a mean over its items, and figures to report beside it.

        A figure named ``weight`` says how much a validation batch counts in the mean over all of
        them."""


class _LossModule(nn.Module):
    """Network and objective as one module whose forward is the loss, so that modules may be
    wrapped.
    """

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(
        self, batch: dict[str, Tensor], step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        return self.objective.loss(self.network, batch, step, generator)


class Trainer:
    """Train `network` on `objective`, keeping everything in `folder`.

    Parameters
    ----------
    network : nn.Module Its present weights are the start, unless the folder holds a checkpoint:
        then the run goes on from it.
    objective : Objective
        Batches and losses.
    folder : Path Gets ``checkpoint-<step>.safetensors``, ``best.safetensors`` (weights of the best
        validation), ``metrics.jsonl`` and TensorBoard events.
    options : TrainerOptions
        The same options give the same run; more `steps` lengthen a finished one.
    on_validation : callable, optional
        Called with the number of steps done after each validation, to write samples for instance.
    fingerprint : dict, optional What a resumed run must share with its checkpoint: names and
        values, of the data for instance.
    progress : Progress, optional
        Shows steps and validations, as `what`.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        folder: Path,
        options: TrainerOptions,
        on_validation: Callable[[int], None] | None = None,
        fingerprint: dict[str, str] | None = None,
        progress: Progress = SILENT,
        what: str = "training",
    ) -> None:
        self.network, self.objective, self.options = network, objective, options
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.on_validation, self.fingerprint = on_validation, fingerprint or {}
        self.accelerator = make_accelerator(options.device == "cpu", options.mixed_precision)
        self.progress = progress if self.accelerator.is_main_process else SILENT
        self.what = what
        # Newton and Schulz are content with bfloat16, where the hardware has it
        exact = choose_precision(self.accelerator.device) == "no"
        rates = options.learning_rate, options.weight_decay, options.betas
        self.optimizers = make_optimizers(network, options.optimizer, *rates, exact)
        module = _LossModule(network, objective)
        self.module, *self.prepared = self.accelerator.prepare(module, *self.optimizers)
        self.step = 0
        self.best_loss, self.best_step, self.stale, self.seconds = math.inf, 0, 0, 0.0
        self.not_saved: StorageError | None = None
        self.saved_at, self.saving = time.monotonic(), 0.0  # when, and how long the last one took
        self._resume()
        self._check_same_step()

    def run(self) -> TrainingResult:
        """Train to the last step or to an early stop.

        Raises
        ------
        CheckpointError If the loss or its gradient is no finite number; the last checkpoint from
            before is kept. SettingError If another trainer works in the folder. StorageError If the
            last state could not be written; earlier checkpoints stay."""
        options = self.options
        main = self.accelerator.is_main_process
        with (
            self.locked(),
            sdpa_kernel(ANY_LENGTH),
            self.progress.task(self.what, options.steps, "step", self.step) as advance,
        ):
            writer = Metrics(self.folder, self.step) if main else None
            early, self.saved_at = self._stale(), time.monotonic()
            try:
                while self.step < options.steps and not early:
                    started = time.monotonic()
                    figures = self._train_step()
                    done = self.step = self.step + 1
                    self.seconds += time.monotonic() - started
                    advance(1)
                    last = done == options.steps
                    if done % options.log_every == 0 or last:
                        self._report(writer, "train", figures | {"seconds": self.seconds})
                    if done % options.validate_every == 0 or last:
                        self._report(writer, "validation", self.validate())
                        early = self._stale()
                        if self.on_validation and main:
                            self.on_validation(done)
                    if done % options.checkpoint_every == 0 or last or early or self._is_due():
                        self._save_checkpoint()
            finally:
                if writer:
                    writer.close()
        if self.not_saved:
            raise self.not_saved
        return TrainingResult(self.step, self.best_step, self.best_loss, early)

    def locked(self) -> AbstractContextManager[object]:
        """Keep other trainers out of the folder: SettingError if one works there. The main process
        does it for all.
        """
        return locked(self.folder) if self.accelerator.is_main_process else nullcontext()

    def _is_due(self) -> bool:
        """Tell whether the last checkpoint was written so long ago that a kill would cost much."""
        pause = max(self.options.checkpoint_seconds, self.saving / CHECKPOINT_SHARE)
        return time.monotonic() - self.saved_at >= pause

    def _train_step(self) -> dict[str, float]:
        options, step = self.options, self.step
        self.network.train()
        self.objective.begin_step(self.network, step, options.seed)
        seed = options.seed * 1_000_003
        torch.manual_seed((seed + step * 1_009 + self.accelerator.process_index) % 2**63)  # dropout
        batch = self._share(self.objective.batch(np.random.default_rng([options.seed, step, 0])))
        rate = learning_rate(step, options)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        generator = torch.Generator().manual_seed((seed + step) % 2**63)
        loss, figures = self.module(batch, step, generator)
        self.network.zero_grad()
        self.accelerator.backward(loss)
        norm = float(self.accelerator.clip_grad_norm_(self.network.parameters(), options.clip))
        value = float(loss.detach())
        # Gradients are summed over processes by now, so all of them stop here together. The scaler
        # of float16 lives with an infinite gradient by design: it skips the step and halves its
        # scale.
        if not math.isfinite(value) or not (math.isfinite(norm) or self.accelerator.scaler):
            raise CheckpointError(
                f"training at step {step}",
                got=f"loss {value}, gradient {norm}",
                allowed="finite numbers",
                fix=f"Lower the learning rate and run again: it goes on from {self._last_good()}",
            )
        for optimizer in self.prepared:
            optimizer.step()
        return {"loss": value, "rate": rate, "gradient": norm} | figures

    def _last_good(self) -> str:
        kept = checkpoints(self.folder)
        return str(kept[-1]) if kept else "the start, since no checkpoint was written yet"

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the mean loss and figures over the validation batches; keep weights better than
        any before as ``best.safetensors``.
        """
        self.network.eval()
        module = self.accelerator.unwrap_model(self.module)
        totals: dict[str, float] = {"weight": 0.0}
        for number, batch in enumerate(self.objective.validation(), start=1):
            generator = torch.Generator().manual_seed(number)
            loss, figures = module(self._to_device(batch), self.options.steps, generator)
            weight = figures.get("weight", 1.0)
            totals["weight"] += weight
            for name, value in ({"loss": float(loss)} | figures).items():
                if name != "weight":
                    totals[name] = totals.get(name, 0.0) + value * weight
        weight = totals.pop("weight")
        means = {name: value / weight for name, value in totals.items()}
        self.stale += 1
        if means.get("loss", math.inf) < self.best_loss:
            self.best_loss, self.best_step, self.stale = means["loss"], self.step, 0
            state = {"step": self.step, "loss": self.best_loss, "fingerprint": self.fingerprint}
            self._save(BEST, network_tensors(self.network), state)
        return means

    def _report(self, writer: Metrics | None, phase: str, figures: dict[str, float]) -> None:
        """Write the mean of each figure over all processes."""
        means = torch.tensor(
            list(figures.values()), dtype=torch.float32, device=self.accelerator.device
        )
        means = self.accelerator.reduce(means, "mean")
        if writer:
            named = dict(zip(figures, means.tolist(), strict=True))
            named.pop("weight", None)
            writer.write(phase, self.step, named)
            if phase == "validation":
                best = self.best_loss, self.best_step
                told = validation_line(self.step, self.options.steps, named, *best)
                self.progress.line(told)

    def _stale(self) -> bool:
        return self.options.patience is not None and self.stale >= self.options.patience

    def _share(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return this process's items of a batch, on its device."""
        count, rank = self.accelerator.num_processes, self.accelerator.process_index
        if count > 1 and (odd := [len(tensor) for tensor in batch.values() if len(tensor) % count]):
            raise SettingError("items of a batch", odd[0], f"a multiple of the {count} processes")
        return self._to_device({name: tensor[rank::count] for name, tensor in batch.items()})

    def _to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.accelerator.device) for name, tensor in batch.items()}

    def _save(self, name: str, tensors: dict[str, Tensor], state: dict[str, Any]) -> bool:
        """Write a file from the main process; if the disk is full the run goes on with the files it
        has.
        """
        if not self.accelerator.is_main_process:
            return False
        try:
            save_tensors(self.folder / name, tensors, state)
        except StorageError as error:
            logger.warning("%s; training goes on", error)
            self.not_saved = error
            return False
        self.not_saved = None
        return True

    def _save_checkpoint(self) -> None:
        started = time.monotonic()
        tensors = {
            f"network.{name}": tensor for name, tensor in network_tensors(self.network).items()
        }
        for first, optimizer in self._numbered_optimizers():
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    tensors[f"optimizer.{first + index}.{name}"] = torch.as_tensor(value)
        scaler = self.accelerator.scaler
        state_of_run = {
            "step": self.step,
            "best_loss": self.best_loss if self.best_step else None,  # JSON has no infinity
            "best_step": self.best_step,
            "stale": self.stale,
            "seconds": self.seconds,
            "fingerprint": self.fingerprint,
            "scaler": scaler.state_dict() if scaler else None,
        }
        if self._save(f"checkpoint-{self.step:07d}.safetensors", tensors, state_of_run):
            for old in checkpoints(self.folder)[: -self.options.keep]:
                old.unlink()
        self.saved_at = time.monotonic()
        self.saving = self.saved_at - started

    def _resume(self) -> None:
        for path in reversed(checkpoints(self.folder)):
            try:
                tensors, state_of_run = load_tensors(path)
            except CheckpointError as error:
                logger.warning("%s; trying the one before", error)
                continue
            self._check_fingerprint(state_of_run.get("fingerprint", {}))
            network = {
                name[8:]: tensor for name, tensor in tensors.items() if name.startswith("network.")
            }
            load_network(self.network, network, path)
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith("optimizer."):
                    _, index, key = name.split(".")
                    state.setdefault(int(index), {})[key] = tensor
            for first, optimizer in self._numbered_optimizers():
                own = {index - first: state[index] for index in state if index >= first}
                optimizer.load_state_dict(optimizer.state_dict() | {"state": own})
                state = {index: state[index] for index in state if index < first}
            if self.accelerator.scaler and state_of_run.get("scaler"):
                self.accelerator.scaler.load_state_dict(state_of_run["scaler"])
            self.step, self.stale = int(state_of_run["step"]), int(state_of_run["stale"])
            best_loss = state_of_run["best_loss"]
            self.best_loss = math.inf if best_loss is None else float(best_loss)
            self.best_step, self.seconds = (
                int(state_of_run["best_step"]),
                state_of_run.get("seconds", 0.0),
            )
            logger.info("going on from step %d of %s", self.step, self.folder)
            return

    def _check_same_step(self) -> None:
        """Refuse processes that went on from different steps, as those without a common folder
        would.
        """
        steps = self.accelerator.gather(
            torch.tensor([self.step], device=self.accelerator.device)
        ).tolist()
        if len(set(steps)) > 1:
            raise SettingError(
                "the processes do not see the same run folder",
                got=f"they would go on from steps {', '.join(map(str, steps))}",
                fix=f"Give all hosts one {self.folder}, on a shared disk, or copy it to each of "
                "them",
            )

    def _numbered_optimizers(self) -> list[tuple[int, torch.optim.Optimizer]]:
        """Return optimizers, the last one first, with the number of their first parameter among
        all.
        """
        sizes = [
            sum(len(group["params"]) for group in each.param_groups) for each in self.optimizers
        ]
        firsts = [sum(sizes[:index]) for index in range(len(sizes))]
        return list(zip(firsts, self.optimizers, strict=True))[::-1]

    def _check_fingerprint(self, earlier: dict[str, str]) -> None:
        changed = [
            f"{name} was {earlier.get(name)}, is {value}"
            for name, value in self.fingerprint.items()
            if earlier.get(name) != value
        ]
        if changed:
            raise SettingError(
                f"{self.folder} belongs to another run",
                got="; ".join(changed),
                fix="Give this run another folder, or restore what the earlier one was trained on",
            )
