"""``/health``, ``/ready`` and ``/metrics``, for whoever watches the server."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from .context import context_of
from .errors import ApiError

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, Any]:
    """Say that the server lives."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> dict[str, Any]:
    """Say whether requests are taken."""
    engine = context_of(request).engine
    if not engine.ready:
        raise ApiError(503, "the model does not take requests", headers={"Retry-After": "5"})
    return {"status": "ready", "model": engine.bark.name, "queue": engine.unfinished}


@router.get("/metrics")
async def metrics(request: Request) -> PlainTextResponse:
    """Return what is counted, in Prometheus' format."""
    return PlainTextResponse(
        context_of(request).metrics.text(), media_type="text/plain; version=0.0.4"
    )
