"""What stands in front of every route: the API key, whose web page asks, and limits of a body."""

import asyncio
import hmac
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bark.version import __version__

from .config import ServeSettings, is_loopback
from .engine import Metrics
from .errors import SENTENCES, ApiError, handle_errors

OPEN = re.compile(r"/(health|ready|static/.*)?")  # what is there for everyone
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS")  # any other is counted as one
LOCAL_PAGE = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"


class Guard:
    """Lets a request pass, or answers it."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._held = 0  # bytes of all bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, body = 500, _Body()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if (refusal := self._refusal(scope)) is not None:
                await refusal.response()(scope, receive, watched)
            else:
                await self.app(scope, self._bounded(receive, body), watched)
        finally:
            self._held -= body.size
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.metrics.requests.labels(method, path, str(status)).inc()

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        if (page := headers.get("origin")) is not None and not self._may_ask(page, headers):
            return ApiError(
                403, f"web pages of {page[:80]} may not use this server. Allow them with --origin"
            )
        if self.settings.api_key is None:
            # a page elsewhere may give its own name the address of this computer
            name = _host(f"//{headers.get('host', '')}")
            if not is_loopback(name) and not self._is_known(name):
                return ApiError(
                    403, f"this server is not called {name[:80]!r}. Allow it with --origin"
                )
        elif OPEN.fullmatch(scope["path"]) is None and not self._has_key(headers):
            told = {"WWW-Authenticate": "Bearer"}
            return ApiError(401, SENTENCES[401], code="invalid_api_key", headers=told)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self.settings.upload_bytes:
            return too_large(self.settings)
        return None

    def _may_ask(self, page: str, headers: Headers) -> bool:
        own = page.partition("://")[2] == headers.get("host")
        known = page in self.settings.origins or re.fullmatch(LOCAL_PAGE, page) is not None
        return own or known

    def _is_known(self, name: str) -> bool:
        return name in map(_host, self.settings.origins)

    def _has_key(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        key = self.settings.api_key or ""
        same = hmac.compare_digest(given.strip().encode(), key.encode())
        return kind.lower() == "bearer" and same

    def _bounded(self, receive: Receive, body: "_Body") -> Receive:
        """Return what reads a body of bounded size in bounded time."""
        end = time.monotonic() + self.settings.body_seconds

        async def bounded() -> Message:
            if body.whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except TimeoutError as error:
                seconds = f"{self.settings.body_seconds:g} s"
                raise ApiError(408, f"the request did not arrive within {seconds}") from error
            size = len(message.get("body", b""))
            body.size += size
            self._held += size
            body.whole = message["type"] != "http.request" or not message.get("more_body", False)
            if body.size > self.settings.upload_bytes:
                raise too_large(self.settings)
            if self._held > self.settings.held_bytes:
                again = {"Retry-After": "10"}
                raise ApiError(503, "too much is being uploaded at once", headers=again)
            return message

        return bounded


@dataclass
class _Body:
    """How much of a request's body has come."""

    size: int = 0
    whole: bool = False


def _host(address: str) -> str:
    """Return the name in an address, empty where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # "//[": half an IPv6 address
        return ""


def too_large(settings: ServeSettings) -> ApiError:
    """Return the error for a body above the limit."""
    return ApiError(
        413, f"{SENTENCES[413]}; allowed: up to {settings.upload_bytes >> 20} MB", code="too_large"
    )


def guarded_app(settings: ServeSettings, metrics: Metrics, **options: Any) -> FastAPI:
    """Return an app without routes, behind the guard, whose errors have OpenAI's shape.

    Parameters
    ----------
    **options : of FastAPI.
    """
    app = FastAPI(
        title="bark-voice-booth", version=__version__, docs_url=None, redoc_url=None, **options
    )
    handle_errors(app)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_origin_regex=LOCAL_PAGE,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["X-Seed", "X-Ignored", "Retry-After"],
    )
    return app
