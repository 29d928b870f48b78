"""``python -m training.nano``: makes nano.

    python -m training.nano all --work DIR [--real DIR]...
    python -m training.nano STEP --work DIR [--steps N]
    python -m training.nano all --work DIR --hours 0.05 --voices 8 --steps 10   # a trial

``all`` may be killed and run again."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from bark import commandline
from bark.commandline import OneLineParser, number, say, whole
from hubert.speaker_weights import find_weights
from training.engine.progress import Progress

from .corpus.corpus import CorpusOptions, corpus_voices
from .corpus.packages import check_packages
from .options import STAGES, STEPS, NanoOptions

OF_A_STAGE = ("init", "learning_rate", "real_share", "width", "layers")
HOW_TO_GO_ON = "Give the same command again to go on."


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog="python -m training.nano",
        description="Make nano from nothing, all of it or one step; what is done is skipped.",
        epilog=commandline.EXIT_CODES,
    )
    count = whole(1)
    parser.add_argument("step", choices=[*STEPS, "all"])
    parser.flag("--work", commandline.FOLDER, "folder for everything that is made", required=True)
    parser.add_argument(
        "--real",
        type=commandline.FOLDER,
        metavar="FOLDER",
        action="append",
        default=[],
        help="recordings, never those to be tested on; may be given again, each has the same share",
    )
    parser.flag("--steps", count, "training steps, instead of the recipe's")
    parser.flag("--hours", number(above=True), "of synthetic speech", NanoOptions.hours)
    parser.flag("--voices", count, "synthetic training voices", NanoOptions.voices)
    parser.flag("--seed", commandline.SEED, "default: 0", NanoOptions.seed)
    parser.flag("--device", commandline.DEVICE, "cpu, cuda; default: a GPU where there is one")
    parser.flag(
        "--init", commandline.FILE, "weights that a stage or decoder begins with, not fresh ones"
    )
    parser.flag("--learning-rate", number(above=True), "of a stage, instead of the recipe's")
    parser.flag("--real-share", number(0, 1), "of a stage's items, from recordings")
    parser.flag("--width", whole(0), "of a stage's network, instead of the recipe's")
    parser.flag("--layers", whole(0), "of a stage's network, instead of the recipe's")
    parser.add_argument("--lines", action="store_true", help="plain lines instead of a bar")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the step is done."""
    return commandline.run("nano", lambda: _work(argv), HOW_TO_GO_ON)


def _work(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    asked = vars(parser.parse_args(argv))
    step = asked.pop("step")
    asked |= {name: Path(asked[name]) for name in ("work", "init") if asked[name]}
    asked["real"] = tuple(map(Path, asked["real"]))
    options = NanoOptions(**asked)
    of_a_stage = [name for name in OF_A_STAGE if (step, name) != ("decoder", "init")]
    if step not in STAGES and any(getattr(options, name) is not None for name in of_a_stage):
        names = "--init, --learning-rate, --real-share, --width and --layers"
        parser.error(f"{names} are for {', '.join(STAGES)} (--init for decoder too), not {step}")
    commandline.log_to_stderr(logging.INFO, times=True)
    _run(step, options)
    return 0


def _run(step: str, options: NanoOptions) -> None:
    if step in ("all", "corpus"):
        wanted = CorpusOptions(options.work, voices=options.voices, seed=options.seed)
        check_packages(corpus_voices(wanted))
    if step in ("all", "mel"):
        find_weights()  # of the speaker encoder, before hours of other work
    from .recipe import WORK_OF, run_all

    if step == "all":
        run_all(options)
        say(f"written: {options.work / 'model'}, a nano with its HuBERT and quantizer beside it")
        say(f"next: bark --model {options.work / 'model'} --text TEXT")
        return
    WORK_OF[step](options, Progress(sys.stderr, bar=False if options.lines else None))
    say(f"step {step} is done, in {options.work}")
