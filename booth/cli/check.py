"""The command `bark check`: is a recording fit to be cloned, and what would make it better?"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bark import commandline
from bark.commandline import FILE, OneLineParser, number, say

UNFIT = 1  # exit code where a recording should be made again


def build_parser() -> OneLineParser:
    """Return the parser of ``bark check``."""
    parser = OneLineParser(
        prog="bark check",
        description="Examine a recording before it is cloned: a verdict (good, usable, unfit), and "
        "a reason and a remedy for each finding. Needs no model.",
        epilog=f"Exit code {UNFIT} where the recording is unfit. {commandline.EXIT_CODES}",
    )
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="wav, flac, mp3 or ogg")
    parser.flag("--start", number(), "where the window starts, in seconds (default: chosen)")
    parser.flag("--end", number(), "where the window ends, in seconds (default: at a pause)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.flag("--picture", FILE, "draw waveform, speech, window and findings into this .png")
    return parser


def run(argv: Sequence[str]) -> int:
    """Do what ``bark check`` with these arguments asks; return the exit code."""
    options = build_parser().parse_args(argv)
    from hubert.reference import examine
    from hubert.reference.source import open_source

    source = open_source(options.recording)
    shown = sys.stderr.isatty()
    report = examine(source, start=options.start, end=options.end, progress=shown)
    if options.json:
        say(json.dumps(report.to_dict()))
    else:
        for line in report.lines():
            say(line)
    if options.picture:
        from booth.plots import reference_figure, save_figure

        audio = report.channels.mixed(source.part(0.0, source.duration))
        drawing = reference_figure(audio, source.rate, report, options.recording.name)
        save_figure(drawing, options.picture)
        say(str(options.picture))
    return UNFIT if report.verdict == "unfit" else 0
