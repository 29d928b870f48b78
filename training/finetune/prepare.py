"""``python -m training.finetune.prepare``: makes tokens of recordings and texts, for fine-tuning.

    python -m training.finetune.prepare DATA --out DIR --model NAME

DATA holds ``metadata.csv`` and ``wavs/`` (LJSpeech), or ``train.txt`` with lines ``path|text`` and,
if you like, ``valid.txt``. Run it again after a crash or a correction: what is finished is kept."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from bark import commandline
from bark.commandline import OneLineParser, choice, number, say
from bark.errors import MissingFileError
from bark.languages import SUPPORTED_LANGS
from training.engine.progress import Progress

from .options import VALIDATION
from .transcripts import read_transcript

CODES = tuple(code for _, code in SUPPORTED_LANGS)
HOW_TO_GO_ON = "What is finished is kept: give the same command again to go on."


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog="python -m training.finetune.prepare",
        description="Make the tokens that Bark is fine-tuned on from recordings and their texts.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument(
        "folder", type=Path, metavar="DATA", help="wavs/ + metadata.csv, or train.txt"
    )
    parser.flag("--out", commandline.FOLDER, "folder for the tokens", required=True)
    parser.flag(
        "--model",
        commandline.MODEL,
        "the Bark to be fine-tuned: large (default), small, nano, a folder, a hub id",
        "large",
    )
    language = commandline.Kind("CODE", choice(*CODES))
    parser.flag("--language", language, f"spoken: {', '.join(CODES)} (default: en)", "en")
    parser.flag(
        "--quantizer", commandline.FILE, "a quantizer file instead of the one for the language"
    )
    parser.flag(
        "--validation",
        number(0, 0.9, above=True),
        f"share of lines (default: {VALIDATION})",
        VALIDATION,
    )
    parser.flag("--device", commandline.DEVICE, "auto (default), cpu, cuda or mps", "auto")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the data can be trained on."""
    return commandline.run("prepare", lambda: _work(argv), HOW_TO_GO_ON)


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    commandline.log_to_stderr(logging.INFO)
    if not arguments.folder.is_dir():
        raise MissingFileError(f"no folder {arguments.folder}")
    read_transcript(arguments.folder)  # before the models: it may be missing
    say(_run(arguments))
    out = arguments.out
    say(f"next: python -m training.finetune --stage coarse --data {out} --out RUN")
    return 0


def _run(arguments: argparse.Namespace) -> str:
    """Prepare as told and return what became of the lines."""
    from bark.checkpoints.find import find_model
    from hubert.clone import Cloner
    from training.finetune.encode import prepare, summary

    cloner = Cloner.from_pretrained(
        arguments.model, arguments.language, quantizer=arguments.quantizer, device=arguments.device
    )
    tokenizer = find_model(arguments.model).load_tokenizer()
    report = prepare(
        arguments.folder,
        Path(arguments.out),
        cloner,
        tokenizer,
        arguments.validation,
        Progress(sys.stderr),
    )
    return summary(report)


if __name__ == "__main__":
    sys.exit(main())
