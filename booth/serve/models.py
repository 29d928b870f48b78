"""``GET /v1/models``: the one model that is loaded."""

from typing import Any

from fastapi import APIRouter, Request

from .context import Context, context_of
from .errors import ApiError

router = APIRouter()
ANY = ("bark", "tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # what clients send until they are told


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """List the model, as OpenAI does."""
    return {"object": "list", "data": [_described(context_of(request))]}


@router.get("/v1/audio/models")
async def list_audio_models(request: Request) -> dict[str, Any]:
    """List the model, as Open WebUI asks for it."""
    return {"models": [_described(context_of(request))]}


@router.get("/v1/models/{model:path}")
async def get_model(model: str, request: Request) -> dict[str, Any]:
    """Describe the model."""
    check_model(model, context_of(request))
    return _described(context_of(request))


def check_model(name: str | None, context: Context) -> None:
    """Refuse a request for a model that is not loaded."""
    own = context.engine.bark.name
    if name is not None and name not in (own, *ANY):
        allowed = ", ".join((own, *ANY))
        raise ApiError(
            404,
            f"model: got {name[:80]!r}; allowed: {allowed}, which all mean the loaded one",
            param="model",
            code="model_not_found",
        )


def _described(context: Context) -> dict[str, Any]:
    name = context.engine.bark.name
    return {"id": name, "object": "model", "created": 0, "owned_by": "bark-voice-booth"}
