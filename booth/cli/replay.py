"""The command `bark replay`: a take spoken again from its record."""

import sys
from collections.abc import Sequence

from bark.audio.write import FORMATS
from bark.commandline import DEVICE, FILE, FOLDER, OneLineParser, choice
from bark.storage.files import expand

from .kinds import PARTS, STEPS


def build_parser() -> OneLineParser:
    """Return the parser of ``bark replay``."""
    parser = OneLineParser(
        prog="bark replay", description="Speak a recorded take again, token for token."
    )
    parser.add_argument("take", help="the .json beside the audio")
    parser.add_argument(
        "-o", "--output", type=FILE, metavar="FILE", help="name or path of the new audio"
    )
    parser.flag("--output_dir", FOLDER, "folder for it (default: beside the first)")
    parser.flag("--output_format", choice(*FORMATS), "instead of the first one's")
    parser.flag("--device", DEVICE, "instead of the one the take was made on")
    parser.flag("--regenerate", PARTS, "draw these parts anew; all others keep their tokens", ())
    parser.flag("--postprocess", STEPS, "steps before it is written, instead of the first one's")
    parser.add_argument("--silent", action="store_true", help="no progress bars")
    return parser


def run(argv: Sequence[str]) -> tuple[list[str], int]:
    """Do what ``bark replay`` with these arguments asks; return the lines to print and the code."""
    options = build_parser().parse_args(argv)
    from booth.speak.replay import Target, replay

    target = None if options.output is None else expand(options.output)
    folder = options.output_dir
    if target is not None:
        folder = expand(folder or ".") / target.parent
    kind = options.output_format or (target and target.suffix.lower()[1:]) or None
    done = replay(
        options.take,
        target=Target(folder, None if target is None else target.stem, kind and f".{kind}"),
        device=options.device,
        regenerate=options.regenerate,
        postprocess=options.postprocess,
        bars=not options.silent and sys.stderr.isatty(),
    )
    lines = [str(done.take.audio)]
    if not done.different:
        others = "the other parts' " if options.regenerate else ""
        return [*lines, f"{others}tokens are identical to the take's"], 0
    parts = ", ".join(map(str, done.different))
    return [
        *lines,
        f"tokens differ from the take's in part {parts}: another device, model or version",
    ], 1
