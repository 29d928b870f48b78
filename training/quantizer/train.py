"""Turns a prepared data set into a quantizer, with its figures, curves and model card.

    python -m hubert.train DIR --out RUN [--version 2] [--init quantizer.pth] [--language nl]
    accelerate launch --multi_gpu --num_processes 2 -m hubert.train DIR --out RUN ...

Run it again after a crash and it goes on where it stopped, to the same weights.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark import commandline
from bark.commandline import SEED, OneLineParser, choice, number, say, whole
from bark.errors import SettingError
from bark.storage.atomic import atomic_write_text
from bark.storage.weights import weights_digest
from hubert.quantizer.base import MAX_SHIFT
from hubert.quantizer.datastore import Datastore, Pair
from hubert.quantizer.files import QUANTIZER, SETTINGS
from hubert.quantizer.languages import LANGUAGES
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import NETWORKS, WIDTHS, default_sizes
from training.engine.run_folder import BEST, load_network, load_tensors
from training.engine.trainer import Trainer, TrainerOptions, TrainingResult

from .dataset import PreparedDataset, align
from .evaluate import Evaluation, check_fits, evaluate
from .objective import QuantizerObjective
from .report import draw_curves, model_card

logger = logging.getLogger(__name__)

# Token t belongs to frame t: both start at 0 s. Measured on 40 test pairs of nano: the k-means
# centre nearest to frame t + shift is not that of token t for .86, .60, .27, .62, .86 of the tokens
# at shifts -2 to 2. Trained at these shifts (quantizer_report --shifts) version 0 is wrong on .41,
# .34, .30, .30, .32 of the validation tokens, version 2 on .27, .26, .26, .26, .26.
SHIFT = 0
MEASURED = 10_000  # validation frames that decide the datastore's bandwidth, at most


@dataclass(frozen=True)
class QuantizerRecipe:
    """Which quantizer to train, on which batches."""

    version: int = 2  # 0 and 1: gitmylo's networks; 2: ours
    hidden_size: int | None = None  # None: the width its version is made for
    batch: int = 16  # utterances of one step, over all processes together
    shift: int = SHIFT  # token t belongs to frame t + shift
    init: Path | None = None  # a quantizer to start from; it decides version and width
    language: str | None = None  # what the pairs speak, for the model card
    # frames of training pairs that version 2 looks up besides, at most; 0: none
    datastore: int = 100_000

    def __post_init__(self) -> None:
        if self.version not in NETWORKS:
            raise SettingError(
                "quantizer version", got=self.version, allowed=", ".join(map(str, NETWORKS))
            )
        for name, value in (("hidden_size", self.hidden_size), ("batch", self.batch)):
            if value is not None and value < 1:
                raise SettingError(name, got=value, allowed="1 or more")
        if self.language is not None and self.language not in LANGUAGES:
            raise SettingError(
                "Bark does not speak this language", got=self.language, allowed=", ".join(LANGUAGES)
            )


def quantizer_options(**changes: Any) -> TrainerOptions:
    """Return the trainer's options for a quantizer, some of them changed."""
    own: dict[str, Any] = {
        "steps": 4000,
        "learning_rate": 1e-3,
        "warmup": 100,
        "weight_decay": 0.01,
    }
    own |= {"patience": 8}
    return TrainerOptions(**own | changes)


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
    dataset: PreparedDataset, out: Path, recipe: QuantizerRecipe, options: TrainerOptions
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
        trainer = Trainer(network, objective, out, options, fingerprint=fingerprint)
        result = trainer.run()
    trainer.accelerator.wait_for_everyone()
    if (out / BEST).is_file():
        load_network(network, load_tensors(out / BEST)[0], out / BEST)
    quantizer, main_process = LSTMQuantizer(network), trainer.accelerator.is_main_process
    if main_process and quantizer.sizes.version == 2 and recipe.datastore:
        with _memory_named("the datastore", f"--datastore {recipe.datastore}"):
            quantizer = with_datastore(quantizer, dataset, recipe)
    return quantizer, result, main_process


def with_datastore(
    quantizer: LSTMQuantizer, dataset: PreparedDataset, recipe: QuantizerRecipe
) -> LSTMQuantizer:
    """Give a quantizer a store of training frames, if it then names fewer validation
    tokens wrong.
    """
    others = _drawn(dataset, "validation", recipe.shift, MEASURED)
    device = next(quantizer.network.parameters()).device
    store = Datastore.of(_drawn(dataset, "train", recipe.shift, recipe.datastore), others)
    helped = LSTMQuantizer(quantizer.network, store).to(device)
    before, after = (
        evaluate(each, dataset, "validation", recipe.shift).top1 for each in (quantizer, helped)
    )
    logger.info(
        "validation: top 1 %.1f %%, with %d frames to look up %.1f %%",
        100 * before,
        len(store),
        100 * after,
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
) -> dict[str, Any]:
    """Write what a user of the quantizer needs: the file, its settings and figures, curves and
    model card.

    Returns
    -------
    The settings, as in ``quantizer.json``.
    """
    quantizer.save(out / QUANTIZER)
    figures: dict[str, Evaluation] = {
        split: evaluate(quantizer, dataset, split, recipe.shift)
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


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    recipe, options = QuantizerRecipe(), quantizer_options()
    parser = OneLineParser(
        prog="python -m hubert.train",
        description="Train a quantizer: HuBERT features in, Bark's semantic tokens out.",
        epilog="Versions 0 and 1 are saved as gitmylo's tools read them. Version 2 is this "
        "project's own "
        f"network: gitmylo's tools refuse its file. {commandline.EXIT_CODES}",
    )
    parser.add_argument("dataset", type=Path, help="folder made by hubert.prepare")
    parser.flag("--out", commandline.FOLDER, "folder of the run", required=True)
    parser.flag("--init", commandline.FILE, "quantizer to start from; decides version and width")
    parser.flag("--version", whole(0, 2), "0, 1 or 2 (default: 2)", recipe.version)
    parser.flag("--hidden-size", whole(1), f"width (default: {WIDTHS[0]}; version 2: {WIDTHS[2]})")
    parser.flag("--batch", whole(1), "utterances of a step (default: 16)", recipe.batch)
    frames = commandline.Kind("FRAMES", whole(-MAX_SHIFT, MAX_SHIFT))
    parser.flag("--shift", frames, "token t belongs to frame t + shift (default: 0)", SHIFT)
    parser.flag("--steps", whole(1), "at most (default: 4000)", options.steps)
    parser.flag("--learning-rate", number(above=True), "default: 0.001", options.learning_rate)
    parser.flag("--warmup", whole(0), "steps (default: 100)", options.warmup)
    parser.flag("--validate-every", whole(1), "steps (default: 250)", options.validate_every)
    parser.flag(
        "--patience", whole(1), "validations without progress (default: 8)", options.patience
    )
    parser.flag("--checkpoint-every", whole(1), "steps (default: 250)", options.checkpoint_every)
    parser.flag("--keep", whole(1), "checkpoints, besides the best (default: 2)", options.keep)
    parser.flag("--seed", SEED, "default: 0", 0)
    precision = choice("auto", "no", "bf16", "fp16")
    parser.flag(
        "--mixed-precision", precision, "auto: bf16 where the hardware has it (default)", "auto"
    )
    parser.flag("--device", commandline.DEVICE, "auto, cpu, cuda or mps (default: auto)", "auto")
    stored = "frames of training pairs that version 2 looks up, at most; 0: none (default: 100000)"
    parser.flag("--datastore", whole(0), stored, recipe.datastore)
    language = commandline.Kind("CODE", choice(*LANGUAGES))
    parser.flag("--language", language, f"what the pairs speak: {', '.join(LANGUAGES)}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the run ended well."""
    return commandline.run("train", lambda: _work(argv))


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if text := _run(arguments):
            say(text)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(
            "Give the same command again to go on from the last checkpoint."
        ) from interrupt
    return 0


def _run(arguments: argparse.Namespace) -> str:
    """Train as told and return the summary; empty in all processes but the first."""
    from bark.devices import choose_device

    out, dataset = Path(arguments.out), PreparedDataset.load(arguments.dataset)
    recipe = QuantizerRecipe(
        arguments.version,
        arguments.hidden_size,
        arguments.batch,
        arguments.shift,
        arguments.init and Path(arguments.init),
        arguments.language,
        arguments.datastore,
    )
    names = (
        "steps",
        "learning_rate",
        "warmup",
        "validate_every",
        "patience",
        "checkpoint_every",
        "keep",
        "seed",
        "mixed_precision",
    )
    changes = {name: getattr(arguments, name) for name in names}
    chosen = choose_device(arguments.device)
    device = "cpu" if chosen.type == "cpu" else None
    options = quantizer_options(**changes, device=device)
    quantizer, result, main_process = train(dataset, out, recipe, options)
    if not main_process:
        return ""
    settings = export(quantizer, result, dataset, out, recipe)
    lines = [f"{result.step} steps, the best after {result.best_step}: {out / QUANTIZER}"]
    for split, figures in settings["figures"].items():
        lines.append(
            f"{split}: top 1 {figures['top1']:.1%}, top 5 {figures['top5']:.1%} "
            f"(always the most frequent token: {figures['majority']:.1%}), "
            f"{figures['edit']:.3f} edits a token"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
