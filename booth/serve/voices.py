"""``/v1/audio/voices``: list, clone, rename, hear, fetch and delete voices; examine a recording."""

import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel

from bark.audio.write import AI_TAG, encode_audio
from bark.errors import VoiceError
from bark.pipeline import Bark
from bark.voice.names import check_name, is_suno_preset
from bark.voice.voice import Voice
from booth.voices.library import Entry
from hubert.reference.source import open_source

from .consents import statement_of
from .context import Context, context_of
from .errors import ApiError
from .speech import SpeechRequest, job_of, until_gone
from .uploads import report_of

router = APIRouter()
Made = TypeVar("Made")
Seconds = Annotated[float | None, Form(ge=0)]
HEARD = 512  # frames of a preview: what the fine stage hears


class NewName(BaseModel):
    """What a voice is to be called."""

    name: str


class TakeRequest(SpeechRequest):
    """A take, and what to call the voice that it becomes."""

    name: str


@router.get("/v1/audio/voices")
async def list_voices(request: Request) -> dict[str, Any]:
    """List voices, for OpenAI's client (``data``) and for Open WebUI (``voices``)."""
    entries = await to_thread.run_sync(context_of(request).entries)
    return {
        "object": "list",
        "data": [_described(entry) for entry in entries],
        "voices": [{"id": entry.name, "name": entry.name} for entry in entries],
        "has_more": False,
    }


@router.post("/v1/audio/voices")
async def create_voice(
    request: Request,
    name: Annotated[str, Form()],
    audio_sample: UploadFile | None = None,
    consent: Annotated[str | None, Form()] = None,
    type: Annotated[str, Form()] = "audio_sample",
    language: Annotated[str, Form()] = "en",
    start: Seconds = None,
    end: Seconds = None,
) -> dict[str, Any]:
    """Clone a voice from a recording, with the consent of whoever speaks in it."""
    context = context_of(request)
    if type != "audio_sample":
        raise ApiError(400, f"type: got {type[:40]!r}; allowed: audio_sample", param="type")
    if audio_sample is None:
        raise ApiError(400, "audio_sample: a recording is missing", param="audio_sample")
    statement = await to_thread.run_sync(statement_of, consent, context)
    await _named(context, lambda: context.library.check_free(name))
    async with context.desk.saved(audio_sample) as path:
        report, _ = await context.desk.examined(path, start, end)
        cloner = await context.desk.cloner(context.engine.bark, language)
        made = await context.engine.call(
            lambda bark: cloner.clone(
                open_source(path, isolated=True), consent=statement, report=report
            )
        )
    layout = context.engine.bark.layout
    file = await _named(context, lambda: context.library.keep(made.voice, name, layout))
    findings = [finding.to_dict() for finding in made.findings]
    return (
        _described(Entry(check_name(name), "own", file))
        | report_of(report)
        | {"findings": findings}
    )


@router.post("/v1/audio/voices/from_take")
async def keep_take(asked: TakeRequest, request: Request) -> dict[str, Any]:
    """Speak a take again, by its seed, and keep it as a voice."""
    context = context_of(request)
    context.engine.check_room()
    await _named(context, lambda: context.library.check_free(asked.name))
    job = await to_thread.run_sync(job_of, asked, context)
    handle = await context.engine.submit(job, context.find)

    async def spoken() -> None:
        async for _ in handle.pieces():
            pass

    await until_gone(spoken(), handle, request)
    layout = context.engine.bark.layout
    spoken_voice = handle.stream.voice
    file = await _named(context, lambda: context.library.keep(spoken_voice, asked.name, layout))
    return _described(Entry(check_name(asked.name), "own", file)) | {"seed": job.seed}


@router.post("/v1/audio/check")
async def check_recording(
    request: Request,
    recording: UploadFile | None = None,
    audio_sample: UploadFile | None = None,
    start: Seconds = None,
    end: Seconds = None,
) -> dict[str, Any]:
    """Say what a recording is like, and which seconds of it would be cloned."""
    upload = recording or audio_sample
    if upload is None:
        raise ApiError(400, "recording: a recording is missing", param="recording")
    desk = context_of(request).desk
    async with desk.saved(upload) as path:
        return report_of(*await desk.examined(path, start, end))


@router.get("/v1/audio/voices/{voice:path}/preview")
async def preview_voice(voice: str, request: Request) -> Response:
    """Return how a voice sounds, from its own codes, as wav."""
    context = context_of(request)
    found = await _voice(voice, context)
    audio = await context.engine.call(lambda bark: _decoded(bark, found))
    tags = {"title": voice[:120], "comment": f"{AI_TAG}. The end of the voice {voice[:120]}"}
    rate = context.engine.bark.layout.sample_rate
    data = await to_thread.run_sync(encode_audio, audio, rate, "wav", tags)
    return Response(data, media_type="audio/wav")


@router.get("/v1/audio/voices/{voice:path}/file")
async def fetch_voice(voice: str, request: Request) -> FileResponse:
    """Return the ``.npz`` of a voice, a history prompt for any Bark of its kind."""
    entry = await to_thread.run_sync(_entry, voice, context_of(request))
    if entry.path is None:
        raise ApiError(400, f"{voice!r} is one of Suno's presets, which has no file of its own")
    name = f"{entry.name.replace('/', '-')}.npz"
    return FileResponse(entry.path, media_type="application/octet-stream", filename=name)


@router.get("/v1/audio/voices/{voice:path}")
async def get_voice(voice: str, request: Request) -> dict[str, Any]:
    """Describe a voice: its length, its consent, what it was cloned from."""
    context = context_of(request)

    def described() -> dict[str, Any]:
        entry = _entry(voice, context)
        known = {} if entry.path is None else context.library.describe(str(entry.path))
        return _described(entry) | {"info": {k: v for k, v in known.items() if k != "file"}}

    return await to_thread.run_sync(described)


@router.patch("/v1/audio/voices/{voice:path}")
async def rename_voice(voice: str, asked: NewName, request: Request) -> dict[str, Any]:
    """Give one of your voices another name."""
    context = context_of(request)

    def rename() -> dict[str, Any]:
        own = _own(voice, context)
        file = context.library.rename(own.name, asked.name)
        return _described(Entry(check_name(asked.name), "own", file))

    return await _named(context, rename)


@router.delete("/v1/audio/voices/{voice:path}")
async def delete_voice(voice: str, request: Request) -> dict[str, Any]:
    """Delete one of your voices."""
    context = context_of(request)
    await to_thread.run_sync(lambda: context.library.delete(_own(voice, context).name))
    return {"id": voice, "object": "audio.voice.deleted", "deleted": True}


async def _named(context: Context, work: Callable[[], Made]) -> Made:
    """Do what gives a voice its name; an error is one of the name, and tells no folder of ours."""
    try:
        return await to_thread.run_sync(work)
    except VoiceError as error:
        told = str(error).replace(f"{context.library.home}/", "")
        raise ApiError(400, told, param="name") from error


def _decoded(bark: Bark, voice: Voice) -> np.ndarray:
    return bark.decode(voice.fine[:, -HEARD:])


async def _voice(name: str, context: Context) -> Voice:
    found = await to_thread.run_sync(context.find, name)
    if found is None:
        raise ApiError(400, f"{name!r} is another voice each time", param="voice")
    return found


def _entry(name: str, context: Context) -> Entry:
    """Find a voice among those that the model may speak with."""
    name = check_name(name)
    for entry in context.entries():
        if entry.name == name:
            return entry
    context.find(name)  # raises what is like it
    raise ApiError(404, f"no voice is named {name!r}", param="voice", code="voice_not_found")


def _own(name: str, context: Context) -> Entry:
    entry = _entry(name, context)
    if entry.origin != "own" or is_suno_preset(entry.name):
        raise ApiError(400, f"{name!r} is a preset, which cannot be changed", param="voice")
    return entry


def _described(entry: Entry) -> dict[str, Any]:
    made = time.time() if entry.path is None else entry.path.stat().st_mtime
    return {
        "id": entry.name,
        "object": "audio.voice",
        "created_at": int(made) if entry.origin == "own" else 0,
        "name": entry.name,
        "type": "audio_sample",
        "origin": entry.origin,
    }
