"""``/v1/audio/speech/long``: texts of any length, spoken in the background, fetched when done."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile

from bark.audio.postprocess import Step
from bark.errors import MissingFileError, SettingError, TextError
from bark.longform.join import Joiner
from bark.speech import speech_tags
from bark.stages.seeds import MAX_SEED
from bark.storage.json import decode
from bark.voice.voice import Voice
from booth.jobs.order import Order, planned
from booth.jobs.record import DriftMode, JobRecord, JobState
from booth.jobs.state import state_of
from booth.takes.take import slug

from .context import Context, context_of
from .encode import FORMATS, Encoder, finished, steps_of
from .errors import ApiError
from .models import check_model
from .speech import SpeechRequest

router = APIRouter(prefix="/v1/audio/speech/long")
Kind = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Made = TypeVar("Made")
GLANCE = 0.25  # seconds between two looks at a job whose events are sent
QUIET = 10.0  # seconds after which a comment keeps the connection


class LongRequest(SpeechRequest):
    """A request to speak, of any length, and who says which lines."""

    input: str = ""
    voices: dict[str, str] = {}  # of a dialogue: the name in the script → voice
    drift: DriftMode | None = None  # measure each part, or repair what falls out


class RedoRequest(BaseModel):
    """The seed of another take; None draws one."""

    seed: Annotated[int | None, Field(ge=0, le=MAX_SEED)] = None


@router.post("")
async def create_job(request: Request) -> JSONResponse:
    """Take a text, as JSON or as a form with a `file`, and begin to speak it."""
    context = context_of(request)
    asked = await _asked(request)
    check_model(asked.model, context)
    await to_thread.run_sync(steps_of, asked.steps)
    await context.worker.tools(asked.best_of, asked.drift)
    name = await to_thread.run_sync(_create, asked, context, limiter=context.planning)
    context.worker.wake()
    address = {"Location": f"{router.prefix}/{name}"}
    return JSONResponse((await _state(context, name)).to_dict(), 201, address)


@router.get("")
async def list_jobs(request: Request) -> dict[str, Any]:
    """List all jobs, the newest first, without their parts."""
    context = context_of(request)

    def listed() -> list[dict[str, Any]]:
        found = []
        for name in reversed(context.jobs.ids()):
            try:
                found.append(_read(context, name).to_dict(parts=False))
            except MissingFileError:  # deleted meanwhile
                continue
        return found

    return {"object": "list", "data": await to_thread.run_sync(listed)}


@router.get("/{job}")
async def get_job(job: str, request: Request) -> dict[str, Any]:
    """Say how far a job is."""
    return (await _state(context_of(request), job)).to_dict()


@router.get("/{job}/events")
async def watch_job(job: str, request: Request) -> StreamingResponse:
    """Send the state of a job whenever it changes, until it is done, has failed or is deleted."""
    context = context_of(request)
    first = await _state(context, job)
    return StreamingResponse(_events(context, first), media_type="text/event-stream")


@router.post("/{job}/pause")
async def pause_job(job: str, request: Request) -> dict[str, Any]:
    """Let a job rest, in the middle of a part if need be."""
    return await _changed(request, job, context_of(request).jobs.pause)


@router.post("/{job}/resume")
async def resume_job(job: str, request: Request) -> dict[str, Any]:
    """Let a job go on, also one that has failed."""
    return await _changed(request, job, context_of(request).jobs.resume)


@router.post("/{job}/parts/{part}/redo")
async def redo_part(
    job: str, part: int, request: Request, asked: RedoRequest | None = None
) -> dict[str, Any]:
    """Speak one part again, with another seed."""
    seed = None if asked is None else asked.seed
    store = context_of(request).jobs
    return await _changed(request, job, lambda name: store.redo(name, part, seed))


@router.delete("/{job}")
async def delete_job(job: str, request: Request) -> dict[str, Any]:
    """Remove a job and all that it made."""
    store = context_of(request).jobs
    await _known(store.delete, job)
    return {"id": job, "object": "audio.speech.job", "deleted": True}


@router.get("/{job}/audio")
async def get_audio(job: str, request: Request, format: Kind | None = None) -> StreamingResponse:
    """Send the whole speech of a finished job in any format."""
    context = context_of(request)
    state = await _state(context, job)
    if state.status != "done":
        raise ApiError(
            409,
            f"{state.parts_done} of {state.parts_total} parts are spoken; the audio is there when "
            "all are. Single parts can be fetched before",
            code="job_not_done",
        )
    return await _audio(context, job, range(1, state.parts_total + 1), format)


@router.get("/{job}/parts/{part}/audio")
async def get_part_audio(
    job: str, part: int, request: Request, format: Kind | None = None
) -> StreamingResponse:
    """Send the speech of one part."""
    context = context_of(request)
    if part not in await _known(context.jobs.parts, job):
        raise ApiError(404, f"part {part} of the job is not spoken", code="part_not_found")
    return await _audio(context, job, [part], format)


# ---- what comes in -------------------------------------------------------------------------------


async def _asked(request: Request) -> LongRequest:
    """Read the body: JSON, or a form whose `file` holds the text."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        values = await _form(request)
    elif kind in ("application/json", ""):
        values = decode(await request.body(), dict[str, Any], "the body", SettingError)
    else:
        raise ApiError(415, f"the body is of type {kind[:80]!r}; allowed: JSON, or a form")
    try:
        return LongRequest.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error


async def _form(request: Request) -> dict[str, Any]:
    values: dict[str, Any] = {}
    async with request.form(max_files=1, max_fields=32) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "file":
                    raise ApiError(400, "a file in the form must be named file", param=name[:80])
                values["input"] = _text_of(await value.read())
            elif name == "voices":
                values[name] = decode(value, dict[str, Any], "voices", SettingError)
            elif name == "postprocess":
                values.setdefault(name, []).append(value)
            else:
                values.setdefault(name, value)
    return values


def _text_of(data: bytes) -> str:
    """Return the text of a file: UTF-8, or UTF-16 that says so."""
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at {error.start}"
        raise TextError("file is not UTF-8", found, fix="Save it as UTF-8") from error


def _create(asked: LongRequest, context: Context) -> str:
    most = context.settings.long_letters
    if len(asked.input) > most:
        raise ApiError(
            413, f"the text has {len(asked.input)} letters; allowed: up to {most}", param="input",
            code="string_above_max_length",
        )  # fmt: skip
    order = Order(
        asked.input, asked.voice_name, asked.voices, asked.settings, asked.seed, asked.best_of,
        asked.response_format, asked.speed, asked.drift, asked.steps,
    )  # fmt: skip
    record, voices = planned(order, context.engine.bark, context.find)
    return context.jobs.create(record, voices)


# ---- what goes out -------------------------------------------------------------------------------


def _read(context: Context, name: str) -> JobState:
    bark = context.engine.bark
    return state_of(context.jobs, name, bark.name, bark.layout)


async def _state(context: Context, name: str) -> JobState:
    return await _known(lambda job: _read(context, job), name)


async def _known(work: Callable[[str], Made], name: str) -> Made:
    """Do something with a job in a thread; 404 where there is none."""
    try:
        return await to_thread.run_sync(work, name)
    except MissingFileError as error:
        raise ApiError(404, str(error), code="job_not_found") from error


async def _changed(request: Request, name: str, change: Callable[[str], Any]) -> dict[str, Any]:
    context = context_of(request)
    await _known(change, name)
    context.worker.wake()
    return (await _state(context, name)).to_dict()


async def _events(context: Context, state: JobState) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    last = None
    while True:
        if state != last:
            last, told = state, loop.time()
            yield f"data: {json.dumps(state.to_dict())}\n\n"
        elif loop.time() - told > QUIET:
            told = loop.time()
            yield ": still here\n\n"
        if state.status in ("done", "failed"):
            return
        await asyncio.sleep(GLANCE)
        try:
            state = await _state(context, state.id)
        except ApiError:
            yield f"data: {json.dumps({'id': state.id, 'status': 'deleted'})}\n\n"
            return


async def _audio(
    context: Context, name: str, numbers: Sequence[int], kind: Kind | None
) -> StreamingResponse:
    """Send parts joined, each decoded in a turn of the model, from the first one on."""
    record = await _known(context.jobs.record, name)
    journal = await _known(context.jobs.journal, name)
    kind = kind or record.response_format  # type: ignore[assignment]
    voices = (journal.tokens(number) for number in numbers)
    steps = await to_thread.run_sync(steps_of, record.postprocess or ())
    audios = (await _decoded(context, tokens, steps) for tokens in voices)
    first = await anext(audios)
    rate = context.engine.bark.layout.sample_rate
    encoder = Encoder(str(kind), rate, speech_tags(record.title, record.seed), record.speed)
    file = _file_name(record, numbers, str(kind))
    return StreamingResponse(
        _joined(first, audios, len(numbers), encoder),
        media_type=FORMATS[str(kind)].media_type,
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file)}"},
    )


async def _joined(
    audio: np.ndarray, others: AsyncIterator[np.ndarray], count: int, encoder: Encoder
) -> AsyncIterator[bytes]:
    joiner = Joiner(encoder.rate)
    for number in range(1, count + 1):
        if number > 1:
            audio = await anext(others)
        pieces = joiner.part((piece for piece in [audio]), last=number == count)
        joined = np.concatenate(list(pieces))
        if data := await to_thread.run_sync(encoder.add, joined):
            yield data
    if data := await to_thread.run_sync(encoder.finish):
        yield data


async def _decoded(context: Context, tokens: Voice, steps: Sequence[Step]) -> np.ndarray:
    """Return the audio of a part, which goes through the steps alone: a book is never held."""
    audio = await context.engine.call(lambda bark: bark.decode(tokens.fine), bounded=False)
    return await finished(audio, context.engine.bark.layout.sample_rate, steps)


def _file_name(record: JobRecord, numbers: Sequence[int], kind: str) -> str:
    part = f"-part-{numbers[0]}" if len(numbers) < len(record.parts) else ""
    return f"{slug(record.title)}-{record.seed}{part}.{kind}"
