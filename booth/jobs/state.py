"""How far a job is, read from its folder."""

from collections.abc import Mapping

from bark.errors import BarkError
from bark.longform.journal import Record
from bark.tokens import TokenLayout

from .record import Failure, JobRecord, JobState, PartState, PartStatus, Status
from .store import JobStore


def state_of(store: JobStore, name: str, model: str, layout: TokenLayout) -> JobState:
    """Return the state of a job.

    Parameters
    ----------
    model, layout : of the model that is loaded here; a job of another model waits for it.
    """
    record = store.record(name)
    done: Mapping[int, Record] = {}
    pace, failure = store.pace(name), store.failure(name)
    try:
        done = store.parts(name)
    except BarkError as error:  # its journal is damaged
        failure = Failure(0, str(error))
    waiting = {want.number: want for want in store.waiting(name, record, done)}
    if waiting and record.model != model:
        failure = Failure(0, f"this job is for the model {record.model}; here {model} speaks")
    status = _status(store, name, bool(waiting), failure)
    at_work = pace if status == "running" else None
    parts, rest = [], 0.0
    for number, line in enumerate(record.parts, 1):
        made = done.get(number)
        seconds = None if made is None else made.fine[0][1] / layout.coarse_rate
        progress = float(number not in waiting)
        state: PartStatus = "done"
        if number in waiting:
            state = "queued"
            if at_work is not None and at_work.part == number:
                state, progress = "running", at_work.share
            if failure is not None and failure.part == number:
                state = "failed"
            rest += line.estimate * (1 - progress)
        parts.append(
            PartState(
                number,
                line.text,
                line.speaker,
                state,
                round(progress, 3),
                None if seconds is None else round(seconds, 3),
                None if made is None else made.seed,
                0 if made is None else made.take,
                None if made is None else made.heard,
                1 if made is None else made.spoken,
            )  # fmt: skip
        )
    spoken = sum(part.seconds or 0.0 for part in parts if part.index not in waiting)
    factor = None if pace is None else pace.factor
    return JobState(
        name, status, record.title, record.model, record.created, record.seed,
        {voice.speaker or "": voice.name for voice in record.voices}, record.response_format,
        tuple(parts), len(parts), len(parts) - len(waiting), round(spoken, 3),
        round(spoken + rest, 1),
        round(rest * factor, 1) if factor is not None else None if waiting else 0.0,
        None if failure is None else failure.message,
        record.drift or None, tuple(record.postprocess or ()),
    )  # fmt: skip


def _status(store: JobStore, name: str, unfinished: bool, failure: Failure | None) -> Status:
    if not unfinished:
        return "done"
    if failure is not None:
        return "failed"
    if store.is_paused(name):
        return "paused"
    return "running" if store.is_held(name) else "queued"


def expects_work(store: JobStore, name: str, record: JobRecord, model: str) -> bool:
    """Tell whether a process with this model should take the job up."""
    try:
        rests = store.is_paused(name) or store.failure(name) is not None or record.model != model
        return not rests and bool(store.waiting(name, record, store.parts(name)))
    except BarkError:  # deleted meanwhile, or damaged
        return False
