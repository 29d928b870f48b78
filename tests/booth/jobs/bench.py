"""A stand-in for a model that speaks at once, and jobs of a few short parts for it."""

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from bark.checkpoints.find import find_model
from bark.pipeline import Bark
from bark.settings import Settings
from bark.stages.progress import Watch
from bark.tokens import BARK
from bark.voice.voice import Voice
from booth.jobs.order import Order
from booth.jobs.record import FORMAT, FORMAT_VERSION, JobRecord, JobState, JobVoice, Line
from booth.jobs.state import state_of
from booth.jobs.store import JobStore
from booth.jobs.worker import JobWorker
from tests.made_voices import make

LINES = ("one", "two", "three", "four")


@dataclass(frozen=True)
class Spoken:
    tokens: Voice
    audio: np.ndarray = field(default_factory=lambda: np.zeros(1, np.float32))


class Speaker:
    """Speaks tokens that depend on text, voice and seed alone, in the words that nano knows."""

    name, layout, voices_folder, family = "nano", BARK, None, "stand-in"
    turns: threading.Semaphore | None = None  # parts that may be spoken, where they are counted

    def __init__(self) -> None:
        self.tokenizer = find_model("nano").load_tokenizer()

    def check(self, settings: dict[str, Any], seed: int | None = None) -> Settings:
        return Settings().changed(settings)

    def resolve_voice(self, voice: Any) -> Voice | None:
        if isinstance(voice, (str, Path)):
            return make(seed=crc32(Path(voice).stem.encode()))
        return voice

    def generate(
        self, text: str, voice: Voice | None, *, seed: int, progress: Any, cancel: Any, **_: Any
    ) -> Spoken:
        with Watch.of(progress, cancel).bar("coarse", 10, "token") as bar:
            while self.turns is not None and not self.turns.acquire(timeout=0.01):
                bar.update(0)  # a part that is cancelled waits no longer
            bar.update()
        key = f"{text}{voice and voice.digest}{seed}"
        return Spoken(make(60 + len(text), seed=crc32(key.encode())))

    def decode(self, fine: np.ndarray) -> np.ndarray:
        """A tone for each frame."""
        pitch = np.repeat(fine[0], 320) / 1024  # (8, T) -> (N,)
        return (0.5 * np.sin(np.cumsum(pitch))).astype(np.float32)


class Bench:
    """What `booth.serve.engine.Engine` is to a worker."""

    def __init__(self, bark: Bark) -> None:
        self.bark = bark
        self.calls = 0
        self._thread = ThreadPoolExecutor(1)

    async def call(self, work: Callable[[Bark], Any], *, bounded: bool = True) -> Any:
        assert not bounded, "a part of a job waits for its turn, it is not sent away"
        self.calls += 1
        return await asyncio.wrap_future(self._thread.submit(work, self.bark))


def record_of(bark: Bark, lines: Sequence[str] = LINES, seed: int = 5, **order: Any) -> JobRecord:
    """A job with a part for each line, whatever their length."""
    asked = Order(" ".join(lines), seed=seed, **order)
    voice = None if asked.voice is None else bark.resolve_voice(asked.voice)
    voices = [] if voice is None else [JobVoice(None, str(asked.voice), voice.digest)]
    return JobRecord(
        FORMAT, FORMAT_VERSION, 0.0, bark.name, asked.text, [Line(None, line, 0.5) for line in lines],
        voices, seed, bark.check({}).to_dict(),
    )  # fmt: skip


def create(store: JobStore, bark: Bark, voice: str | None = "alba", **order: Any) -> str:
    record = record_of(bark, voice=voice, **order)
    voices: list[Voice] = [bark.resolve_voice(one.name) for one in record.voices]
    return store.create(record, voices)


def see(store: JobStore, bark: Bark, name: str) -> JobState:
    return state_of(store, name, bark.name, bark.layout)


def work(
    store: JobStore,
    bark: Bark,
    until: Callable[[], bool],
    seconds: float = 120,
    workers: int = 1,
) -> int:
    """Work on the jobs until something is true, then stop at once; return the model's calls."""

    async def run() -> int:
        benches = [Bench(bark) for _ in range(workers)]
        crew = [JobWorker(store, bench) for bench in benches]
        for worker in crew:
            worker.start()
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, "it was never so"
            await asyncio.sleep(0.01)
        for worker in crew:
            await worker.stop()
        return sum(bench.calls for bench in benches)

    return asyncio.run(run())


def finish(store: JobStore, bark: Bark, name: str, **how: Any) -> int:
    return work(store, bark, lambda: see(store, bark, name).status in ("done", "failed"), **how)


def journal(store: JobStore, name: str) -> bytes:
    return (store.folder / name / "parts.journal").read_bytes()


@contextmanager
def another(store: JobStore, name: str, folder: Path) -> Iterator[JobStore]:
    """A copy of a job's folder, as a killed process may have left it."""
    target = folder / f"copy-{time.monotonic_ns()}"
    shutil.copytree(store.folder / name, target / name)
    yield JobStore(target)
