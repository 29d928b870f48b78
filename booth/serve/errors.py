"""Every failure as OpenAI's clients read it: ``{"error": {message, type, param, code}}``."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bark.errors import (
    BarkError,
    Cancelled,
    MissingModelError,
    SilentError,
    StorageError,
    TextError,
    out_of_memory,
    printable,
)

from .engine import EngineFailed, QueueFull, Stopping

logger = logging.getLogger(__name__)

STATUSES: dict[type[BarkError], int] = {  # the first class that fits
    SilentError: 422,  # another seed would do
    MissingModelError: 503,
    StorageError: 503,
    Cancelled: 503,
    Stopping: 503,
    EngineFailed: 500,
    QueueFull: 429,
    BarkError: 400,
}
BODIES = ("application/json", "multipart/form-data")
SENTENCES = {
    401: "the API key is missing or wrong",
    404: "there is nothing at this address",
    405: "this address does not take this method",
    413: "the request is too large",
    415: "this kind of body is not understood",
    500: "the server failed; its log says why",
}


class ApiError(BarkError):
    """A request that is refused, with what the answer says."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """OpenAI's kind of error."""
        if self.status == 429:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {
            "error": {
                "message": str(self),
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """Return the whole answer."""
        return JSONResponse(self.body, self.status, self.headers)


def as_api_error(error: BaseException) -> ApiError:
    """Return what a client is told of an error; what no client can have caused is told nothing."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BarkError):
        status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
        again = {Stopping: 5, QueueFull: getattr(error, "seconds", None)}.get(type(error))
        headers = {} if again is None else {"Retry-After": str(again)}
        param = "input" if isinstance(error, TextError) else None
        return ApiError(status, str(error), param=param, headers=headers)
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, ApiError):  # met while FastAPI read the body
            return error.__cause__
        status = error.status_code
        told = SENTENCES.get(status, printable(error.detail))
        return ApiError(status, told, headers=error.headers)
    if isinstance(error, RequestValidationError):
        return _unreadable(error.errors())
    if isinstance(error, ClientDisconnect):  # nobody hears it
        return ApiError(400, "the client has left")
    if out_of_memory(error):
        return ApiError(503, "there is not enough memory for this request", code="out_of_memory")
    return ApiError(500, SENTENCES[500])


def handle_errors(app: FastAPI) -> None:
    """Let every failure of the app be answered in OpenAI's shape."""

    async def expected(request: Request, error: Exception) -> JSONResponse:
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if _of_the_body(error) and kind not in BODIES:
            allowed = ", ".join(BODIES)
            return ApiError(
                415, f"{SENTENCES[415]}; got {kind[:80]!r}; allowed: {allowed}"
            ).response()
        return as_api_error(error).response()

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return as_api_error(error).response()

    for kind in (BarkError, ClientDisconnect, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(Exception, unexpected)


def _of_the_body(error: Exception) -> bool:
    return isinstance(error, RequestValidationError) and error.errors()[0]["loc"][0] == "body"


def _unreadable(faults: Sequence[Mapping[str, Any]]) -> ApiError:
    """Return the error for a body that is not as described; the first fault is told."""
    fault = faults[0]
    place = [str(part) for part in fault["loc"] if part not in ("body", "query", "path")]
    name = ".".join(place) or None
    if fault["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON")
    if name is None:
        return ApiError(400, "the body is missing or is no JSON object")
    told = fault["msg"].removeprefix("Value error, ")
    message = f"{name}: {told[:1].lower()}{told[1:]}"
    if fault["type"] != "missing":
        message += f"; got {_shown(fault['input'])}"
    return ApiError(400, message, param=name)


def _shown(value: Any) -> str:
    """Return a short value as it was given, of others what they are."""
    if value is None or isinstance(value, (str, int, float)):
        return printable(repr(value[:80] if isinstance(value, str) else value), 80)
    return "a list" if isinstance(value, list) else "an object"
