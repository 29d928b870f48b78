"""Puts the server together, and runs it under uvicorn."""

import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import uvicorn
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI

from bark.commandline import say
from bark.errors import SettingError
from bark.pipeline import Bark
from booth.jobs.store import JobStore
from booth.jobs.worker import JobWorker
from booth.voices.library import Library

from . import consents, health, jobs, models, speech, voices
from .config import ServeSettings
from .context import Context
from .engine import Engine, Metrics
from .guard import guarded_app
from .page import files
from .uploads import Desk


def create_app(settings: ServeSettings, engine: Engine | None = None) -> FastAPI:
    """Return the app; without an engine the model is loaded now.

    The engine works from the app's start to its end.
    """
    if engine is None:
        bark = Bark.from_pretrained(
            settings.model, device=settings.device, dtype=settings.dtype, fast=settings.fast
        )
        engine = Engine(bark, queue=settings.queue, max_batch=settings.max_batch, metrics=Metrics())

    store = JobStore(settings.jobs or Library(settings.voices).home.with_name("jobs"))
    worker = JobWorker(store, engine)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        worker.start()
        try:
            yield
        finally:
            await worker.stop()
            await to_thread.run_sync(engine.stop)

    app = guarded_app(settings, engine.metrics, lifespan=running)
    app.state.context = Context(
        settings, engine, engine.metrics, store, worker, CapacityLimiter(1), Desk(settings)
    )
    for part in (speech, jobs, models, voices, consents, health):
        app.include_router(part.router)
    app.include_router(files.router)
    return app


def serve(settings: ServeSettings, make: Callable[[ServeSettings], FastAPI] = create_app) -> int:
    """Load the model, answer requests, and return when the process is told to end."""
    with _bound(settings) as door:
        say(f"loading {settings.model}", sys.stderr)
        app = make(settings)
        door.listen(socket.SOMAXCONN)  # who reads the next line may call at once
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        say(f"{settings.model} speaks on http://{host}:{door.getsockname()[1]}/")
        config = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=round(settings.stop_seconds)
        )
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):  # uvicorn has stopped, and passes the signal on
            server.run([door])
    return 0 if server.started else 1


def _bound(settings: ServeSettings) -> socket.socket:
    """Return the socket to listen on, taken before the model is loaded."""
    kind = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    door = socket.socket(kind, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        door.bind((settings.host, settings.port))
    except OSError as error:
        door.close()
        raise SettingError(
            f"cannot listen on {settings.host}, port {settings.port}",
            error.strerror or error,
            fix="Choose another with --host and --port",
        ) from error
    return door
