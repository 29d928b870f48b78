"""``POST /v1/audio/speech``: text to speech, sent while it is made."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from bark.speech import speech_tags
from bark.stages.seeds import MAX_SEED, new_seed
from bark.text.dialogue import parse_dialogue
from bark.voice.names import check_name
from bark.voice.voice import Voice

from .context import Context, context_of
from .encode import FORMATS, Encoder
from .engine import Handle, SpeechJob
from .errors import ApiError
from .models import check_model

router = APIRouter()
Temperature = Annotated[float | None, Field(ge=0, le=10)]


class VoiceId(BaseModel):
    """A voice as OpenAI's client names a custom one."""

    id: str


class SpeechRequest(BaseModel):
    """OpenAI's request, and what Bark has beside it."""

    model: str | None = None
    input: str
    voice: str | VoiceId | None = None
    instructions: str | None = None  # no model of Bark takes any
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

    @property
    def voice_name(self) -> str | None:
        """The name of the voice."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice

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


def job_of(asked: SpeechRequest, context: Context) -> SpeechJob:
    """Return a request as a job of the engine; refuse what cannot be spoken."""
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
    for turn in parse_dialogue(asked.input):
        if turn.speaker is not None:
            check_name(turn.speaker)  # no path
    name = asked.voice_name
    voice: Voice | None = None if name is None else context.find(name)
    return SpeechJob(
        asked.input, voice, new_seed(asked.seed), asked.settings, asked.best_of, asked.latency
    )


@router.post("/v1/audio/speech")
async def create_speech(asked: SpeechRequest, request: Request) -> StreamingResponse:
    """Speak a text."""
    context = context_of(request)
    job = await to_thread.run_sync(job_of, asked, context)
    handle = await context.engine.submit(job, context.find)
    pieces = handle.pieces()
    first = await _unless_gone(anext(pieces, None), handle, request)
    encoder = Encoder(
        asked.response_format,
        context.engine.bark.layout.sample_rate,
        speech_tags(job.text, job.seed),
    )
    headers = {"X-Seed": str(job.seed)}
    if asked.instructions:
        headers["X-Ignored"] = "instructions"
    chunks = _encoded(first, pieces, encoder)
    if asked.stream_format == "sse":
        events = _events(chunks, handle)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)
    media_type = FORMATS[asked.response_format].media_type
    return StreamingResponse(chunks, media_type=media_type, headers=headers)


async def _unless_gone(wanted: Any, handle: Handle, request: Request) -> np.ndarray | None:
    """Return the first piece, or end the work when the client leaves before it."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    waiting = [asyncio.ensure_future(wanted), asyncio.ensure_future(left())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not waiting[0].done():
            handle.cancel()
        first: np.ndarray | None = await waiting[0]
        return first
    except asyncio.CancelledError:
        handle.cancel()
        raise
    finally:
        waiting[1].cancel()
        with suppress(asyncio.CancelledError):
            await waiting[1]


async def _encoded(
    first: np.ndarray | None, pieces: AsyncIterator[np.ndarray], encoder: Encoder
) -> AsyncIterator[bytes]:
    """Yield the bytes of the file."""
    if first is not None and (data := await to_thread.run_sync(encoder.add, first)):
        yield data
    async for piece in pieces:
        if data := await to_thread.run_sync(encoder.add, piece):
            yield data
    if data := await to_thread.run_sync(encoder.finish):
        yield data


async def _events(chunks: AsyncIterator[bytes], handle: Handle) -> AsyncIterator[bytes]:
    """Yield the file as OpenAI's events; a failure on the way is an event, too."""
    async for chunk in chunks:
        yield _event("speech.audio.delta", audio=base64.b64encode(chunk).decode())
    heard, said = handle.usage
    usage = {"input_tokens": heard, "output_tokens": said, "total_tokens": heard + said}
    yield _event("speech.audio.done", usage=usage)


def _event(kind: str, **values: Any) -> bytes:
    return f"data: {json.dumps({'type': kind, **values})}\n\n".encode()
