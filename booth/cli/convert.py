"""The command `bark convert`: a Bark model in another layout on disk."""

import sys
from collections.abc import Sequence

from bark import commandline

LAYOUTS = ("suno", "hf", "ours")  # `bark.checkpoints.formats.FORMATS`, which imports torch


def build_parser(prog: str = "python -m bark.convert") -> commandline.OneLineParser:
    """Return the parser of the command line."""
    parser = commandline.OneLineParser(
        prog=prog,
        description="Write a Bark model in another layout on disk: Suno's files, Hugging Face's "
        "folder, or ours. The new folder appears when it is complete.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument(
        "source", type=commandline.MODEL, help="large, small, nano, a folder or a hub id"
    )
    parser.add_argument("destination", type=commandline.FOLDER, help="a new folder")
    parser.flag("--to", commandline.choice(*LAYOUTS), "layout of the new folder", required=True)
    parser.flag("--dtype", commandline.choice("int8"), "keep the matrices in 8 bits, for a CPU")
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m bark.convert") -> int:
    """Run the command line; return the exit code."""

    def work() -> int:
        asked = build_parser(prog).parse_args(argv)
        from bark.convert import convert

        shown = sys.stderr.isatty()
        made = convert(asked.source, asked.destination, asked.to, asked.dtype, progress=shown)
        commandline.say(str(made))
        return 0

    return commandline.run("convert", work)
