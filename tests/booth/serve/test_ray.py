"""Several replicas behind one address: what the front does, and a real cluster of two."""

import asyncio
import os
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("ray")
import httpx
import uvicorn
from filelock import FileLock
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError

from bark.errors import BarkError
from bark.storage.locks import owner
from booth.serve.config import ServeSettings
from booth.serve.ray import TRIES, Asked, close, create_front, deploy, options

SPEECH = "/v1/audio/speech"
LONG = f"{SPEECH}/long"


class Answer:
    """What a handle of Ray Serve returns for a method that streams."""

    def __init__(self, messages: AsyncIterator[dict[str, Any]]) -> None:
        self.messages, self.cancelled = messages, False

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self.messages

    def cancel(self) -> None:
        self.cancelled = True


class Replicas:
    """Replicas that answer as the given functions, one after the other."""

    def __init__(self, *answers: Callable[[Asked], AsyncIterator[dict[str, Any]]]) -> None:
        self.answers, self.asked, self.given = list(answers), [], []

    def remote(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.given.append(Answer(answer(asked)))
        return self.given[-1]


async def well(asked: Asked) -> AsyncIterator[dict[str, Any]]:
    headers = [(b"x-path", asked.raw_path), (b"x-query", asked.query)]
    yield {"type": "http.response.start", "status": 200, "headers": headers}
    yield {"type": "http.response.body", "body": asked.body, "more_body": True}
    yield {"type": "http.response.body", "body": b"!"}


async def dead(asked: Asked) -> AsyncIterator[dict[str, Any]]:
    raise ActorDiedError
    yield {}


async def dies(asked: Asked) -> AsyncIterator[dict[str, Any]]:
    yield {"type": "http.response.start", "status": 200, "headers": []}
    yield {"type": "http.response.body", "body": b"half", "more_body": True}
    raise ActorDiedError


async def full(asked: Asked) -> AsyncIterator[dict[str, Any]]:
    raise BackPressureError(num_queued_requests=9, max_queued_requests=9)
    yield {}


def ask(replicas: Replicas, method: str, path: str, **how: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        settings = ServeSettings("nano", api_key=how.pop("key", None), upload_bytes=100)
        transport = httpx.ASGITransport(create_front(settings, replicas), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **how)

    return asyncio.run(run())


def test_a_request_goes_to_a_replica_as_it_came_and_its_answer_back():
    replicas = Replicas(well)
    answer = ask(replicas, "POST", "/v1/audio/voices/a%2Fb?x=%20y", content=b"body")
    assert answer.status_code == 200 and answer.content == b"body!"
    assert answer.headers["x-path"] == "/v1/audio/voices/a%2Fb"
    assert answer.headers["x-query"] == "x=%20y"
    assert replicas.asked[0].scope["method"] == "POST"


def test_if_a_replica_dies_before_it_answers_another_is_asked():
    replicas = Replicas(dead, dead, well)
    answer = ask(replicas, "POST", SPEECH, content=b"one")
    assert answer.status_code == 200 and answer.content == b"one!" and len(replicas.asked) == 3
    assert all(given.cancelled for given in replicas.given)


def test_if_all_die_it_says_so():
    replicas = Replicas(dead)
    answer = ask(replicas, "GET", "/v1/models")
    assert answer.status_code == 503 and len(replicas.asked) == TRIES
    assert "has died" in answer.json()["error"]["message"] and answer.headers["retry-after"]


@pytest.mark.parametrize(
    "path", ["/v1/audio/voices", "/v1/audio/voice_consents", "/v1/audio/speech/long"]
)
def test_what_would_be_done_twice_is_not_asked_for_twice(path):
    replicas = Replicas(dead, well)
    assert ask(replicas, "POST", path).status_code == 503 and len(replicas.asked) == 1


def test_an_answer_that_has_begun_is_cut_and_not_begun_again():
    replicas = Replicas(dies, well)
    with pytest.raises(ActorDiedError):
        ask(replicas, "POST", SPEECH, content=b"one")
    assert len(replicas.asked) == 1


def test_full_replicas_are_429():
    answer = ask(Replicas(full), "POST", SPEECH)
    assert answer.status_code == 429 and answer.json()["error"]["code"] == "queue_full"


def test_the_front_keeps_strangers_and_large_bodies_out_and_lives_by_itself():
    replicas = Replicas(well)
    assert ask(replicas, "POST", SPEECH, key="secret").status_code == 401
    assert ask(replicas, "POST", SPEECH, content=b"x" * 101).status_code == 413
    assert ask(replicas, "GET", "/health").json() == {"status": "ok"}
    assert not replicas.asked


def test_who_leaves_ends_the_work():
    replicas = Replicas(well)
    ended = asyncio.Event()

    async def endless(asked: Asked) -> AsyncIterator[dict[str, Any]]:
        try:
            yield {"type": "http.response.start", "status": 200, "headers": []}
            await asyncio.sleep(60)
        finally:
            ended.set()

    replicas.answers = [endless]

    async def run() -> None:
        messages = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None: ...

        scope = Asked("GET", "/v1/models", b"/v1/models", b"", [(b"host", b"localhost")], None, b"")
        await create_front(ServeSettings("nano"), replicas)(scope.scope, receive, send)
        assert replicas.given[0].cancelled

    asyncio.run(asyncio.wait_for(run(), 10))


def test_how_ray_is_to_keep_the_replicas():
    plain = options(ServeSettings("nano", replicas=2), {"CPU": 8.0})
    assert plain["num_replicas"] == 2 and plain["ray_actor_options"]["num_cpus"] == 4
    assert plain["ray_actor_options"]["num_gpus"] == 0
    wide = options(ServeSettings("nano", replicas=1, most_replicas=4), {"CPU": 8.0, "GPU": 4.0})
    assert wide["ray_actor_options"] == {"num_cpus": 1, "num_gpus": 1}
    assert wide["autoscaling_config"]["max_replicas"] == 4
    alone = options(ServeSettings("nano", device="cpu"), {"CPU": 2.0, "GPU": 1.0})
    assert alone["ray_actor_options"] == {"num_cpus": 2, "num_gpus": 0}


# ---- a real cluster ------------------------------------------------------------------------------

SCRIPT = {
    "input": "ANA: one.\nBEN: two.\n" * 4,
    "voices": {"ANA": "alba", "BEN": "bruno"},
    "seed": 7,
}
ONE = {"input": "one", "voice": "alba", "seed": 3, "response_format": "pcm"}


TWO = pytest.mark.parametrize("cluster", [{"replicas": 2}], indirect=True)
ONE_OR_TWO = pytest.mark.parametrize("cluster", [{"most_replicas": 2}], indirect=True)


@pytest.fixture(scope="module")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx.Client, Path]]:
    """Replicas on a cluster of this machine, and a client of the front."""
    folder = tmp_path_factory.mktemp("shared")
    settings = ServeSettings(
        "nano", device="cpu", voices=folder / "voices", jobs=folder / "jobs", **request.param
    )
    alone = FileLock(Path(tempfile.gettempdir(), "bark-test-ray.lock"))  # of all test processes
    alone.acquire()
    try:
        app = create_front(settings, deploy(settings))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
            yield client, folder
        server.should_exit = True
        thread.join()
    finally:
        close()
        alone.release()


def spoken(client: httpx.Client, asked: dict[str, Any]) -> tuple[str, bytes]:
    """Return who spoke and what; what was cut after it had begun is no bytes."""
    with client.stream("POST", SPEECH, json=asked) as answer:
        assert answer.status_code == 200, answer.read()
        try:
            return answer.headers["x-replica"], answer.read()
        except httpx.HTTPError:
            return answer.headers["x-replica"], b""


def several(client: httpx.Client, count: int) -> list[tuple[str, bytes]]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: spoken(client, ONE), range(count)))


@ONE_OR_TWO
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_requests_that_wait_bring_a_second_replica(cluster: tuple[httpx.Client, Path]) -> None:
    client, _ = cluster
    found: dict[str, bytes] = {}
    end = time.monotonic() + 600
    while len(found) < 2:
        assert time.monotonic() < end
        found |= dict(several(client, 12))
    assert len(set(found.values())) == 1


def test_that_ray_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(address: str | None = None, **_: Any) -> None:
        raise ConnectionError("no cluster") if address else Exception("timed out\nduring startup")

    monkeypatch.setattr("ray.init", init)
    with pytest.raises(BarkError, match=r"^Ray did not start: got timed out.* `ray start --head`"):
        deploy(ServeSettings(model="nano"))


@TWO
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_either_replica_gives_the_same_bytes(cluster: tuple[httpx.Client, Path]) -> None:
    client, _ = cluster
    found: dict[str, set[bytes]] = {}
    for _ in range(10):
        for replica, audio in several(client, 4):
            found.setdefault(replica, set()).add(audio)
        if len(found) == 2:
            break
    assert len(found) == 2
    assert len(set.union(*found.values())) == 1


@TWO
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_replica_loses_no_request_that_had_not_begun_and_no_job(
    cluster: tuple[httpx.Client, Path],
) -> None:
    client, folder = cluster
    _, whole = spoken(client, ONE)
    job = client.post(LONG, json=SCRIPT).json()
    lock = folder / "jobs" / ".locks" / f"{job['id']}.lock"

    def parts() -> int:
        return int(client.get(f"{LONG}/{job['id']}").json()["parts_done"])

    def waited(so: Callable[[], bool]) -> None:
        end = time.monotonic() + 300
        while not so():
            assert time.monotonic() < end
            time.sleep(0.05)

    waited(lambda: parts() >= 1)
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(several, client, 12)
        time.sleep(0.5)
        worker = int(owner(lock).split()[1])
        assert worker != os.getpid() and parts() < 8
        os.kill(worker, signal.SIGKILL)
        answers = load.result()
    assert {audio for _, audio in answers} - {b""} == {whole}
    waited(lambda: parts() == 8)
    again = client.post(LONG, json=SCRIPT).json()
    waited(lambda: client.get(f"{LONG}/{again['id']}").json()["status"] == "done")
    journals = [
        (folder / "jobs" / name / "parts.journal").read_bytes().split(b"\n", 1)[1]
        for name in (job["id"], again["id"])
    ]
    assert journals[0] == journals[1]
    audio = [
        client.get(f"{LONG}/{name}/audio?format=wav").content for name in (job["id"], again["id"])
    ]
    assert audio[0] == audio[1] and len(audio[0]) > 10_000
