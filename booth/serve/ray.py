"""``bark serve --engine ray``: the same app in several processes and on several machines.

Ray Serve keeps the replicas: each loads the model on a device of its own and answers as a server
alone would. In front of them, in the process that was started, stands an app that holds no model:
it lets requests in, hands each to the replica with the shortest queue, and sends on what comes
back. Where a replica dies before the first byte of an answer, the next one is asked."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from bark.errors import BarkError
from bark.extras import from_extra
from booth.voices.library import Library

from .app import create_app, serve
from .config import ServeSettings
from .engine import Metrics
from .errors import SENTENCES, ApiError
from .guard import guarded_app

NAME = "bark"
TRIES = 5  # replicas that may die on one request
WAITING = 4  # requests before the replicas, for each that a replica takes at once
OBJECTS = 512 << 20  # bytes of memory that Ray may use between processes of one machine
ENVIRONMENT = {  # of a cluster that is started here
    "RAY_USAGE_STATS_ENABLED": "0",  # tells nobody outside
    "RAY_worker_niceness": "0",  # Ray lets all other programs go first: not what a server is for
}
AHEAD = 64  # messages of an answer that may wait to be sent
# What would be done twice if it were asked for twice.
ONCE = re.compile(r"/v1/audio/(voices|voice_consents|speech/long)(/.*)?")


@dataclass(frozen=True)
class Asked:
    """A request on its way to a replica."""

    method: str
    path: str
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int] | None
    body: bytes

    @property
    def repeatable(self) -> bool:
        """Whether another replica may be asked if one dies before it answers."""
        return self.method != "POST" or ONCE.fullmatch(self.path) is None

    @property
    def scope(self) -> Scope:
        """The request as an ASGI app reads it."""
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1", "scheme": "http", "method": self.method, "path": self.path,
            "raw_path": self.raw_path, "query_string": self.query, "root_path": "",
            "headers": self.headers, "client": self.client, "server": None,
        }  # fmt: skip


class Replica:
    """One model, and the app that speaks with it; Ray makes it in a process of its own."""

    async def __init__(self, settings: ServeSettings) -> None:  # type: ignore[misc]
        import ray

        self.name = str(ray.get_runtime_context().get_actor_id())[:12].encode()
        self.app = create_app(settings)
        self._life = self.app.router.lifespan_context(self.app)
        await self._life.__aenter__()  # its end is that of the process: nothing needs more

    def check_health(self) -> None:
        """Tell Ray by an error that this replica is of no use any more."""
        if not self.app.state.context.engine.ready:
            raise RuntimeError("the engine has stopped")

    async def answer(self, asked: Asked) -> AsyncIterator[Message]:
        """Yield the messages of the app's answer as it sends them."""
        messages: asyncio.Queue[Message | None] = asyncio.Queue(AHEAD)
        left, bodies = asyncio.Event(), [asked.body]

        async def receive() -> Message:
            if bodies:
                return {"type": "http.request", "body": bodies.pop(), "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def run() -> None:
            try:
                await self.app(asked.scope, receive, messages.put)
            finally:
                await messages.put(None)

        work = asyncio.ensure_future(run())
        try:
            while (message := await messages.get()) is not None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", ()), (b"x-replica", self.name)]
                yield message
            await work
        finally:
            left.set()
            work.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await work


@dataclass(frozen=True)
class _Forwarded:
    """The answer of a replica, sent on as it comes."""

    replicas: Any
    asked: Asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask replicas until one answers, and stop where the client leaves."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _send(self, send: Send) -> None:
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        begun = False
        for _ in range(TRIES):
            answer = self.replicas.remote(self.asked)
            try:
                async for message in answer:
                    begun = True
                    await send(message)
                return
            except BackPressureError:
                raise ApiError(
                    429, "all replicas are busy. Try again in 5 s", code="queue_full",
                    headers={"Retry-After": "5"},
                ) from None  # fmt: skip
            except (RayActorError, DeploymentUnavailableError):
                if begun:
                    raise  # the connection is cut, so that nobody takes this for the whole
                if not self.asked.repeatable:
                    break
            finally:
                answer.cancel()
        raise ApiError(
            503,
            "the replica that worked on this has died; see whether it was done before asking again",
            headers={"Retry-After": "5"},
        )


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def create_front(settings: ServeSettings, replicas: Any) -> FastAPI:
    """Return the app that stands before the replicas.

    Parameters
    ----------
    replicas : a handle of Ray Serve for `Replica.answer`, which streams.
    """
    app = guarded_app(settings, Metrics(), openapi_url=None)  # a replica has it

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ApiError(404, SENTENCES[404])
        if scope["path"] == "/health":
            await JSONResponse({"status": "ok"})(scope, receive, send)
            return
        asked = Asked(
            scope["method"],
            scope["path"],
            scope.get("raw_path") or scope["path"].encode(),
            scope["query_string"],
            [(bytes(name), bytes(value)) for name, value in scope["headers"]],
            scope["client"],
            await Request(scope, receive).body(),
        )
        await _Forwarded(replicas, asked)(scope, receive, send)

    app.router.default = forward  # no route: whatever comes is for a replica to answer
    return app


def deploy(settings: ServeSettings) -> Any:
    """Start the replicas on the cluster and return the handle that reaches them.

    The cluster is the one that runs on this machine, or a new one of this machine alone.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.serve

    try:
        ray.init(address="auto", logging_level=logging.WARNING)
    except ConnectionError:
        _start_here()
    ray.serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
    deployed = ray.serve.deployment(**options(settings, ray.cluster_resources()))(Replica)
    each = replace(settings, engine="local", **_folders(settings))
    handle = ray.serve.run(deployed.bind(each), name=NAME, route_prefix=None)
    return handle.options(method_name="answer", stream=True)


def _start_here() -> None:
    """Start a cluster of this machine alone.

    Raises
    ------
    BarkError : if Ray does not start.
    """
    import ray

    try:
        ray.init(
            include_dashboard=False, object_store_memory=OBJECTS, logging_level=logging.WARNING
        )
    except Exception as error:  # Ray's own, of no class: a node has 30 s to start
        raise BarkError(
            "Ray did not start", got=error, fix="Start it first, by `ray start --head`"
        ) from error


def options(settings: ServeSettings, resources: dict[str, float]) -> dict[str, Any]:
    """Return how Ray Serve is to keep the replicas, on a cluster with these resources."""
    least, most = settings.replicas, settings.most_replicas or settings.replicas
    gpu = settings.device in ("auto", "cuda") and resources.get("GPU", 0) > 0
    cpus = 1 if gpu else max(1, int(resources.get("CPU", 1)) // most)
    number: dict[str, Any] = {"num_replicas": least}
    if most > least:
        number = {
            "autoscaling_config": {
                "min_replicas": least,
                "max_replicas": most,
                "target_ongoing_requests": settings.max_batch,
            }
        }
    return number | {
        "name": NAME,
        "ray_actor_options": {"num_cpus": cpus, "num_gpus": int(gpu)},
        "max_ongoing_requests": 2 * settings.queue,  # its own queue refuses what is too much
        "max_queued_requests": WAITING * settings.queue,
        "graceful_shutdown_timeout_s": settings.stop_seconds,
    }


def _folders(settings: ServeSettings) -> dict[str, Any]:
    """Return the folders of voices and jobs as every replica finds them."""
    voices = Library(settings.voices).home.absolute()
    jobs = voices.with_name("jobs") if settings.jobs is None else settings.jobs.absolute()
    return {"voices": voices, "jobs": jobs}


def close() -> None:
    """End the replicas; a cluster that this process has started ends with it."""
    import ray
    import ray.serve

    if ray.is_initialized():
        ray.serve.delete(NAME)
        ray.shutdown()


def serve_many(settings: ServeSettings) -> int:
    """Start the replicas, answer requests, and return when the process is told to end."""
    with from_extra("ray", "several replicas need Ray Serve"):
        import ray.serve  # noqa: F401
    try:
        return serve(settings, lambda chosen: create_front(chosen, deploy(chosen)))
    finally:
        close()
