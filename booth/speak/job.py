"""Turns a job into speech, speech into a take with its record, and a record back into the job."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bark.errors import BarkError, SettingError, VoiceError
from bark.longform.join import join_audio
from bark.longform.speak import LongTake, speak_parts
from bark.pipeline import Bark
from bark.text.dialogue import Turn
from bark.voice.voice import Voice
from booth.takes.take import SOFTWARE, Take, read_record, save_take, slug
from hubert.judge import TakeJudge

from .cast import Cast

logger = logging.getLogger(__name__)

KEPT_INFO = ("consent", "language", "source_sha256")  # of a voice, which hold for what it says too


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
    settings: Mapping[str, Any] = field(
        default_factory=dict
    )  # every field of `bark.pipeline.Settings`
    candidates: int = 1  # takes of each part, of which the best is kept


def perform(
    bark: Bark,
    job: Job,
    journal: Path | None = None,
    regenerate: Collection[int] = (),
    progress: bool = False,
    tick: Callable[[], None] | None = None,
    judge: TakeJudge | None = None,
) -> LongTake:
    """Speak one job; `tick` is called after each part, `judge` chooses among candidates."""
    made = []
    for part in speak_parts(
        bark, job.turns, job.cast.voice, voices=job.cast.voices, mode=job.mode, seed=job.seed,
        journal=journal, regenerate=regenerate, candidates=job.candidates, judge=judge,
        progress=progress, **job.settings,
    ):  # fmt: skip
        made.append(part)
        if tick is not None:
            tick()
    rate = bark.layout.sample_rate
    audio = join_audio([part.audio for part in made], rate, job.silence, job.crossfade)
    return LongTake(audio, tuple(made), rate, job.seed, job.mode, bark.name, bark.layout)


def judge_of(bark: Bark, candidates: int) -> TakeJudge | None:
    """Return who chooses among so many takes; a `MissingFileError` where its tools are not
    installed.
    """
    return None if candidates == 1 else TakeJudge(bark)


def stem_of(text: str, label: str, seed: int | str) -> str:
    """Return a readable file name: the text's first words, who speaks, the seed."""
    return "-".join(part for part in (slug(text), label, str(seed)) if part)


def keep(
    job: Job,
    spoken: LongTake,
    bark: Bark,
    model: Mapping[str, Any],
    *,
    run: str,
    target: Path,
    suffix: str,
    journal: Path | None = None,
    with_voice: bool = True,
) -> Take:
    """Save what was spoken: audio, voice, record and journal.

    Parameters
    ----------
    model : the arguments of ``Bark.from_pretrained``.
    run : the name of the run, by which ``--regenerate`` finds its take.
    target : path without suffix.
    """
    record = {
        "run": run,
        "name": target.name,
        "text": job.text,
        "seed": job.seed,
        "model": dict(model),
        "device": str(bark.devices.get("semantic", "cpu")),
        "voice": _reference(job.cast.voice, job.cast.reference),
        "voices": {
            n: _reference(voice, job.cast.references.get(n)) for n, voice in job.cast.voices.items()
        },
        "mode": job.mode,
        "silence": job.silence,
        "crossfade": job.crossfade,
        "settings": dict(job.settings),
        "candidates": job.candidates,
        "parts": [
            {
                "number": part.number,
                "text": part.text,
                "speaker": part.speaker,
                "seed": part.seed,
                "take": part.take,
                "seconds": round(len(part.audio) / spoken.sample_rate, 3),
                "tokens_sha256": part.tokens.digest,
                **({} if part.score is None else {"score": round(part.score, 4)}),
            }
            for part in spoken.parts
        ],
    }
    voice = _as_voice(job, spoken, bark) if with_voice else None
    return save_take(
        spoken.audio,
        spoken.sample_rate,
        record,
        folder=target.parent,
        stem=target.name,
        suffix=suffix,
        voice=voice,
        layout=bark.layout,
        journal=journal,
    )


def cast_of(record: Mapping[str, Any], bark: Bark) -> Cast:
    """Find the voices of a record again, and make sure that they are the same."""
    voices = {name: _found(bark, reference) for name, reference in record["voices"].items()}
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


def _reference(voice: Voice | None, reference: str | None) -> dict[str, str | None] | None:
    return None if voice is None else {"reference": reference, "sha256": voice.digest}


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


def _as_voice(job: Job, spoken: LongTake, bark: Bark) -> Voice | None:
    """Return the take as a history prompt, with what its info must not lose."""
    try:
        voice = spoken.voice
    except VoiceError as error:
        logger.warning("%s: no .npz is written", error)
        return None
    before = {} if job.cast.voice is None else job.cast.voice.info
    info = {key: before[key] for key in KEPT_INFO if key in before}
    info |= {"model": bark.name, "tool": SOFTWARE, "spoken": job.text[:200], "seed": str(job.seed)}
    return replace(voice, info=info | {"date": datetime.now(UTC).isoformat(timespec="seconds")})
