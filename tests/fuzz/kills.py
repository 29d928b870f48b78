"""Kills processes while they write, at random moments, and looks at what they leave.

``python -m tests.fuzz kills SEED COUNT``. After each kill whatever has its final name must be whole,
and what was finished before must still be there; after the next whole run nothing temporary is left.
"""

import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bark.checkpoints.find import find_model
from bark.convert import convert
from bark.longform.journal import Journal
from bark.settings import Settings
from bark.speech import Generation, Part, file_hash
from bark.storage import atomic
from bark.tokens import BARK
from bark.voice.voice import Voice
from booth.takes.runs import open_run
from booth.takes.take import read_record, save_take
from booth.voices.library import Library
from tests.conftest import contents
from tests.made_voices import make
from tests.pairs import VOCABULARY, frames_of, write_material
from tests.tiny import make_tiny_model
from training.engine.run_folder import load_tensors, save_tensors
from training.quantizer.prepare import PrepareOptions, prepare

from . import Outcome

LONGEST = 0.3  # seconds from a process's start to its end
PARTS = 30  # of a journal, takes of a run


@dataclass
class Job:
    """Something that writes, and what must be true whenever it is killed."""

    folder: Path
    work: Callable[[Path], None]  # in a process of its own, until it is killed
    check: Callable[[Path], None]  # raises where something is broken or lost

    @property
    def reason(self) -> Path:
        """The file where a process that failed by itself says why."""
        return self.folder.with_name(f"{self.folder.name} failed")


def campaign(seed: int, kills: int) -> Outcome:
    """Kill that many processes, of each kind in turn."""
    outcome, began, draw = Outcome(), time.monotonic(), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        jobs = _Work(Path(folder)).jobs(Path(folder))
        for job in jobs.values():
            job.folder.mkdir()
        for number in range(kills):
            name = list(jobs)[number % len(jobs)]
            job = jobs[name]
            code = _killed(job, LONGEST * draw.random() ** 2)
            outcome.inputs += 1
            outcome.kinds[
                f"{name}: {'killed' if code is None else 'failed' if code else 'ended'}"
            ] += 1
            if code:
                outcome.faults.append(f"{name}, kill {number}: failed: {job.reason.read_text()}")
            try:
                job.check(job.folder)
            except Exception as error:  # noqa: BLE001  what the campaign looks for
                outcome.faults.append(f"{name}, kill {number}: {type(error).__name__}: {error}")
        for name, job in jobs.items():
            outcome.kinds[f"{name}: left by kills"] = len(_left(job.folder))
            _last_run(job)
            outcome.faults += [
                f"{name}: left after a whole run: {path}" for path in _left(job.folder)
            ]
    outcome.seconds = time.monotonic() - began
    return outcome


def _killed(job: Job, after: float) -> int | None:
    """Let the job run in a process and kill it; return its exit code if it had ended before."""
    child = os.fork()
    if not child:
        code = 1
        try:
            job.work(job.folder)
            code = 0
        except BaseException:  # noqa: BLE001  the reason is what is wanted
            job.reason.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def _last_run(job: Job) -> None:
    """Write once more as if a day had passed, when the leftovers of the dead are swept."""
    before, atomic.A_DAY = atomic.A_DAY, -1
    try:
        for place in {path.parent.parent for path in _left(job.folder)}:
            atomic.atomic_write_text(place / "swept", "")
    finally:
        atomic.A_DAY = before


def _left(folder: Path) -> list[Path]:
    """Return what kills left in temporary folders; what a left folder holds goes with it."""
    places = [
        place
        for place in folder.rglob(".bark-tmp-*")
        if not any(above.name.startswith(".bark-tmp-") for above in place.parents)
    ]
    return [path for place in places for path in place.iterdir()]


class _Left(Exception):
    """Ends a block without ending what it works on."""


class _Work:
    """What the jobs write."""

    def __init__(self, folder: Path) -> None:
        self.voices = [make(60, seed=number) for number in range(3)]
        self.model = make_tiny_model(folder / "tiny")
        self.material = folder / "material"
        write_material(self.material, [f"n{number}" for number in range(6)])
        self.options = PrepareOptions(vocabulary=VOCABULARY, max_refused=1.0)
        self.encoder = {"hubert": "stub", "layer": 1}
        prepare(self.material, folder / "whole", frames_of, self.encoder, self.options)
        self.wanted = contents(folder / "whole")
        self.said = Generation(
            np.zeros(500, np.float32), self.voices[0], "x", 5, Settings(), "nano", BARK
        )

    def save_voices(self, place: Path) -> None:
        for number in range(10_000):
            self.voices[number % 3].save(place / "me.npz")

    def check_voice(self, place: Path) -> None:
        if list(place.glob("*.npz")):
            (place / "seen").touch()
            assert Voice.load(place / "me.npz").digest in {voice.digest for voice in self.voices}
        assert not (place / "seen").exists() or (place / "me.npz").exists()

    def save_takes(self, place: Path) -> None:
        for _ in range(10_000):
            save_take(self.said, self.said.record(), target=place / "take")

    def check_takes(self, place: Path) -> None:
        for audio in place.glob("*.wav"):
            record = read_record(audio.with_suffix(".json"))
            assert record["audio_sha256"] == file_hash(audio)
            assert Voice.load(place / record["voice_file"]).digest == self.voices[0].digest
        for path in place.glob("take*"):
            path.unlink()

    def add_parts(self, place: Path) -> None:
        journal = Journal(place / "a.journal")
        journal.begin({"seed": 1, "parts": PARTS})
        for number in range(len(journal.parts) + 1, PARTS + 1):
            tokens = self.voices[number % 3]
            journal.add(Part(number, "", None, number, 0, np.zeros(0), tokens))

    def check_journal(self, place: Path) -> None:
        journal, seen = Journal(place / "a.journal"), place / "seen"
        count = len(journal.parts)
        assert sorted(journal.parts) == list(range(1, count + 1))
        for number in journal.parts:
            assert journal.tokens(number).digest == self.voices[number % 3].digest
        assert count >= (int(seen.read_text()) if seen.exists() else 0), "parts are lost"
        seen.write_text(str(count % PARTS))
        if count == PARTS:
            journal.path.unlink()

    def import_voices(self, place: Path) -> None:
        source = self.voices[1].save(place / "source.npz")
        for number in range(10_000):
            Library(place / "library").add(source, f"v{os.getpid()} {number}")

    def check_library(self, place: Path) -> None:
        for path in (place / "library").glob("*.npz"):
            assert Voice.load(path).digest == self.voices[1].digest
            path.unlink()

    def go_on(self, place: Path) -> None:
        with open_run(place, "x", 7) as run:
            for number in range(PARTS):
                if not run.has(number):
                    atomic.atomic_write_text(place / f"{number}.json", "{}")
                    run.finish(number, f"{number}.json")

    def check_run(self, place: Path) -> None:
        with suppress(_Left), open_run(place, "x", 7) as run:
            assert run.seed == 7 and all(run.has(number) for number in run.done)
            raise _Left  # as it is: a run that ends well is forgotten

    def prepare_all(self, place: Path) -> None:
        prepare(self.material, place / "out", frames_of, self.encoder, self.options)

    def check_prepared(self, place: Path) -> None:
        if (place / "out" / "dataset.json").exists():
            found = contents(place / "out")
            assert {n: d for n, d in found.items() if "/." not in f"/{n}"} == self.wanted
            shutil.rmtree(place / "out")

    def convert_all(self, place: Path) -> None:
        for number in range(10_000):
            convert(self.model, place / f"{os.getpid()} {number}", "ours")

    def check_converted(self, place: Path) -> None:
        for found in place.glob("[0-9]*"):
            if found.is_dir():
                assert find_model(found).load("coarse") is not None
                shutil.rmtree(found)

    def save_states(self, place: Path) -> None:
        for step in range(1, 10_000):
            weights = {"w": torch.full((300,), float(step))}
            save_tensors(place / "best.safetensors", weights, {"step": step})

    def check_state(self, place: Path) -> None:
        if (place / "best.safetensors").exists():
            weights, state = load_tensors(place / "best.safetensors")
            assert set(weights["w"].tolist()) == {float(state["step"])}

    def jobs(self, folder: Path) -> dict[str, Job]:
        """Return the jobs by name."""
        work = {
            "voice": (self.save_voices, self.check_voice),
            "take": (self.save_takes, self.check_takes),
            "journal": (self.add_parts, self.check_journal),
            "library": (self.import_voices, self.check_library),
            "run": (self.go_on, self.check_run),
            "prepare": (self.prepare_all, self.check_prepared),
            "convert": (self.convert_all, self.check_converted),
            "training": (self.save_states, self.check_state),
        }
        return {name: Job(folder / f"job {name}", *both) for name, both in work.items()}
