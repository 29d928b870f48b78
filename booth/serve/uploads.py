"""Recordings that clients send: kept in a folder of their own while they are examined and cloned.

They are strangers' files: their names are made harmless, their length and decoded size are checked
first, and a worker process decodes them."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import UploadFile

from bark.audio.read import open_audio
from bark.errors import BarkError
from bark.pipeline import Bark
from hubert.clone import Cloner
from hubert.reference import Report, examine
from hubert.reference.source import Source, open_source

from .config import ServeSettings
from .engine import QueueFull
from .errors import ApiError, as_api_error

PEAKS = 600  # pairs of a drawing
AGAIN = 10  # seconds, where too many recordings wait
SAMPLE_BYTES = 4


def harmless(name: str | None) -> str:
    """Return a file name that is one everywhere.

    >>> harmless("../etc/my voice?.wav"), harmless(None)
    ('my voice_.wav', 'recording')
    """
    last = re.split(r"[/\\]", name or "")[-1][-64:]
    return re.sub(r"[^\w .-]", "_", last).strip(" .") or "recording"


class Desk:
    """Examines and clones recordings, one at a time."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self._one = CapacityLimiter(1)
        self._cloner: Cloner | None = None

    @asynccontextmanager
    async def saved(self, upload: UploadFile) -> AsyncIterator[Path]:
        """Yield the path of an upload; its errors are told by the name that the client gave."""
        if self._one.statistics().tasks_waiting >= self.settings.queue:
            raise QueueFull(self.settings.queue, AGAIN)
        with TemporaryDirectory(prefix="bark-upload-") as folder:
            path = Path(folder) / harmless(upload.filename)
            await to_thread.run_sync(_copy, upload, path)
            try:
                yield path
            except BarkError as error:
                known = as_api_error(error)
                told = str(error).replace(f"{folder}/", "")
                raise ApiError(
                    known.status, told, param=known.param or "audio_sample", code=known.code
                ) from error

    async def examined(
        self, path: Path, start: float | None = None, end: float | None = None
    ) -> tuple[Report, list[list[float]]]:
        """Return the doctor's report, and what is needed to draw the waveform."""

        def work() -> tuple[Report, list[list[float]]]:
            source = self._opened(path).held()
            report = examine(source, start=start, end=end)
            return report, peaks(report.channels.mixed(source.part(0.0, source.duration)))

        return await to_thread.run_sync(work, limiter=self._one)

    async def cloner(self, bark: Bark, language: str) -> Cloner:
        """Load what clones recordings of a language for the loaded model; the last is kept."""

        def load() -> Cloner:
            if self._cloner is None or self._cloner.language != language:
                self._cloner = Cloner.from_pretrained(
                    bark.name, language, codec=bark.codec, device=self.settings.device
                )
            return self._cloner

        return await to_thread.run_sync(load, limiter=self._one)

    def _opened(self, path: Path) -> Source:
        found = open_audio(path, isolated=True)
        if found.duration > self.settings.upload_seconds:
            allowed = f"up to {self.settings.upload_seconds:g} s"
            raise ApiError(413, f"the recording lasts {found.duration:.0f} s; allowed: {allowed}")
        size = found.frames * found.channels * SAMPLE_BYTES
        if size > self.settings.decoded_bytes:
            allowed = f"up to {self.settings.decoded_bytes >> 20} MB"
            raise ApiError(
                413, f"the recording is {size >> 20} MB when decoded; allowed: {allowed}"
            )
        return open_source(path, isolated=True)


def peaks(audio: np.ndarray, count: int = PEAKS) -> list[list[float]]:
    """Return the least and the greatest sample of each of `count` pieces of (N,)."""
    pieces = np.array_split(audio, min(count, len(audio)))
    return [[round(float(p.min()), 3), round(float(p.max()), 3)] for p in pieces]


def _copy(upload: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)


def report_of(report: Report, drawn: list[list[float]] | None = None) -> dict[str, Any]:
    """Return what a client is told of a recording."""
    return report.to_dict() | ({} if drawn is None else {"peaks": drawn})
