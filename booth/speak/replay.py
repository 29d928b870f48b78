"""Turns ``bark replay take.json`` into the same take again, token for token, or with some parts
new.
"""

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark.commandline import DEVICE, FOLDER, OneLineParser, choice
from bark.errors import BarkError
from bark.longform.speak import LongTake
from bark.pipeline import Bark
from booth.cli.kinds import FORMATS, PARTS
from booth.takes.take import Take, read_record, workshop
from hubert.judge import TakeJudge

from .job import Job, cast_of, judge_of, keep, perform, turns_of

KINDS = {  # of values in a record that are used as they are
    "text": (str,),
    "mode": (str,),
    "seed": (int,),
    "silence": (int, float),
    "crossfade": (int, float),
    "candidates": (int,),
}


@dataclass(frozen=True)
class Replay:
    """A replayed take."""

    take: Take
    different: tuple[int, ...]  # numbers of parts whose tokens are not the recorded ones


def replay(
    path: str | Path,
    *,
    bark: Bark | None = None,
    folder: str | Path | None = None,
    suffix: str | None = None,
    device: str | None = None,
    regenerate: Collection[int] = (),
    progress: bool = False,
) -> Replay:
    """Speak a recorded take again and save it beside the first one, or in `folder`.

    Parameters
    ----------
    path : the take's JSON record.
    bark : the take's model, if it is loaded already.
    device : where to run, by default where the take was made; another device may draw other tokens.
    regenerate : numbers of parts to draw anew; the others keep their tokens.

    Raises
    ------
    BarkError
        If the record is broken, or the voice or the model is not there any more.
    """
    path = Path(path)
    record = read_record(path)
    try:
        model = {**record["model"], "device": device or record["device"]}
        bark = bark or Bark.from_pretrained(**model)
        job = _job(record, bark)
        takes = {part["number"]: part["take"] for part in record["parts"]}
        known = {part["number"]: part["tokens_sha256"] for part in record["parts"]}
        name, ending = str(record["name"]), Path(record["audio"]).suffix
    except (KeyError, TypeError, AttributeError) as error:
        raise BarkError(f"{path} is damaged: {type(error).__name__} {error}") from error
    judge = judge_of(bark, job.candidates)
    target = Path(folder or path.parent) / Path(name).name
    with workshop(target.parent) as shop:
        journal = shop / "parts.journal"
        stored = path.parent / (record["journal"] or "")
        if regenerate and stored.is_file():
            shutil.copyfile(stored, journal)
        else:
            spoken = _again(bark, job, takes, journal, progress, judge)
        if regenerate:
            spoken = perform(bark, job, journal, regenerate, progress, judge=judge)
        take = keep(
            job,
            spoken,
            bark,
            model,
            run=record["run"],
            target=target,
            suffix=suffix or ending,
            journal=journal if len(job.turns) > 1 else None,
            with_voice=record["voice_file"] is not None,
        )
    differs = [part.number for part in spoken.parts if part.tokens.digest != known[part.number]]
    return Replay(take, tuple(number for number in differs if number not in regenerate))


def build_parser() -> OneLineParser:
    """Return the parser of ``bark replay``."""
    parser = OneLineParser(
        prog="bark replay", description="Speak a recorded take again, token for token."
    )
    parser.add_argument("take", help="the .json beside the audio")
    parser.flag("--output_dir", FOLDER, "folder for it (default: beside the first)")
    parser.flag("--output_format", choice(*FORMATS), "instead of the first one's")
    parser.flag("--device", DEVICE, "instead of the one the take was made on")
    parser.flag("--regenerate", PARTS, "draw these parts anew; all others keep their tokens", ())
    parser.add_argument("--silent", action="store_true", help="no progress bars")
    return parser


def run(argv: Sequence[str]) -> tuple[list[str], int]:
    """Do what ``bark replay`` with these arguments asks; return the lines to print and the exit
    code.
    """
    options = build_parser().parse_args(argv)
    done = replay(
        options.take,
        folder=options.output_dir,
        suffix=options.output_format and f".{options.output_format}",
        device=options.device,
        regenerate=options.regenerate,
        progress=not options.silent and sys.stderr.isatty(),
    )
    lines = [str(done.take.audio)]
    if not done.different:
        others = "the other parts' " if options.regenerate else ""
        return lines + [f"{others}tokens are identical to the take's"], 0
    parts = ", ".join(map(str, done.different))
    return lines + [
        f"tokens differ from the take's in part {parts}: another device, model or version"
    ], 1


def _job(record: Mapping[str, Any], bark: Bark) -> Job:
    record = {"candidates": 1, **record}  # takes made before there were any
    for name, kinds in KINDS.items():
        if type(record[name]) not in kinds:
            raise TypeError(f"{name} is {record[name]!r}")
    settings = bark.defaults.changed(record["settings"]).to_dict()
    return Job(
        text=record["text"],
        turns=turns_of(record),
        cast=cast_of(record, bark),
        mode=record["mode"],
        seed=record["seed"],
        silence=record["silence"],
        crossfade=record["crossfade"],
        settings=settings,
        candidates=record["candidates"],
    )


def _again(
    bark: Bark,
    job: Job,
    takes: Mapping[int, int],
    journal: Path,
    progress: bool,
    judge: TakeJudge | None,
) -> LongTake:
    """Speak all parts, then those that were drawn anew once more, as often as they were."""
    spoken = perform(bark, job, journal, (), progress, judge=judge)
    for draw in range(1, max(takes.values()) + 1):
        again = [number for number, take in takes.items() if take >= draw]
        spoken = perform(bark, job, journal, again, progress, judge=judge)
    return spoken
