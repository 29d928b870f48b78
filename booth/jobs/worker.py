"""Works on the jobs of a folder, one part after the other, while others have the model between."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from threading import Event
from typing import Any, Protocol

import msgspec
from anyio import to_thread

from bark.errors import BarkError, Cancelled, MissingFileError
from bark.longform.drift import Drift, Steady
from bark.longform.journal import Journal
from bark.longform.part import Choice
from bark.longform.speak import speak_turn
from bark.longform.spoken import Part, speaker_voice
from bark.pipeline import Bark
from bark.tokens import TokenLayout
from bark.voice.voice import Voice
from hubert.drift import PartListener
from hubert.judge import TakeJudge

from .record import DriftMode, Failure, JobRecord, Pace
from .state import expects_work
from .store import JobStore, Wanted

logger = logging.getLogger(__name__)

GLANCE = 0.2  # seconds between two looks whether somebody paused or deleted the job at work
TELL = 0.5  # seconds between two notes of how far a part is
REST = 1.0  # seconds between two looks for jobs that another process was given
SURE = 2_000_000_000  # ns after which a change of a folder is sure to have changed its time
STAGES = {"semantic": (0.0, 0.4), "coarse": (0.4, 0.9), "fine": (0.9, 1.0)}  # shares of a part


class Model(Protocol):
    """The model, to be had for one turn at a time: `booth.serve.engine.Engine`."""

    @property
    def bark(self) -> Bark:
        """The model itself; only what `call` is given speaks with it."""

    def call(self, work: Callable[[Bark], Any], *, bounded: bool = True) -> Awaitable[Any]:
        """Let `work` have the model for one turn."""


class JobWorker:
    """Takes up the oldest job that nobody works on, speaks it to its end, and goes on with the
    next; jobs that a killed process left are among them.
    """

    def __init__(self, store: JobStore, model: Model) -> None:
        self.store, self.model = store, model
        self._settled: dict[str, tuple[int, ...]] = {}  # jobs without work when last looked at
        self._wake = asyncio.Event()
        self._cancel = Event()  # ends the part at work
        self._judge: TakeJudge | None = None
        self._listener: PartListener | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bark-jobs")

    async def stop(self) -> None:
        """Leave the part at work, which is spoken again later, and end."""
        if self._task is None:
            return
        self._cancel.set()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def wake(self) -> None:
        """Look at the jobs at once: one is new, or goes on."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                worked = await self._round()
            except Exception:  # a full disk, say: the jobs stay as they are
                logger.exception("the jobs cannot be worked on; trying again")
                worked = False
            if not worked:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), REST)

    async def _round(self) -> bool:
        """Work on the first job that waits; tell whether there was one."""
        for name in await to_thread.run_sync(self.store.doomed):
            await to_thread.run_sync(self.store.sweep, name)
        for name in await to_thread.run_sync(self._waiting):
            with self.store.held(name) as mine:
                if mine:
                    await self._work(name)
                    return True
        return False

    def _waiting(self) -> list[str]:
        found, names = [], self.store.ids()
        for name in names:
            signature = self.store.signature(name)
            if self._settled.get(name) == signature:
                continue
            with suppress(BarkError):  # deleted meanwhile, or not to be read
                record = self.store.record(name)
                if expects_work(self.store, name, record, self.model.bark.name):
                    found.append(name)
                    continue
            if time.time_ns() - max(signature, default=0) > SURE:
                self._settled[name] = signature
        for gone in self._settled.keys() - set(names):
            del self._settled[gone]
        return found

    async def _work(self, name: str) -> None:
        part = 0
        try:
            job = await to_thread.run_sync(_Opened, self.store, name, self.model.bark.layout)
            try:
                while (want := job.next()) is not None:
                    part = want.number
                    await self._speak(job, want)
            finally:
                job.close()
        except (Cancelled, MissingFileError):  # paused or deleted; or the server ends
            pass
        except Exception as error:
            if not isinstance(error, BarkError):
                logger.exception("part %d of the job %s failed", part, name)
            told = str(error) if isinstance(error, BarkError) else "the server failed"
            if not self.store.is_deleted(name):
                self.store.fail(name, Failure(part, told))

    async def _speak(self, job: "_Opened", want: Wanted) -> None:
        """Speak one part in a turn of the model, unless the job is to rest meanwhile."""
        self._cancel = cancel = Event()
        try:
            tools = await self.tools(job.record.candidates, job.record.drift or None)
        except MissingFileError as error:  # not of the job, which would be gone
            raise BarkError(str(error)) from error

        def speak(bark: Bark) -> None:
            if job.interrupted:
                raise Cancelled("cancelled")
            job.speak(bark, want, cancel, *tools)

        turn = asyncio.ensure_future(self.model.call(speak, bounded=False))
        try:
            while not (await asyncio.wait([turn], timeout=GLANCE))[0]:
                if job.interrupted:
                    cancel.set()
            turn.result()
        finally:
            cancel.set()
            if not turn.done():  # this task is being cancelled; the model is still at it
                with suppress(BarkError, asyncio.CancelledError):
                    await turn

    async def tools(
        self, candidates: int, drift: DriftMode | None
    ) -> tuple[TakeJudge | None, Drift | None]:
        """Return what chooses among takes, and what keeps parts alike.

        Raises
        ------
        MissingFileError
            If they are asked for and are not installed.
        """
        if candidates > 1 and self._judge is None:
            self._judge = await to_thread.run_sync(TakeJudge, self.model.bark)
        steadied = None
        if drift is not None:
            if self._listener is None:
                listener = await to_thread.run_sync(PartListener, self.model.bark)
                self._listener = listener
            steadied = Drift(self._listener, repair=drift == "repair")
        return self._judge if candidates > 1 else None, steadied


class _Opened:
    """A job that this process works on."""

    def __init__(self, store: JobStore, name: str, layout: TokenLayout) -> None:
        self.store, self.name, self.layout = store, name, layout
        self.record: JobRecord = store.record(name)
        self.voices: Mapping[str | None, Voice] = store.voices(name, layout)
        self.journal: Journal = store.journal(name)
        digest = hashlib.sha256(msgspec.json.encode(self.record)).hexdigest()
        self.journal.begin({"job": digest})
        self.worked = self.spoken = 0.0  # seconds of work, and of speech that it made

    @property
    def interrupted(self) -> bool:
        """Whether somebody wants it to rest."""
        return self.store.is_paused(self.name) or self.store.is_deleted(self.name)

    def next(self) -> Wanted | None:
        """Return what is to be spoken next; None at the end, or where it is to rest."""
        if self.interrupted:
            return None
        return next(iter(self.store.waiting(self.name, self.record, self.journal.parts)), None)

    def speak(
        self,
        bark: Bark,
        want: Wanted,
        cancel: Event,
        judge: TakeJudge | None,
        drift: Drift | None,
    ) -> None:
        """Speak a part and keep it; it depends on nothing but the record and earlier parts."""
        line, begun = self.record.parts[want.number - 1], time.monotonic()
        anchor = self.voices.get(line.speaker)
        earlier = [
            self.journal.tokens(number)
            for number, other in enumerate(self.record.parts[: want.number - 1], 1)
            if anchor is None and other.speaker == line.speaker and number in self.journal.parts
        ]
        watch = {"progress": self._told(want.number), "cancel": cancel}

        def spoken(start: Voice | None, first: int) -> Part:
            seed, take, score = speak_turn(
                bark, line.text, first, start, earlier, {**self.record.settings, **watch},
                choice=Choice(self.record.candidates, judge),
            )  # fmt: skip
            return Part(
                want.number, line.text, line.speaker, seed, want.take, take.audio, take.tokens,
                score,
            )  # fmt: skip

        made = spoken(anchor, want.seed)
        if drift is not None:
            voice = speaker_voice(anchor, earlier, self.layout)
            made = self._steady(drift, want.number).best(made, want.seed, voice, voice, spoken)
        if self.store.is_deleted(self.name):
            raise Cancelled("cancelled")
        self.journal.add(made)
        self.worked += time.monotonic() - begun
        self.spoken += made.tokens.seconds(self.layout)

    def _steady(self, drift: Drift, number: int) -> Steady:
        """Return what knows how the parts before this one sound."""
        steady = Steady(drift)
        for before, line in enumerate(self.record.parts[: number - 1], 1):
            if (done := self.journal.parts.get(before)) is not None and done.heard is not None:
                steady.remember(line.speaker, done.heard)
        return steady

    def _told(self, number: int) -> Callable[[str, int, int], None]:
        """Return what is told of the progress of a part, and notes it now and then."""
        last = time.monotonic()

        def told(stage: str, done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= TELL and stage in STAGES:
                last = now
                begin, end = STAGES[stage]
                share = begin + (end - begin) * done / max(total, 1)
                self.store.tell(self.name, Pace(number, share, self._factor))

        return told

    @property
    def _factor(self) -> float | None:
        return self.worked / self.spoken if self.spoken else None

    def close(self) -> None:
        """Let other processes work on it."""
        self.journal.close()
        if not self.store.is_deleted(self.name):
            self.store.tell(self.name, None)
