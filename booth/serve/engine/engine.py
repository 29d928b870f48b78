"""One loaded model and the queue in front of it: requests take turns, a part of a text at a time.

A single thread speaks. It takes the first request of the queue, and with it those behind that may
share a batch: same settings, one take of each part. A request that is alone streams while it is
made; requests in a batch get their part when the batch is done. Whoever has parts left goes to the
end of the queue, so that nobody waits for more than a part of another's text."""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from anyio import to_thread

from bark.errors import BarkError, Cancelled, out_of_memory
from bark.longform.part import Choice, speak_part
from bark.longform.stream import TextStream, check_latency
from bark.pipeline import Bark
from bark.stages.progress import Watch
from bark.text.reading import noted
from bark.voice.voice import Voice
from hubert.judge import TakeJudge

from .handle import EngineFailed, Handle, QueueFull, SpeechJob, Stopping
from .metrics import Metrics

logger = logging.getLogger(__name__)

Made = TypeVar("Made")
LONGEST_RETRY = 600  # seconds


@dataclass(eq=False)
class _Call:
    """Some other work for the model."""

    work: Callable[[Bark], Any]
    future: "Future[Any]"

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for it."""
        return self.future.cancelled()


class Engine:
    """Speaks for many at once with one model.

    Parameters
    ----------
    queue : requests that are taken at once; beyond it `submit` is a `QueueFull`.
    max_batch : requests that are spoken side by side at most.
    """

    def __init__(
        self, bark: Bark, *, queue: int = 32, max_batch: int = 4, metrics: Metrics | None = None
    ) -> None:
        self.bark, self.limit, self.max_batch = bark, queue, max_batch
        self.metrics = metrics or Metrics()
        self.metrics.watch_queue(lambda: self.unfinished)
        self._waiting: deque[Handle | _Call] = deque()
        self._open: set[Handle | _Call] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._turn = 1.0  # seconds, the mean of late
        self._judge: TakeJudge | None = None
        self._thread = threading.Thread(target=self._run, name="bark-engine", daemon=True)

    @property
    def unfinished(self) -> int:
        """Requests that wait or are being spoken."""
        return sum(not item.given_up for item in list(self._open))

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """End what is unfinished and wait for the thread."""
        with self._changed:
            self._stopping = True
            for item in self._open:
                if isinstance(item, Handle):
                    item.cancel()
                else:
                    item.future.cancel()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    async def submit(self, job: SpeechJob, find: Callable[[str], Voice | None]) -> Handle:
        """Take a job into the queue; what is wrong with it is raised at once.

        Parameters
        ----------
        find : finds the voices that the text itself names.
        """
        self.check_room()
        stream = await to_thread.run_sync(self._planned, job, find)
        handle = Handle(job, stream, asyncio.get_running_loop())
        self._take_in(handle, bounded=True)
        return handle

    async def call(self, work: Callable[[Bark], Made], *, bounded: bool = True) -> Made:
        """Let `work` have the model for one turn, and return what it returns.

        Parameters
        ----------
        bounded : count it against the limit of the queue, as for a request of a client.
        """
        item = _Call(work, Future())
        self._take_in(item, bounded)
        made: Made = await asyncio.wrap_future(item.future)
        return made

    def _planned(self, job: SpeechJob, find: Callable[[str], Voice | None]) -> TextStream:
        check_latency(job.latency)
        if job.best_of > 1 and self._judge is None:
            self._judge = TakeJudge(self.bark)
        return TextStream(self.bark, job.text, job.voice, job.seed, job.settings, find)

    def check_room(self) -> None:
        """Raise what a request is told that cannot be taken now, before any work on it."""
        if self._stopping:
            raise Stopping("the server is stopping")
        if (count := self.unfinished) >= self.limit:
            turns = count / self.max_batch
            seconds = min(LONGEST_RETRY, max(1, math.ceil(turns * self._turn)))
            raise QueueFull(self.limit, seconds)

    def _take_in(self, item: Handle | _Call, bounded: bool) -> None:
        with self._changed:
            if bounded or self._stopping:
                self.check_room()
            self._open.add(item)
            self._waiting.append(item)
            self._changed.notify()

    # ---- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while turn := self._next():
            begun = time.monotonic()
            first = turn[0]
            if isinstance(first, _Call):
                self._do(first)
            else:
                handles = [item for item in turn if isinstance(item, Handle)]
                self._speak(handles)
            self._turn += (time.monotonic() - begun - self._turn) / 8

    def _next(self) -> Sequence[Handle | _Call]:
        """Wait for work and return what is to be done now; nothing where all is over."""
        with self._changed:
            while True:
                while not self._waiting:
                    if self._stopping:
                        return []
                    self._changed.wait()
                first = self._waiting.popleft()
                if isinstance(first, _Call):
                    return [first]
                if first.cancelled.is_set():
                    self._end(first, Cancelled("cancelled"))
                    continue
                return [first, *self._company_of(first)]

    def _company_of(self, first: Handle) -> list[Handle]:
        """Take those out of the queue that can be spoken beside `first`."""
        company = first.job.company
        chosen: list[Handle] = []
        if company is None:
            return chosen
        for item in list(self._waiting):
            if len(chosen) + 1 >= self.max_batch:
                break
            if isinstance(item, Handle) and item.job.company == company:
                self._waiting.remove(item)
                if item.cancelled.is_set():
                    self._end(item, Cancelled("cancelled"))
                else:
                    chosen.append(item)
        return chosen

    def _do(self, call: _Call) -> None:
        try:
            if call.future.set_running_or_notify_cancel():
                call.future.set_result(call.work(self.bark))
        except BarkError as error:
            call.future.set_exception(error)
        except Exception as error:
            logger.exception("work for the model failed")
            call.future.set_exception(error)
        finally:
            with self._changed:
                self._open.discard(call)

    def _speak(self, handles: Sequence[Handle]) -> None:
        now = time.monotonic()
        for handle in handles:
            if not handle.begun:
                handle.begun = True
                self.metrics.waiting.observe(now - handle.since)
        if len(handles) > 1 and (made := self._together(handles)) is not None:
            for handle, one in zip(handles, made, strict=True):
                self._part(handle, handle.stream.take(one.audio, one.tokens))
            seconds = sum(one.duration for one in made)
            self.metrics.spoke(seconds, time.monotonic() - now, len(handles))
            return
        for handle in handles:
            now = time.monotonic()
            samples = self._part(handle, self._alone(handle))
            seconds = samples / self.bark.layout.sample_rate
            self.metrics.spoke(seconds, time.monotonic() - now, 1)

    def _together(self, handles: Sequence[Handle]) -> Sequence[Any] | None:
        """Speak the next part of each side by side; None where each must be tried by itself."""

        def check(stage: str, done: int, total: int) -> None:
            if all(handle.cancelled.is_set() for handle in handles):
                raise Cancelled("cancelled")

        texts, histories, seeds = zip(*(handle.stream.next for handle in handles), strict=True)
        settings: dict[str, Any] = dict(handles[0].job.settings)
        try:
            with noted():
                return self.bark.generate_batch(
                    texts, list(histories), seeds=seeds, progress=check, **settings
                )
        except BarkError:
            return None  # one of them is at fault, and is told so when it is spoken alone
        except Exception as error:
            if out_of_memory(error):
                self.max_batch = max(1, len(handles) // 2)
            logger.exception("%d requests at once failed; each is tried alone", len(handles))
            return None

    def _alone(self, handle: Handle) -> Iterator[np.ndarray]:
        """Speak the next part of one request."""
        job, watch = handle.job, Watch(cancel=handle.cancelled)
        if job.best_of == 1:
            yield from handle.stream.stream(job.latency, watch)
            return
        text, history, seed = handle.stream.next
        settings = {"progress": watch, **job.settings}
        choice = Choice(job.best_of, self._judge)
        _, best, _ = speak_part(self.bark, text, history, seed, settings, choice, history)
        yield from handle.stream.take(best.audio, best.tokens)

    def _part(self, handle: Handle, pieces: Iterator[np.ndarray]) -> int:
        """Hand over one part as it is made; what is left of the text goes into the queue again."""
        samples = 0
        try:
            for piece in pieces:
                handle.put(piece)
                samples += len(piece)
                if not handle.sounded:
                    handle.sounded = True
                    self.metrics.first_sound.observe(time.monotonic() - handle.since)
        except BarkError as error:
            self._end(handle, error)
        except Exception:
            logger.exception("speech failed")
            self._end(handle, EngineFailed("the engine failed; its log says why"))
        else:
            if handle.stream.done:
                self._end(handle, None)
            else:
                with self._changed:
                    self._waiting.append(handle)
        return samples

    def _end(self, handle: Handle, error: BaseException | None) -> None:
        if isinstance(error, Cancelled) and self._stopping:
            error = Stopping("the server is stopping")
        with self._changed:
            self._open.discard(handle)
        handle.put(error)
