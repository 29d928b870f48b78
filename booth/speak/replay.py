"""Speaks a recorded take again, token for token, or with some parts drawn anew."""

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark.audio.postprocess import is_built_in, step_of
from bark.checkpoints.trust import is_here
from bark.codec.decoder import HUB_FILE, PUBLISHED
from bark.errors import BarkError
from bark.longform.speak import LongTake
from bark.pipeline import Bark
from bark.stages.seeds import STAGES
from booth.takes.take import Take, read_record, workshop

from .job import Job, cast_of, drift_of, judge_of, keep, perform, turns_of

logger = logging.getLogger(__name__)

# what a record of one utterance, saved by `Generation.save`, leaves out
ABSENT = {
    "run": "", "voices": {}, "mode": "anchored", "silence": 0.0, "crossfade": 0.0, "candidates": 1,
    "postprocess": [], "drift": None,
}  # fmt: skip
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


@dataclass(frozen=True)
class Target:
    """Where a replayed take goes; None: beside the first one, under its name, in its format."""

    folder: str | Path | None = None
    name: str | None = None
    suffix: str | None = None


BESIDE = Target()


def replay(
    path: str | Path,
    *,
    bark: Bark | None = None,
    target: Target = BESIDE,
    device: str | None = None,
    regenerate: Collection[int] = (),
    postprocess: Sequence[str] | None = None,
    bars: bool = False,
) -> Replay:
    """Speak a recorded take again and save it.

    Parameters
    ----------
    path : the take's JSON record.
    bark : the take's model, if it is loaded already.
    target : of the new files.
    device : where to run, by default where the take was made; another device may draw other tokens.
    regenerate : numbers of parts to draw anew; the others keep their tokens.
    postprocess : steps before the file is written, by default the take's own built-in ones.

    Raises
    ------
    BarkError
        If the record is broken, or the voice or the model is not there any more.
    """
    path = Path(path)
    record: dict[str, Any] = {**ABSENT, **read_record(path)}
    try:
        bark = bark or _loaded(_model(record, device), path, bars)
        job = _job(record, bark)
        takes = {part["number"]: part["take"] for part in record["parts"]}
        known = {part["number"]: part["tokens_sha256"] for part in record["parts"]}
        steps = _steps(record["postprocess"], path) if postprocess is None else postprocess
        name, suffix = Path(str(record["name"])).name, Path(record["audio"]).suffix
    except (KeyError, TypeError, AttributeError) as error:
        raise BarkError(f"{path} is damaged: {type(error).__name__} {error}") from error
    judge, drift = judge_of(bark, job.candidates), drift_of(bark, record["drift"])
    watched: dict[str, Any] = {"bars": bars, "judge": judge, "drift": drift}
    new = Path(target.folder or path.parent) / (target.name or name)
    with workshop(new.parent) as shop:
        journal = shop / "parts.journal"
        stored = path.parent / (record["journal"] or "")
        if regenerate and stored.is_file():
            shutil.copyfile(stored, journal)
        else:
            spoken = _again(bark, job, takes, journal, watched)
        if regenerate:
            spoken = perform(bark, job, journal, regenerate, **watched)
        take = keep(
            spoken, run=record["run"], target=new, suffix=target.suffix or suffix,
            journal=journal if len(job.turns) > 1 else None,
            with_voice=record["voice_file"] is not None,
            postprocess=list(map(step_of, steps)),
        )  # fmt: skip
    differs = [
        part.number for part in spoken.parts
        if part.tokens.digest != known[part.number] and part.number not in regenerate
    ]  # fmt: skip
    return Replay(take, tuple(differs))


def _model(record: Mapping[str, Any], device: str | None) -> dict[str, Any]:
    model = dict(record["model"])
    if device or "device" in record:  # where an earlier version kept it
        model["device"] = device or record["device"]
    return model


def _loaded(model: Mapping[str, Any], path: Path, bars: bool) -> Bark:
    """Load the model of a record, unless that would download something nobody typed."""
    decoder = model.get("decoder")
    named = {str(model[part]): "config.json" for part in ("name", *STAGES) if model.get(part)}
    named |= {} if decoder in (None, PUBLISHED) else {str(decoder): HUB_FILE}
    for name, file in named.items():
        if not is_here(name, file):
            fix = f"If you trust it, run: hf download {name}"
            raise BarkError(f"{path} was made by a model that is not here", name, fix=fix)
    return Bark.from_pretrained(**model, progress=bars)


def _steps(recorded: Sequence[str], path: Path) -> list[str]:
    """Return the built-in steps of a record; another package's might read any file it names."""
    for name in recorded:
        if not is_built_in(name):
            logger.warning(
                "%s went through %s, which a record alone does not start. If you trust it, repeat "
                "all its steps with --postprocess", path, name,
            )  # fmt: skip
    return [name for name in recorded if is_built_in(name)]


def _job(record: Mapping[str, Any], bark: Bark) -> Job:
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
    draws: Mapping[int, int],
    journal: Path,
    watched: Mapping[str, Any],
) -> LongTake:
    """Speak all parts, then those that were drawn anew once more, as often as they were."""
    spoken = perform(bark, job, journal, **watched)
    for draw in range(1, max(draws.values()) + 1):
        again = [number for number, drawn in draws.items() if drawn >= draw]
        spoken = perform(bark, job, journal, again, **watched)
    return spoken
