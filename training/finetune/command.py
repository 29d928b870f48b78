"""``python -m training.finetune``: fine-tunes one stage of a Bark on a voice.

python -m training.finetune --stage semantic|coarse|fine --data DIR --out RUN [--lora R]
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from bark import commandline
from training.engine.progress import Progress

from .options import RATES, FinetuneOptions

STAGES = ("semantic", "coarse", "fine")
HOW_TO_GO_ON = "Give the same command again to go on from the last checkpoint."


def build_parser() -> commandline.OneLineParser:
    """Return the parser of the command line."""
    parser = commandline.OneLineParser(
        prog="python -m training.finetune",
        description="Fine-tune one stage of a Bark on prepared utterances of a voice.",
        epilog=commandline.EXIT_CODES,
    )
    defaults = {field.name: field.default for field in fields(FinetuneOptions)}
    count = commandline.whole(1)
    flags: dict[str, tuple[commandline.Kind, str]] = {
        "stage": (commandline.choice(*STAGES), "the stage that learns"),
        "data": (commandline.FOLDER, "folder made by training.finetune.prepare"),
        "out": (commandline.FOLDER, "folder of the run"),
        "model": (
            commandline.MODEL,
            "the Bark to start from (default: the one the data was prepared for)",
        ),
        "init": (commandline.FILE, "weights to start the stage from: Suno's .pt or a model folder"),
        "lora": (count, "train adapters of this rank only, merged in the result"),
        "steps": (count, f"at most (default: {defaults['steps']})"),
        "batch_size": (count, f"windows in a step (default: {defaults['batch_size']})"),
        "learning_rate": (
            commandline.number(0, above=True),
            f"default: {RATES['full']:g}, with --lora {RATES['lora']:g}",
        ),
        "validate_every": (count, "steps between validations (default: an epoch, at most a tenth)"),
        "patience": (
            count,
            f"validations without progress before the end (default: {defaults['patience']})",
        ),
        "checkpoint_seconds": (
            commandline.number(above=True),
            "after which a checkpoint is written at the latest (default: 30)",
        ),
        "samples": (
            commandline.whole(0),
            f"texts spoken each time (default: {defaults['samples']})",
        ),
        "seed": (commandline.SEED, "default: 0"),
        "mixed_precision": (
            commandline.choice("auto", "no", "bf16", "fp16"),
            "auto: bf16 where the hardware has it (default)",
        ),
        "device": (commandline.DEVICE, "auto (default), cpu, cuda or mps"),
    }
    for name, (kind, meaning) in flags.items():
        needed = name in ("stage", "data", "out")
        parser.flag(
            f"--{name.replace('_', '-')}",
            kind,
            meaning,
            None if needed else defaults[name],
            required=needed,
        )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if there is a model."""
    return commandline.run("finetune", lambda: _work(argv), HOW_TO_GO_ON)


def _work(argv: Sequence[str] | None) -> int:
    asked = vars(build_parser().parse_args(argv))
    asked |= {name: Path(asked[name]) for name in ("data", "out", "init") if asked[name]}
    options = FinetuneOptions(**asked)
    commandline.log_to_stderr(logging.INFO)
    from .train import finetune

    result = finetune(options, Progress(sys.stderr))
    if result.main_process:
        commandline.say(
            f"{result.step} steps: validation loss {result.loss_before:.3f} before, "
            f"{result.best_loss:.3f} at the best step, {result.best_step}"
        )
        commandline.say(f"written: {result.model}, and {options.out / 'voice.npz'} as its prompt")
        if result.best_loss >= result.loss_before:
            commandline.say(
                "no better than the base: lower --learning-rate or give more data", sys.stderr
            )
        else:
            commandline.say(
                f"next: bark --model {result.model} --history_prompt {options.out / 'voice.npz'} "
                "--text TEXT; or another --stage with --model " + str(result.model)
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
