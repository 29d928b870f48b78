"""Trains a quantizer and writes it with its figures, curves and model card."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.errors import SettingError
from bark.storage.atomic import atomic_write_text
from bark.storage.weights import weights_digest
from hubert.quantizer.datastore import Datastore, Pair
from hubert.quantizer.files import QUANTIZER, SETTINGS
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import NETWORKS, default_sizes
from training.engine.progress import SILENT, Progress
from training.engine.run_folder import BEST, load_network, load_tensors
from training.engine.trainer import Trainer, TrainerOptions, TrainingResult

from .dataset import PreparedDataset, align
from .evaluate import Evaluation, check_fits, evaluate
from .objective import QuantizerObjective
from .recipe import QuantizerRecipe as QuantizerRecipe
from .recipe import quantizer_options as quantizer_options
from .report import draw_curves, model_card

logger = logging.getLogger(__name__)

MEASURED = 10_000  # validation frames that decide the datastore's bandwidth, at most


def build(dataset: PreparedDataset, recipe: QuantizerRecipe, seed: int) -> LSTMQuantizer:
    """Return the quantizer training starts from: a fresh one, or `recipe.init`.

    Raises
    ------
    SettingError
        If the one to start from is for other features or tokens.
    """
    if recipe.init is not None:
        quantizer = LSTMQuantizer.load(recipe.init)
        check_fits(quantizer, dataset)
        return quantizer
    sizes = default_sizes(
        dataset.feature_dim, dataset.vocabulary, recipe.version, recipe.hidden_size
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LSTMQuantizer(NETWORKS[recipe.version](sizes))


def train(
    dataset: PreparedDataset,
    out: Path,
    recipe: QuantizerRecipe,
    options: TrainerOptions,
    progress: Progress = SILENT,
) -> tuple[LSTMQuantizer, TrainingResult, bool]:
    """Train a quantizer.

    Parameters
    ----------
    out : Path
        The run's folder; what is in it of an earlier run of the same kind is gone on from.

    Returns
    -------
    The best quantizer by validation loss, how the run ended, and whether this is the first of its
    processes.

    Raises
    ------
    SettingError
        If the folder belongs to another run, or a step or the datastore does not fit the memory.
    CheckpointError
        If the loss is no number; the weights from before are kept in the folder.
    """
    quantizer = build(dataset, recipe, options.seed)
    network = quantizer.network.requires_grad_(True)
    fingerprint = {
        "data": dataset.fingerprint,
        "quantizer": str(quantizer.sizes),
        "start": weights_digest(network),
        "batch": str(recipe.batch),
        "shift": str(recipe.shift),
        "seed": str(options.seed),
    }
    objective = QuantizerObjective(dataset, recipe.batch, recipe.shift)
    with _memory_named("a step", f"--batch {recipe.batch}"):
        trainer = Trainer(
            network, objective, out, options, fingerprint=fingerprint, progress=progress
        )
        result = trainer.run()
    trainer.accelerator.wait_for_everyone()
    if (out / BEST).is_file():
        load_network(network, load_tensors(out / BEST)[0], out / BEST)
    quantizer, main_process = LSTMQuantizer(network), trainer.accelerator.is_main_process
    if main_process and quantizer.sizes.version == 2 and recipe.datastore:
        with _memory_named("the datastore", f"--datastore {recipe.datastore}"):
            quantizer = with_datastore(quantizer, dataset, recipe, progress)
    return quantizer, result, main_process


def with_datastore(
    quantizer: LSTMQuantizer,
    dataset: PreparedDataset,
    recipe: QuantizerRecipe,
    progress: Progress = SILENT,
) -> LSTMQuantizer:
    """Give a quantizer a store of training frames, if it then names fewer validation
    tokens wrong.
    """
    others = _drawn(dataset, "validation", recipe.shift, MEASURED)
    device = next(quantizer.network.parameters()).device
    store = Datastore.of(_drawn(dataset, "train", recipe.shift, recipe.datastore), others)
    helped = LSTMQuantizer(quantizer.network, store).to(device)
    before, after = (
        evaluate(each, dataset, "validation", recipe.shift, progress).top1
        for each in (quantizer, helped)
    )
    progress.line(
        f"validation: top 1 {before:.1%}, with {len(store)} frames to look up {after:.1%}"
    )
    return helped if after > before else quantizer


def _drawn(dataset: PreparedDataset, split: str, shift: int, frames: int) -> list[Pair]:
    """Read pairs of a split, in an order that is always the same, until there are so
    many frames.
    """
    entries, pairs, room = dataset.split(split), [], frames
    for place in np.random.default_rng(0).permutation(len(entries)):
        features, tokens = align(*dataset.read(entries[place]), shift)
        pairs.append((features[:room], tokens[:room]))
        room -= len(pairs[-1][0])
        if not room:
            break
    return pairs


def export(
    quantizer: LSTMQuantizer,
    result: TrainingResult,
    dataset: PreparedDataset,
    out: Path,
    recipe: QuantizerRecipe,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Write what a user of the quantizer needs: the file, its settings and figures, curves and
    model card.

    Returns
    -------
    The settings, as in ``quantizer.json``.
    """
    quantizer.save(out / QUANTIZER)
    figures: dict[str, Evaluation] = {
        split: evaluate(quantizer, dataset, split, recipe.shift, progress)
        for split in ("validation", "test")
        if dataset.split(split)
    }
    settings: dict[str, Any] = {
        "version": quantizer.sizes.version,
        "language": recipe.language,
        "encoder": dataset.encoder,
        "shift": recipe.shift,
        "data": dataset.fingerprint,
        "train_pairs": len(dataset.split("train")),
        "datastore": len(quantizer.datastore or ()),
        "steps": result.step,
        "best_step": result.best_step,
        "figures": {split: evaluation.figures() for split, evaluation in figures.items()},
    }
    atomic_write_text(out / SETTINGS, json.dumps(settings, indent=1) + "\n")
    atomic_write_text(out / "README.md", model_card(quantizer.sizes, settings))
    try:
        draw_curves(out, out / "curves.png")
    except SettingError as error:
        logger.warning("%s", error)
    return settings


@contextmanager
def _memory_named(what: str, flag: str) -> Iterator[None]:
    """Turn a failed allocation into a sentence that names the flag to change."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        told = str(error)
        if (
            isinstance(error, RuntimeError)
            and "memory" not in told
            and not isinstance(error, MemoryError)
        ):
            raise
        raise SettingError(f"{what} does not fit the memory", got=flag, fix="Lower it") from error
