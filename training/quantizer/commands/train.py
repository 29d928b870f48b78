"""``python -m hubert.train``: trains a quantizer on a prepared data set.

    python -m hubert.train DIR --out RUN [--version 2] [--init quantizer.pth] [--language nl]
    accelerate launch --multi_gpu --num_processes 2 -m hubert.train DIR --out RUN ...

Run it again after a crash and it goes on where it stopped, to the same weights.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from bark import commandline
from bark.commandline import SEED, OneLineParser, choice, number, say, whole
from training.engine.progress import Progress
from training.quantizer.recipe import LANGUAGES, SHIFT, QuantizerRecipe, quantizer_options

HOW_TO_GO_ON = "Give the same command again to go on from the last checkpoint."


def frames_of_shift(word: str) -> int:
    """Read a shift; the range is known only to a module that imports torch."""
    from hubert.quantizer.base import MAX_SHIFT

    return whole(-MAX_SHIFT, MAX_SHIFT)(word)


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
    parser.flag("--hidden-size", whole(1), "width (default: 1024; version 2: 384)")
    parser.flag("--batch", whole(1), "utterances of a step (default: 16)", recipe.batch)
    frames = commandline.Kind("FRAMES", frames_of_shift)
    parser.flag("--shift", frames, "token t belongs to frame t + shift (default: 0)", SHIFT)
    parser.flag("--steps", whole(1), "at most (default: 4000)", options.steps)
    parser.flag("--learning-rate", number(above=True), "default: 0.001", options.learning_rate)
    parser.flag("--warmup", whole(0), "steps (default: 100)", options.warmup)
    parser.flag("--validate-every", whole(1), "steps (default: 250)", options.validate_every)
    parser.flag(
        "--patience", whole(1), "validations without progress (default: 8)", options.patience
    )
    parser.flag("--checkpoint-every", whole(1), "steps (default: 250)", options.checkpoint_every)
    parser.flag(
        "--checkpoint-seconds",
        number(above=True),
        "seconds after which one is written, too (default: 30)",
        options.checkpoint_seconds,
    )
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
    return commandline.run("train", lambda: _work(argv), HOW_TO_GO_ON)


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    commandline.log_to_stderr(logging.INFO)
    if text := _run(arguments):
        say(text)
    return 0


def _run(arguments: argparse.Namespace) -> str:
    """Train as told and return the summary; empty in all processes but the first."""
    from bark.devices import choose_device
    from training.quantizer.dataset import PreparedDataset
    from training.quantizer.train import export, train

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
        "checkpoint_seconds",
        "keep",
        "seed",
        "mixed_precision",
    )
    changes = {name: getattr(arguments, name) for name in names}
    chosen = choose_device(arguments.device)
    device = "cpu" if chosen.type == "cpu" else None
    options = quantizer_options(**changes, device=device)
    shown = Progress(sys.stderr)
    quantizer, result, main_process = train(dataset, out, recipe, options, shown)
    if not main_process:
        return ""
    settings = export(quantizer, result, dataset, out, recipe, shown)
    early = (
        f", stopped after {options.patience} validations without progress" if result.early else ""
    )
    lines = [f"{result.step} steps, the best after {result.best_step}{early}"]
    for split, figures in settings["figures"].items():
        lines.append(
            f"{split}: top 1 {figures['top1']:.1%}, top 5 {figures['top5']:.1%} "
            f"(always the most frequent token: {figures['majority']:.1%}), "
            f"{figures['edit']:.3f} edits a token"
        )
    lines.append(
        f"written: {out / 'quantizer.pth'}, and beside it its settings, curves, model card"
    )
    told = f"python -m hubert.evaluate {out} {arguments.dataset}"
    clone = f"python -m hubert.clone RECORDING --quantizer {out / 'quantizer.pth'}"
    lines.append(f"next: {told}; then {clone}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
