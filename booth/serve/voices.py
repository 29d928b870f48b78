"""``/v1/audio/voices``: list, clone, rename, hear, fetch and delete voices."""

from typing import Any

from fastapi import APIRouter, Request

from .context import context_of

router = APIRouter()


@router.get("/v1/audio/voices")
async def list_voices(request: Request) -> dict[str, Any]:
    """List voices, for OpenAI's client and for Open WebUI."""
    names = [entry.name for entry in context_of(request).entries()]
    return {"object": "list", "voices": [{"id": name, "name": name} for name in names]}
