"""Measures what a user waits for: first audio file, speech rate, peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bark.errors import BarkError

from .measures import Figure, figure

RUNS = 3
TEXTS = (
    "three eight one five",
    "The old house stands by the river.",
    "Good morning, said the teacher.",
)
PROGRAM = """
import json, re, sys, time
begin = time.perf_counter()
import torch
from bark import Bark
from bark.audio import save_audio
bark = Bark.from_pretrained(sys.argv[1])
first = bark.generate(sys.argv[3], seed=0)
save_audio(sys.argv[2], first.audio)
ready = time.perf_counter()
spoken = [bark.generate(text, seed=1) for text in sys.argv[4:]]
busy = time.perf_counter() - ready
seconds = sum(len(take.audio) for take in spoken) / 24_000
# not getrusage's ru_maxrss: that begins with what the parent had when it forked
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
found = {"first": ready - begin, "factor": busy / seconds, "memory": peak}
print(json.dumps(found | {"threads": torch.get_num_threads()}))
"""


@dataclass(frozen=True)
class Speed:
    """What a user waits for; trials are processes."""

    first: Figure  # s from the first import to the first audio file
    factor: Figure  # seconds of work for a second of speech, after the first file
    memory: Figure  # MB, peak resident
    threads: int


def measure_speed(model: str, runs: int = RUNS) -> Speed:
    """Run a fresh Python process some times, with as many threads as torch takes by itself."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            out = str(Path(folder) / "first.wav")
            command = [sys.executable, "-c", PROGRAM, model, out, *TEXTS]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BarkError("the speed trial failed", got=done.stderr.strip().splitlines()[-1:])
            rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
    first, factor, memory = (
        figure([row[key] for row in rows]) for key in ("first", "factor", "memory")
    )
    return Speed(first, factor, memory, rows[0]["threads"])
