"""The command `bark drift`: how each part of a long take sounds beside the first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bark import commandline
from bark.commandline import FILE, OneLineParser
from bark.errors import BarkError

COLUMNS = {"likeness": ".2f", "clarity": ".2f", "loudness": ".1f", "speed": ".2f", "pitch": ".0f"}


def build_parser() -> OneLineParser:
    """Return the parser of ``bark drift``."""
    parser = OneLineParser(
        prog="bark drift",
        description="Show how each part of a take sounds beside the speaker's first part: likeness "
        "to the voice, clarity of the words, loudness in LUFS, speed, and pitch in Hz. The take "
        "must have been spoken with --drift measure or repair.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument("take", help="the .json beside the audio")
    parser.flag("--picture", FILE, "draw the measures over the parts into this .png")
    return parser


def run(argv: Sequence[str]) -> list[str]:
    """Do what ``bark drift`` with these arguments asks; return the lines to print."""
    options = build_parser().parse_args(argv)
    from booth.takes.take import read_record

    record = read_record(options.take)
    lines = drift_lines(record, options.take)
    if options.picture:
        from booth.plots import drift_figure, save_figure

        save_figure(drift_figure(record["parts"], Path(options.take).stem), options.picture)
        lines.append(str(options.picture))
    return lines


def drift_lines(record: Mapping[str, Any], name: str) -> list[str]:
    """Return a line for each part of a take's record, and which parts fall out."""
    from bark.longform.drift import Heard, Limits

    parts = record.get("parts", [])
    if not any("heard" in part for part in parts):
        fix = "Speak it with --drift measure, or --drift repair"
        raise BarkError(f"{name}: its parts were not measured", fix=fix)
    limits = Limits(**record.get("drift", {}).get("limits", {}))
    lines = ["part" + "".join(f"{column:>10}" for column in COLUMNS) + "  spoken"]
    firsts: dict[str | None, Heard] = {}
    fallen = []
    for part in parts:
        kept = part.get("heard", {})
        heard = Heard.of(kept)
        first = firsts.get(part["speaker"], Heard())
        out = limits.fallen(heard, first)
        firsts[part["speaker"]] = Heard.of(kept | first.record())
        shown = "".join(
            f"{format(kept[column], form) if column in kept else '-':>10}"
            for column, form in COLUMNS.items()
        )
        times = f"{part.get('spoken', 1):>8}"
        lines.append(f"{part['number']:4}{shown}{times}  {' '.join(out)}".rstrip())
        fallen += [part["number"]] if out else []
    numbers = ", ".join(map(str, fallen)) or "none"
    return [*lines, f"{len(parts)} parts; out of line with the first: {numbers}"]
