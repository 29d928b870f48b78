"""``POST /v1/audio/speech``: text to speech, sent while it is made."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from bark.errors import BarkError, Cancelled
from bark.speech import speech_tags
from bark.stages.seeds import MAX_SEED, new_seed
from bark.text.dialogue import parse_dialogue
from bark.voice.names import check_name
from bark.voice.voice import Voice

from .context import Context, context_of
from .encode import FORMATS, Encoder, finished_whole, step_names, steps_of
from .engine import Handle, SpeechJob
from .errors import ApiError, as_api_error
from .models import check_model

router = APIRouter()
Made = TypeVar("Made")
StepName = Annotated[str, Field(max_length=200)]
Temperature = Annotated[float | None, Field(ge=0, le=10)]


class VoiceId(BaseModel):
    """A voice as OpenAI's client names a custom one."""

    id: str


class SpeechRequest(BaseModel):
    """OpenAI's request, and what Bark has beside it."""

    model: str | None = None
    input: str
    voice: str | VoiceId | None = None
    instructions: str | None = None  # no Bark follows any
    language: str | None = None  # every Bark hears it in the text
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4.0)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"

    seed: Annotated[int | None, Field(ge=0, le=MAX_SEED)] = None
    best_of: Annotated[int, Field(ge=1, le=16)] = 1
    latency: Literal["exact", "low"] = "exact"
    temperature: Temperature = None  # of all three stages
    semantic_temperature: Temperature = None
    coarse_temperature: Temperature = None
    fine_temperature: Temperature = None
    lossy: bool = False
    loudness: float | None = None  # LUFS
    postprocess: Annotated[list[StepName], Field(max_length=8)] = []  # before it is sent

    @property
    def ignored(self) -> str:
        """What is asked for in vain."""
        return ", ".join(name for name in ("instructions", "language") if getattr(self, name))

    @property
    def voice_name(self) -> str | None:
        """The name of the voice."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice

    @property
    def steps(self) -> list[str]:
        """What the speech goes through before it is sent."""
        return step_names(self.postprocess, self.loudness)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of `bark.settings.SettingChanges` that are asked for."""
        chosen: dict[str, Any] = {}
        for stage in ("semantic", "coarse", "fine"):
            own = getattr(self, f"{stage}_temperature")
            value = self.temperature if own is None else own
            if value is not None:
                chosen[f"{stage}_temperature"] = value
        return chosen | ({"lossy": True} if self.lossy else {})


class ReadingRequest(BaseModel):
    """A text that is to be seen before it is heard."""

    model: str | None = None
    input: str


def check_text(asked: SpeechRequest | ReadingRequest, context: Context) -> None:
    """Refuse a request for another model, and a text that is too long for one answer."""
    check_model(asked.model, context)
    most = context.settings.text_letters
    if len(asked.input) > most:
        raise ApiError(
            413,
            f"input has {len(asked.input)} letters; allowed: up to {most}. "
            "Send longer texts to /v1/audio/speech/long",
            param="input",
            code="string_above_max_length",
        )


def job_of(asked: SpeechRequest, context: Context) -> SpeechJob:
    """Return a request as a job of the engine; refuse what cannot be spoken."""
    check_text(asked, context)
    for turn in parse_dialogue(asked.input):
        if turn.speaker is not None:
            check_name(turn.speaker)  # no path
    name = asked.voice_name
    voice: Voice | None = None if name is None else context.find(name)
    return SpeechJob(
        asked.input, voice, new_seed(asked.seed), asked.settings, asked.best_of, asked.latency
    )


@router.post("/v1/audio/reading")
async def read_text(asked: ReadingRequest, request: Request) -> dict[str, Any]:
    """Tell how a text would be read, as ``bark --show_reading`` does."""
    context = context_of(request)
    check_text(asked, context)
    reading = await to_thread.run_sync(context.engine.bark.read, asked.input)
    return {
        "words": reading.words,
        "lost": reading.lost,
        "left_out": reading.dropped,
        "share_lost": reading.share_lost,
        "note": reading.note,
    }


@router.post("/v1/audio/speech")
async def create_speech(asked: SpeechRequest, request: Request) -> StreamingResponse:
    """Speak a text."""
    context = context_of(request)
    context.engine.check_room()
    steps = await to_thread.run_sync(steps_of, asked.steps)
    job = await to_thread.run_sync(job_of, asked, context)
    handle = await context.engine.submit(job, context.find)
    rate = context.engine.bark.layout.sample_rate
    pieces = finished_whole(handle.pieces(), rate, steps) if steps else handle.pieces()
    first = await until_gone(anext(pieces, None), handle, request)
    encoder = Encoder(asked.response_format, rate, speech_tags(job.text, job.seed), asked.speed)
    headers = {"X-Seed": str(job.seed)}
    if asked.ignored:
        headers["X-Ignored"] = asked.ignored
    chunks = _encoded(first, pieces, encoder, handle)
    if asked.stream_format == "sse":
        events = _events(chunks, handle)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)
    media_type = FORMATS[asked.response_format].media_type
    return StreamingResponse(chunks, media_type=media_type, headers=headers)


async def until_gone(wanted: Awaitable[Made], handle: Handle, request: Request) -> Made:
    """Wait for something of the engine; the work ends when the client leaves."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    waiting, leaving = asyncio.ensure_future(wanted), asyncio.ensure_future(left())
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise Cancelled("the client has left")
        return waiting.result()
    except BaseException:
        handle.cancel()
        raise
    finally:
        for task in (waiting, leaving):
            task.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)


async def _encoded(
    first: np.ndarray | None, pieces: AsyncIterator[np.ndarray], encoder: Encoder, handle: Handle
) -> AsyncIterator[bytes]:
    """Yield the bytes of the file; the work ends when nobody takes them."""
    try:
        if first is not None and (data := await to_thread.run_sync(encoder.add, first)):
            yield data
        async for piece in pieces:
            if data := await to_thread.run_sync(encoder.add, piece):
                yield data
        if data := await to_thread.run_sync(encoder.finish):
            yield data
    finally:
        handle.cancel()


async def _events(chunks: AsyncIterator[bytes], handle: Handle) -> AsyncIterator[bytes]:
    """Yield the file as OpenAI's events; a failure on the way is an event, too."""
    try:
        async for chunk in chunks:
            yield _event("speech.audio.delta", audio=base64.b64encode(chunk).decode())
    except BarkError as error:
        yield _event("error", **as_api_error(error).body)
        return
    heard, said = await to_thread.run_sync(lambda: handle.usage)
    usage = {"input_tokens": heard, "output_tokens": said, "total_tokens": heard + said}
    yield _event("speech.audio.done", usage=usage)


def _event(kind: str, **values: Any) -> bytes:
    return f"data: {json.dumps({'type': kind, **values})}\n\n".encode()
