"""The server on nano, beside the library, in one run: first sound, the cost of HTTP, many clients.

Everything is asked of one server in this process, which listens on a free port. Figures are ratios
within this run; seconds are told beside them. With --soak it is loaded with twice what it can carry
for so many minutes, in all formats, and every minute its memory, its open files and its answers are
told. The memory is that between turns, the least of what is seen: a batch at work needs more.
`python -m benchmarks.serving [--rounds 3] [--clients 8] [--soak MINUTES] [--model nano]`"""

import argparse
import json
import os
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

from bark import Bark
from booth.serve.app import create_app
from booth.serve.config import ServeSettings
from booth.serve.encode import FORMATS
from booth.serve.engine import Engine

VOICE = "alba"
TEN_SECONDS = (  # one part, and about as long as nano speaks at once
    "The old harbour was quiet in the morning, and the boats lay still, while the fishermen "
    "talked about the weather and drank their coffee near the wall."
)
SHORT = "Good morning to you all."
RATE = 24_000 * 2  # bytes a second
LOOKS = 60  # at the memory, for each time that it is told
ANY_NUMBER = httpx.Limits(max_connections=None, max_keepalive_connections=None)


@contextmanager
def running(bark: Bark, **settings: Any) -> Iterator[httpx.Client]:
    """Run a server and yield a client of it."""
    chosen = ServeSettings(model=bark.name, **settings)
    engine = Engine(bark, queue=chosen.queue, max_batch=chosen.max_batch)
    config = uvicorn.Config(create_app(chosen, engine), log_level="error")
    server = uvicorn.Server(config)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        address = f"http://127.0.0.1:{door.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=600, limits=ANY_NUMBER) as client:
            yield client
        server.should_exit = True
        thread.join()


class Asked:
    """One request, and when its bytes came."""

    def __init__(self, client: httpx.Client, text: str, seed: int, **more: Any) -> None:
        asked = {"input": text, "voice": VOICE, "seed": seed, "response_format": "pcm", **more}
        begun = time.monotonic()
        self.first, size = 0.0, 0
        with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
            self.status = answer.status_code
            for chunk in answer.iter_raw():
                self.first = self.first or time.monotonic() - begun
                size += len(chunk)
        if self.status not in (200, 429, 503):
            raise RuntimeError(f"the server answered {self.status}")
        self.whole, self.seconds = time.monotonic() - begun, size / RATE


def first_sound(client: httpx.Client, rounds: int) -> dict[str, Any]:
    """Measure first sound beside the whole of a text of about ten seconds."""
    found: dict[str, Any] = {}
    for latency in ("exact", "low"):
        made = [Asked(client, TEN_SECONDS, seed, latency=latency) for seed in range(rounds)]
        found[latency] = {
            "first / whole": statistics.median(one.first / one.whole for one in made),
            "first, s": statistics.median(one.first for one in made),
            "whole, s": statistics.median(one.whole for one in made),
            "speech, s": statistics.median(one.seconds for one in made),
        }
    return found


def overhead(bark: Bark, client: httpx.Client, rounds: int) -> dict[str, Any]:
    """Measure one client beside the library, in turns; CPU seconds are disturbed less by others."""

    def spent(work: Callable[[], Any]) -> tuple[float, float]:
        wall, cpu = time.monotonic(), time.process_time()
        work()
        return time.monotonic() - wall, time.process_time() - cpu

    ratios = []
    for seed in range(2 * rounds):
        ways: list[Callable[[], Any]] = [
            lambda seed=seed: list(bark.stream(SHORT, VOICE, seed=seed)),
            lambda seed=seed: Asked(client, SHORT, seed),
        ]
        order = (0, 1) if seed % 2 else (1, 0)
        took = {way: spent(ways[way]) for way in order}
        ratios.append([took[1][kind] / took[0][kind] for kind in (0, 1)])
    wall, cpu = np.median(ratios, axis=0)
    return {"HTTP / library, wall": float(wall), "HTTP / library, CPU": float(cpu)}


def many(client: httpx.Client, clients: int, rounds: int) -> dict[str, Any]:
    """Measure many clients beside one: seconds of speech for a second of the wall."""

    def throughput(at_once: int) -> tuple[float, list[Asked]]:
        seeds = range(clients * rounds)
        begun = time.monotonic()
        with ThreadPoolExecutor(at_once) as pool:
            made = list(pool.map(lambda seed: Asked(client, SHORT, seed), seeds))
        return sum(one.seconds for one in made) / (time.monotonic() - begun), made

    one, _ = throughput(1)
    all_, made = throughput(clients)
    waits = sorted(one.first for one in made)
    return {
        f"{clients} clients / one, throughput": all_ / one,
        "one client, s of speech a second": one,
        f"{clients} clients, first sound p50 and p95, s": [
            float(np.percentile(waits, 50)),
            float(np.percentile(waits, 95)),
        ],
        "answers": dict(Counter(one.status for one in made)),
    }


def by_place(client: httpx.Client, clients: int) -> dict[str, Any]:
    """Measure how long each of so many requests at once waits for its first sound, by its place."""
    made: list[Asked] = []
    threads = []
    for place in range(clients):
        work = lambda place=place: made.append(Asked(client, SHORT, place))  # noqa: E731
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        time.sleep(0.05)  # so that places are known
    for thread in threads:
        thread.join()
    waits = np.sort([one.first for one in made])
    places = np.arange(1, clients + 1)
    slope, start = np.polyfit(places, waits, 1)
    return {
        "first sound by place, s": [round(float(wait), 2) for wait in waits],
        "seconds a place": float(slope),
        "correlation with the place": float(np.corrcoef(places, waits)[0, 1]),
        "last / (places * one turn)": float(waits[-1] / (clients * slope)),
        "at the door, s": float(start),
    }


def soak(client: httpx.Client, minutes: float, most: int) -> dict[str, Any]:
    """Ask for twice what the server takes until the time is over, and watch this process."""
    end, answers, numbers = time.monotonic() + 60 * minutes, Counter[int](), count()

    def visitor() -> None:
        while time.monotonic() < end:
            number = next(numbers)
            kind = list(FORMATS)[number % len(FORMATS)]
            status = Asked(client, SHORT, number, response_format=kind).status
            answers[status] += 1
            if status == 429:
                time.sleep(1)

    threads = [threading.Thread(target=visitor) for _ in range(2 * most)]
    for thread in threads:
        thread.start()
    memory, step = [], min(60.0, 6 * minutes)
    while time.monotonic() < end:
        seen = []
        for _ in range(LOOKS):
            time.sleep(step / LOOKS)
            seen.append(_memory())
        memory.append(min(seen))
        told = f"{memory[-1]:.0f} to {max(seen):.0f} MB"
        print(f"{told}, {_files()} files, {dict(answers)}", flush=True)
    for thread in threads:
        thread.join()
    settled = memory[len(memory) // 6 :]
    return {
        "answers": dict(answers),
        "memory, MB": [round(each) for each in memory],
        "after a sixth of the time, most and least / mean": [
            max(settled) / statistics.mean(settled),
            min(settled) / statistics.mean(settled),
        ],
    }


def _memory() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--max-batch", type=int, default=ServeSettings().max_batch)
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print every figure as a line of JSON."""
    options = build_parser().parse_args(argv)
    bark = Bark.from_pretrained(options.model)
    bark.generate(SHORT, VOICE, seed=0)
    if options.soak:
        files = _files()
        with running(bark, queue=8, max_batch=options.max_batch) as client:
            _tell("soak", soak(client, options.soak, 8))
        _tell("open files", {"before": files, "after": _files()})
        return 0
    with running(bark, max_batch=options.max_batch) as client:
        Asked(client, "Yes.", 0)
        _tell("first sound", first_sound(client, options.rounds))
        _tell("overhead", overhead(bark, client, options.rounds))
        _tell(
            f"batches of up to {options.max_batch}", many(client, options.clients, options.rounds)
        )
        _tell(f"places, batches of up to {options.max_batch}", by_place(client, options.clients))
    with running(bark, max_batch=1) as client:
        _tell("one after the other", many(client, options.clients, options.rounds))
        _tell("places, one after the other", by_place(client, options.clients))
    return 0


def _tell(what: str, found: dict[str, Any]) -> None:
    print(json.dumps({what: found}), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
