"""Who may ask, how much, and how the server says no."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from bark import Bark
from bark.errors import SettingError
from booth.cli.main import main
from booth.serve.app import create_app
from booth.serve.config import ServeSettings
from booth.serve.engine import Engine

HERE = "http://127.0.0.1:8000"


def app_client(nano: Bark, **settings: Any) -> TestClient:
    app = create_app(ServeSettings(model="nano", **settings), Engine(nano))
    return TestClient(app, base_url=HERE, raise_server_exceptions=False)


@pytest.fixture
def open_door(nano: Bark) -> Iterator[TestClient]:
    with app_client(nano, upload_bytes=1 << 20) as client:
        yield client


@pytest.fixture
def locked(nano: Bark) -> Iterator[TestClient]:
    with app_client(nano, host="0.0.0.0", api_key="a secret") as client:  # noqa: S104
        yield client


def test_other_computers_are_let_in_only_with_a_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BARK_API_KEY", raising=False)
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):  # noqa: S104
        assert main(["serve", "--model", "nano", "--host", host]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"bark: --host {host} lets other computers in")
        assert "Set BARK_API_KEY" in error and error.count("\n") == 1
    for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1"):
        assert ServeSettings(host=host).api_key is None
    with pytest.raises(SettingError, match="an empty value"):
        ServeSettings(api_key=" ")


def test_the_key_is_asked_for_everywhere_but_at_the_page_and_for_health(locked: TestClient) -> None:
    assert locked.get("/health").json() == {"status": "ok"}
    assert locked.get("/ready").json()["model"] == "nano"
    for wrong in ({}, {"authorization": "Bearer no"}, {"authorization": "Basic a secret"}):
        answer = locked.get("/v1/models", headers=wrong)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert locked.get("/metrics", headers=wrong).status_code == 401
    right = {"authorization": "Bearer a secret"}
    assert locked.get("/v1/models", headers=right).json()["data"][0]["id"] == "nano"
    assert locked.get("/v1/models", headers=right | {"host": "anything"}).is_success


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": HERE}, True),
        ({"origin": "http://localhost:3000"}, True),
        ({"origin": "http://127.0.0.1.evil.example"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"host": "localhost:8000"}, True),
        ({"host": "[::1]:8000"}, True),
        ({"host": "evil.example:8000"}, False),
        ({"host": "["}, False),  # both cannot be read as an address
        ({"origin": "http://[::1"}, False),
        ({"host": "evil.example:8000", "origin": "http://evil.example:8000"}, False),
    ],
)
def test_pages_of_other_sites_cannot_use_the_server_of_whoever_reads_them(
    open_door: TestClient, headers: dict[str, str], allowed: bool
) -> None:
    answer = open_door.get("/v1/models", headers=headers)
    assert answer.status_code == (200 if allowed else 403)
    assert allowed or "--origin" in answer.json()["error"]["message"]


def test_an_allowed_page_may(nano: Bark) -> None:
    with app_client(nano, origins=("https://chat.example",)) as client:
        answer = client.get("/v1/models", headers={"origin": "https://chat.example"})
        assert answer.headers["access-control-allow-origin"] == "https://chat.example"
        assert client.get("/v1/models", headers={"host": "chat.example"}).is_success


def test_bodies_are_bounded_by_what_they_say_and_by_what_they_hold(open_door: TestClient) -> None:
    said = open_door.post("/v1/audio/speech", content=b" " * (2 << 20))
    json = {"content-type": "application/json"}
    held = open_door.post("/v1/audio/speech", content=iter([b" " * (1 << 18)] * 8), headers=json)
    for answer in (said, held):
        assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_large"
    for length in ("-1", "x", "9" * 40):
        answer = open_door.post("/v1/audio/speech", headers={"content-length": length})
        assert answer.status_code in (400, 413)


def test_all_bodies_together_are_bounded(nano: Bark) -> None:
    """One upload is held while another is sent; when the first is gone there is room again."""
    app = create_app(ServeSettings(model="nano", held_bytes=1 << 20), Engine(nano))
    guarded = app.build_middleware_stack()
    body = {"type": "http.request", "body": b" " * (700 << 10), "more_body": True}
    scope = {
        "type": "http", "method": "POST", "path": "/v1/audio/speech", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }  # fmt: skip

    async def ask(held: asyncio.Event | None = None, go: asyncio.Event | None = None) -> int:
        statuses, parts = [], [body]

        async def receive() -> Any:
            if parts:
                return parts.pop()
            if held is not None and go is not None:
                held.set()
                await go.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            statuses.append(message.get("status"))

        await guarded(dict(scope), receive, send)
        return int(statuses[0])

    async def both() -> tuple[int, int, int]:
        held, go = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(ask(held, go))
        await held.wait()
        second = await ask()
        go.set()
        return await first, second, await ask()

    assert asyncio.run(both()) == (400, 503, 400)


def test_a_body_that_does_not_come_is_not_waited_for(live: tuple[str, Any]) -> None:
    url = httpx.URL(live[0])
    with socket.create_connection((url.host, url.port), timeout=20) as line:
        line.sendall(
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        answer = b""
        while b"}" not in answer and (more := line.recv(4096)):
            answer += more
    assert b" 408 " in answer and b"did not arrive within 1 s" in answer


def test_unknown_addresses_and_methods_are_told_in_openais_shape(open_door: TestClient) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404), ("PUT", "/v1/models", 405), ("GET", "/docs", 404),
        ("GET", "/v1/models/whisper", 404), ("GET", "/v1/audio/speech", 405),
    ):  # fmt: skip
        answer = open_door.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_metrics_tell_what_was_asked(open_door: TestClient) -> None:
    open_door.get("/v1/models")
    open_door.get("/v1/voiceless")
    text = open_door.get("/metrics").text
    assert 'bark_requests_total{method="GET",path="/v1/models",status="200"} 1.0' in text
    assert 'path="other",status="404"' in text and "voiceless" not in text
    for name in ("bark_queue_length", "bark_waiting_seconds_bucket", "bark_real_time_factor_sum"):
        assert name in text


def test_the_extra_that_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "booth.serve.app", None)
    assert main(["serve", "--model", "nano"]) == 2
    assert "pip install 'bark-voice-booth[serve]'" in capsys.readouterr().err
