"""Runs the app under uvicorn until it is told to stop."""

import uvicorn

from bark.commandline import say

from .app import create_app
from .config import ServeSettings


def serve(settings: ServeSettings) -> int:
    """Load the model, answer requests, and return when the process is told to end."""
    app = create_app(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"{settings.model} speaks on http://{host}:{settings.port}/")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            timeout_graceful_shutdown=round(settings.stop_seconds),
        )
    )
    try:
        server.run()
    except KeyboardInterrupt:  # uvicorn has stopped, and passes the signal on
        return 0
    return 0 if server.started else 1
