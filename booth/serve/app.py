"""Puts the server together: settings and an engine to a FastAPI app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from bark.pipeline import Bark
from bark.version import __version__

from . import health, models, speech, voices
from .config import ServeSettings
from .context import Context
from .engine import Engine
from .errors import handle_errors
from .metrics import Metrics


def create_app(settings: ServeSettings, engine: Engine | None = None) -> FastAPI:
    """Return the app; without an engine the model is loaded now.

    The engine works from the app's start to its end.
    """
    if engine is None:
        bark = Bark.from_pretrained(settings.model, device=settings.device, dtype=settings.dtype)
        engine = Engine(bark, queue=settings.queue, max_batch=settings.max_batch, metrics=Metrics())

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        try:
            yield
        finally:
            await to_thread.run_sync(engine.stop)

    app = FastAPI(
        title="bark-voice-booth",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=running,
    )
    app.state.context = Context(settings, engine, engine.metrics)
    handle_errors(app)
    for part in (speech, models, voices, health):
        app.include_router(part.router)
    return app
