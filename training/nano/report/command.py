"""``python -m training.nano.report``: measures nano and writes its report.

    python -m training.nano.report --work DIR --real FOLDER [--model nano] [--texts 20]
        [--out bark/nano/REPORT.md]

FOLDER holds one folder of recordings for each real speaker, none of them used in training.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bark import commandline
from bark.commandline import OneLineParser, say, whole
from bark.errors import MissingFileError
from training.engine.progress import Progress

MODULES = ("pocketsphinx", "pystoi", "pesq", "matplotlib")  # that the extra "report" brings


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog="python -m training.nano.report",
        description="Measure what nano can do, with voices and texts that it never heard.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument("--work", type=Path, required=True, help="the folder nano was made in")
    parser.add_argument(
        "--real", type=Path, required=True, help="a folder for each real speaker, unseen"
    )
    parser.flag("--model", commandline.MODEL, "nano, or a model folder", "nano")
    parser.flag("--texts", whole(1), "texts of each kind and voice", 20)
    parser.add_argument("--out", type=Path, default=Path("bark/nano/REPORT.md"))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the report is written."""
    return commandline.run("report", lambda: _work(argv))


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    for folder in (arguments.work, arguments.real):
        if not folder.is_dir():
            raise MissingFileError(f"no folder {folder}")
    if lacking := [name for name in MODULES if find_spec(name) is None]:
        raise MissingFileError(
            "the report is measured with packages that are not installed",
            got=f"without {', '.join(lacking)}",
            fix="Install them: pip install 'bark-voice-booth[report,plot]'",
        )
    commandline.log_to_stderr(logging.INFO, times=True)
    from .report import report

    report(arguments, Progress(sys.stderr))
    say(f"written: {arguments.out}")
    return 0
