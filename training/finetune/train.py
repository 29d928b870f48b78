"""Fine-tunes one stage of a Bark on prepared utterances of a voice.

The run's folder gets ``model/`` (a complete model folder), ``voice.npz`` (a prompt of the voice),
``samples/``, ``metrics.jsonl``, TensorBoard events and checkpoints. After a crash the same call
goes on from the last checkpoint, to the same weights."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.checkpoints.find import ModelFiles, find_model, load_stage
from bark.checkpoints.formats import Network, build_network
from bark.checkpoints.trust import is_here
from bark.devices import choose_device
from bark.errors import BarkError, CheckpointError, SettingError
from bark.pipeline import Bark
from bark.stages.coarse import CoarseStage
from bark.stages.fine import FineStage
from bark.stages.fit import check_fit
from bark.stages.semantic import SemanticStage
from bark.storage.atomic import atomic_write_text
from bark.storage.json import read_json
from bark.storage.weights import weights_digest
from bark.tokens import TokenLayout
from bark.voice.voice import Voice
from training.engine.progress import SILENT, Progress
from training.engine.run_folder import BEST, load_network, load_tensors
from training.engine.trainer import Objective, Trainer, TrainerOptions
from training.stages.attention import use_block_attention
from training.stages.examples import Example
from training.stages.objectives import OBJECTIVES, ObjectiveOptions

from .data import Entry, VoiceData
from .export import export_model
from .lora import add_lora, plain_weights
from .options import RATES
from .options import FinetuneOptions as FinetuneOptions

logger = logging.getLogger(__name__)

MODEL, PROMPT, SETTINGS = "model", "voice.npz", "finetune.json"  # in the run's folder
PROMPT_SECONDS = 6.0  # of the utterance that samples are spoken with
SAMPLE_SEED = 0
STAGE_TYPES: dict[str, Any] = {"semantic": SemanticStage, "coarse": CoarseStage, "fine": FineStage}
CHECKPOINT_EVERY = 250  # steps, at most


@dataclass(frozen=True)
class FinetuneResult:
    """What came of it."""

    model: Path  # the folder for `Bark.from_pretrained`
    step: int
    best_step: int
    loss_before: float  # validation loss of the start
    best_loss: float
    main_process: bool


def finetune(options: FinetuneOptions, progress: Progress = SILENT) -> FinetuneResult:
    """Fine-tune one stage and export the whole model with the weights of the best validation.

    Raises
    ------
    SettingError If the model speaks other tokens than the data holds, too few utterances fit the
        stage, the run's folder belongs to another run, or a step does not fit the memory.
        CheckpointError If a model file is damaged, or training diverged."""
    data = VoiceData.load(options.data)
    base = options.model or data.model
    if not options.model and not is_here(base):
        fix = f"If you trust it, say: --model {base}"
        raise SettingError(f"{options.data} names a model that is not here", base, fix=fix)
    files = find_model(base)
    if files.layout != data.layout:
        raise SettingError(
            f"{options.data} holds tokens of {data.model}", base, "a Bark with its layout"
        )
    trained, validating = data.split(options.stage)
    speaker = data.speaker(trained)
    objective: Objective = OBJECTIVES[options.stage](
        [speaker],
        [data.speaker(validating)],
        data.layout,
        ObjectiveOptions(batch=options.batch_size),
    )
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # as accelerate's launcher tells it
    if processes > 1:
        objective = EvenShares(objective, processes)
    network = start_network(files, options)
    config, start = network.config, weights_digest(network)
    if options.lora:
        add_lora(network, options.lora, options.seed)
    epoch = steps_per_epoch(options.stage, speaker.examples, data.layout, options.batch_size)
    texts = [entry.text for entry in validating[: options.samples]]
    prompt = _save_prompt(data, trained, options.out)
    speak = SampleSpeaker(base, options, network, texts, prompt) if texts else None
    fingerprint = {"data": data.fingerprint, "start": start, **_identity(options)}
    with _memory_named(options.batch_size):
        settings = trainer_options(options, epoch)
        what = f"training {options.stage}"
        trainer = Trainer(
            network, objective, options.out, settings, speak, fingerprint, progress, what
        )
        before = loss_before(trainer, options.out)
        trainer.progress.line(f"validation loss before training: {before:.3f}")
        done = trainer.run()
    trainer.accelerator.wait_for_everyone()
    main_process = trainer.accelerator.is_main_process
    result = FinetuneResult(
        options.out / MODEL, done.step, done.best_step, before, done.best_loss, main_process
    )
    if main_process:
        best = options.out / BEST
        load_network(network, load_tensors(best)[0], best)
        export_model(base, options.stage, config, plain_weights(network), result.model)
        told = {"stage": options.stage, "base": base, "lora": options.lora, "loss_before": before}
        told |= {"steps": done.step, "best_step": done.best_step, "best_loss": done.best_loss}
        atomic_write_text(options.out / SETTINGS, json.dumps(told, indent=1) + "\n")
    return result


def start_network(files: ModelFiles, options: FinetuneOptions) -> Network:
    """Return the stage's network to start from, its weights in memory of its own."""
    if options.init is None:
        network = files.load(options.stage)
    else:
        network = load_stage(options.init, options.stage)
        check_fit(network.config, options.stage, files.layout, str(options.init), CheckpointError)
    for weight in network.parameters():
        weight.data = weight.data.clone()  # they may be a map of the file
    network.requires_grad_(True)
    if choose_device(options.device).type == "cpu":
        use_block_attention(network)
    return network


def steps_per_epoch(
    stage: str, examples: Sequence[Example], layout: TokenLayout, batch: int
) -> int:
    """Return in how many steps as many tokens are drawn as the utterances hold."""
    window = layout.text_window + 1
    held, drawn = {
        "semantic": (
            sum(window + len(example.semantic) for example in examples),
            window + layout.max_semantic,
        ),
        "coarse": (
            sum(len(example.semantic) for example in examples),
            layout.coarse_semantic_window,
        ),
        "fine": (sum(example.codes.shape[1] for example in examples), layout.fine_window),
    }[stage]
    return max(1, -(-held // (drawn * batch)))


def trainer_options(options: FinetuneOptions, epoch: int) -> TrainerOptions:
    """Return the engine's options."""
    every = options.validate_every or min(epoch, max(1, options.steps // 10))
    return TrainerOptions(
        steps=options.steps,
        learning_rate=options.learning_rate or RATES["lora" if options.lora else "full"],
        warmup=min(50, max(1, options.steps // 10)),
        weight_decay=0.01,
        seed=options.seed,
        validate_every=every,
        checkpoint_every=min(every, CHECKPOINT_EVERY),
        checkpoint_seconds=options.checkpoint_seconds,
        patience=options.patience,
        log_every=options.log_every,
        mixed_precision=options.mixed_precision,
        device="cpu" if choose_device(options.device).type == "cpu" else None,
    )


@torch.no_grad()
def loss_before(trainer: Trainer, out: Path) -> float:
    """Return the validation loss of the weights the run started from; a resumed run
    has it noted.
    """
    path = out / SETTINGS
    if trainer.step and path.is_file():
        return float(read_json(path)["loss_before"])
    network, accelerator = trainer.network.eval(), trainer.accelerator
    losses = []
    for number, batch in enumerate(trainer.objective.validation(), start=1):
        here = {name: tensor.to(accelerator.device) for name, tensor in batch.items()}
        with accelerator.autocast():
            loss, _ = trainer.objective.loss(
                network, here, 0, torch.Generator().manual_seed(number)
            )
        losses.append(float(loss))
    before = sum(losses) / len(losses)
    if accelerator.is_main_process:
        atomic_write_text(path, json.dumps({"loss_before": before}) + "\n")
    return before


class EvenShares:
    """An objective whose batches processes can share: surplus items are left out, or some come
    twice.
    """

    def __init__(self, objective: Objective, processes: int) -> None:
        self.objective, self.processes = objective, processes
        self.validation, self.begin_step = objective.validation, objective.begin_step
        self.loss = objective.loss

    def batch(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Draw a training batch of a multiple of `processes` items."""
        batch = self.objective.batch(generator)
        items = len(next(iter(batch.values())))
        chosen = torch.arange(max(1, items // self.processes) * self.processes) % items
        return {name: tensor[chosen] for name, tensor in batch.items()}


class SampleSpeaker:
    """Speaks texts with the stage as it is now and the base's other stages, each time with the same
    seed.

    Parameters
    ----------
    base : model that speaks.
    network : in training; each time its weights are copied, adapters merged.
    """

    def __init__(
        self,
        base: str,
        options: FinetuneOptions,
        network: Network,
        texts: Sequence[str],
        prompt: Voice,
    ) -> None:
        self.base, self.options, self.network = base, options, network
        self.texts, self.prompt = texts, prompt
        self.config = network.config
        self._bark: Bark | None = None

    def __call__(self, step: int) -> None:
        """Write ``samples/step-<step>-<n>.wav`` for each text."""
        stage = self.options.stage
        if self._bark is None:
            self._bark = Bark.from_pretrained(self.base, device=self.options.device)
        old: Any = getattr(self._bark, stage)
        weight = next(old.model.parameters())
        network = build_network(self.config, plain_weights(self.network), "the network in training")
        now: Any = STAGE_TYPES[stage](network.to(weight.device, weight.dtype), old.layout)
        bark = replace(self._bark, **{stage: now})
        for number, text in enumerate(self.texts, start=1):
            path = self.options.out / "samples" / f"step-{step:06d}-{number}.wav"
            try:
                bark.generate(text, self.prompt, seed=SAMPLE_SEED).save(path, record=False)
            except BarkError as error:  # nothing was spoken, or the text is too long
                logger.warning("no sample at step %d: %s", step, error)


def _save_prompt(data: VoiceData, entries: Sequence[Entry], out: Path) -> Voice:
    """Write and return the training utterance whose length is nearest to `PROMPT_SECONDS`."""
    wanted = PROMPT_SECONDS * data.layout.coarse_rate
    entry = min(entries, key=lambda entry: abs(entry.frames - wanted))
    voice = Voice.load(data.path(entry), data.layout)
    voice.save(out / PROMPT, data.layout)
    return voice


def _identity(options: FinetuneOptions) -> dict[str, str]:
    """What a resumed run must share with the earlier one, besides data and start."""
    names = ("stage", "lora", "batch_size", "seed")
    return {name: str(getattr(options, name)) for name in names}


@contextmanager
def _memory_named(batch: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SettingError(
            "a step does not fit the memory",
            f"--batch-size {batch}",
            fix="Lower it, or add --lora 16",
        ) from error
