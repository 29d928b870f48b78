"""One take: its job, spoken and kept, and its record read back into the job."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bark.audio.postprocess import AnyStep
from bark.errors import BarkError, SettingError, VoiceError
from bark.longform.drift import Drift, Limits
from bark.longform.speak import LongTake, speak_long
from bark.pipeline import Bark
from bark.stages.progress import Watch
from bark.text.dialogue import Turn
from bark.voice.voice import Voice
from booth.takes.take import Take, read_record, save_take, slug
from hubert.judge import TakeJudge

from .cast import Cast


@dataclass(frozen=True)
class Job:
    """All that one take depends on, beside the model."""

    text: str
    turns: tuple[Turn, ...]
    cast: Cast
    mode: str
    seed: int
    silence: float = 0.0  # seconds between parts
    crossfade: float = 0.0  # seconds that parts overlap
    settings: Mapping[str, Any] = field(default_factory=dict)  # all of them
    candidates: int = 1  # takes of each part, of which the best is kept


def perform(
    bark: Bark,
    job: Job,
    journal: Path | None = None,
    regenerate: Collection[int] = (),
    *,
    bars: bool = False,
    on_part: Callable[[], None] | None = None,
    judge: TakeJudge | None = None,
    drift: Drift | None = None,
) -> LongTake:
    """Speak one job; `on_part` is called after each part, `judge` chooses among candidates, and
    `drift` keeps the parts alike.
    """

    def told(stage: str, done: int, total: int) -> None:
        if stage == "parts" and on_part is not None:
            on_part()

    spoken = speak_long(
        bark,
        job.turns,
        job.cast.voice,
        voices=job.cast.voices,
        seed=job.seed,
        journal=journal,
        progress=Watch(bars, told),
        mode=job.mode,
        silence=job.silence,
        crossfade=job.crossfade,
        regenerate=regenerate,
        candidates=job.candidates,
        judge=judge,
        drift=drift,
        **job.settings,  # type: ignore[typeddict-item]  # by the names of `SettingChanges`
    )
    references: dict[str | None, str | None] = {None: job.cast.reference}
    references.update(job.cast.references)
    return replace(spoken, text=job.text, references=references)


def judge_of(bark: Bark, candidates: int) -> TakeJudge | None:
    """Return what chooses among so many takes; an error where its tools are not installed."""
    return None if candidates == 1 else TakeJudge(bark)


def drift_of(bark: Bark, how: str | Mapping[str, Any] | None) -> Drift | None:
    """Return what measures the parts of a long text, and speaks some again.

    Parameters
    ----------
    how : "measure", "repair", or what a record has kept; None is neither.
    """
    if not how:
        return None
    from hubert.drift import PartListener

    if isinstance(how, str):
        return Drift(PartListener(bark), repair=how == "repair")
    return Drift(PartListener(bark), bool(how["repair"]), Limits(**how["limits"]))


def stem_of(text: str, label: str, seed: int | str) -> str:
    """Return a readable file name: the text's first words, who speaks, the seed."""
    return "-".join(part for part in (slug(text), label, str(seed)) if part)


def keep(
    spoken: LongTake,
    *,
    run: str,
    target: Path,
    suffix: str,
    journal: Path | None = None,
    with_voice: bool = True,
    postprocess: Sequence[AnyStep] = (),
) -> Take:
    """Save what was spoken: audio, voice, record and journal.

    Parameters
    ----------
    run : the name of the run, by which ``--regenerate`` finds its take.
    target : path without suffix.
    """
    record = {"run": run, "name": target.name, **spoken.record()}
    take = save_take(
        spoken, record, target=target, suffix=suffix, with_voice=with_voice, journal=journal,
        postprocess=postprocess,
    )  # fmt: skip
    return replace(take, unfinished=spoken.unfinished)


def cast_of(record: Mapping[str, Any], bark: Bark) -> Cast:
    """Find the voices of a record again, and make sure that they are the same."""
    voices = {name: _found(bark, kept) for name, kept in record["voices"].items()}
    kept = record["voice"]
    return Cast(
        None if kept is None else _found(bark, kept),
        None if kept is None else kept["reference"],
        voices,
        {name: reference["reference"] for name, reference in record["voices"].items()},
    )


def turns_of(record: Mapping[str, Any]) -> tuple[Turn, ...]:
    """Return the parts of a record."""
    return tuple(Turn(part["speaker"], part["text"]) for part in record["parts"])


def last_take(folder: Path, run: str) -> Path:
    """Return the newest record that a run of this name left in `folder`."""
    found = []
    for path in folder.glob("*.json"):
        try:
            record = read_record(path)
        except BarkError:  # somebody else's JSON
            continue
        if record.get("run") == run:
            found.append((path.stat().st_mtime_ns, path))
    if not found:
        raise SettingError(
            f"no take of this very command lies in {folder}, so no part of it can be drawn anew",
            fix="Give the command that made it, or: bark replay TAKE.json --regenerate 3,7",
        )
    return max(found)[1]


def _found(bark: Bark, kept: Mapping[str, Any]) -> Voice:
    reference = kept["reference"]
    voice = None if reference is None else bark.resolve_voice(reference)
    if voice is None:
        raise VoiceError(f"the voice of the take was not kept; its SHA-256 is {kept['sha256']}")
    if voice.digest != kept["sha256"]:
        raise VoiceError(
            f"{reference} is not the voice of the take", f"SHA-256 {voice.digest}", kept["sha256"]
        )
    return voice
