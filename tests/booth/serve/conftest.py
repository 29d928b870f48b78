"""A server on nano, started once: as an app for quick requests, and under uvicorn for real clients."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from bark import Bark
from booth.serve.app import create_app
from booth.serve.config import ServeSettings
from booth.serve.engine import Engine


@contextmanager
def running(bark: Bark, **settings: Any) -> Iterator[tuple[str, Any]]:
    """Run a server on a free port; yields its address and its app."""
    chosen = ServeSettings(model="nano", **settings)
    engine = Engine(bark, queue=chosen.queue, max_batch=chosen.max_batch)
    app = create_app(chosen, engine)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", app
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared server keeps voices."""
    return tmp_path_factory.mktemp("voices")


@pytest.fixture(scope="session")
def live(nano: Bark, folder: Path) -> Iterator[tuple[str, Any]]:
    """The shared server's address and app."""
    with running(nano, voices=folder, body_seconds=1.0) as found:
        yield found


@pytest.fixture
def client(live: tuple[str, Any]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live[0], timeout=120) as found:
        yield found
