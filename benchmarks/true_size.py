"""Peak memory and seconds of true-size Bark networks with random weights.

Random weights say nothing about sound; they cost what real ones cost. They are written to files
first, in Suno's format, or as `bark convert --dtype int8` writes them; then a process for each size
loads all three stages, as `Bark.from_pretrained` does, and runs them. Peak memory is that of the
process; of it the pages of the files themselves, which the system takes back when it needs them,
are no allocation: the peak of the rest, sampled, is given as well.
`python -m benchmarks.true_size [small large] [--seconds 2] [--device cpu] [--dtype float32]`"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"small": (12, 12, 768), "large": (24, 16, 1024)}  # layers, heads, width


def write(size: str, folder: Path, dtype: str) -> None:
    """Write a checkpoint of each stage, one after the other."""
    import torch
    from safetensors.torch import save_file

    from bark.checkpoints.build import in_int8
    from benchmarks.decoding import networks

    sizes: dict[str, object] = {"format": "bark", "format_version": 1, "dtype": "int8"}

    for stage, network in zip(
        ("semantic", "coarse", "fine"), networks(size, "cpu", "float32"), strict=True
    ):
        if dtype == "int8":
            state = in_int8(network.state_dict(), network)
            kept = {name: tensor for name, tensor in state.items() if "lm_heads" not in name}
            save_file(kept, folder / f"{stage}.safetensors")
            sizes[stage] = asdict(network.config)
            (folder / "config.json").write_text(json.dumps(sizes))
            continue
        content = {"model_args": asdict(network.config), "model": network.state_dict()}
        torch.save(content, folder / f"{stage}.pt")


@contextmanager
def sampled(report: dict[str, float | str]) -> Iterator[None]:
    """Add the peak of allocated memory during a block to the report."""
    status, done, peak = Path("/proc/self/status"), threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.01):
            lines = [x for x in status.read_text().splitlines() if x.startswith("RssAnon")]
            peak[0] = max(peak[0], *(int(line.split()[1]) for line in lines), 0)

    thread = threading.Thread(target=watch)
    if status.is_file():
        thread.start()
    try:
        yield
    finally:
        done.set()
        if status.is_file():
            thread.join()
            report["peak_allocated_mb"] = round(peak[0] / 1024)


def peak_memory() -> int:
    """Return the most memory that this process held, in MB.

    The kernel's `ru_maxrss` is handed on by a parent that held more: it is for systems without
    /proc only."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return round((found or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0] / 1024)


def measure(
    size: str, folder: Path, seconds: float, dtype: str, device: str
) -> dict[str, float | str]:
    """Load the three networks, run each stage for `seconds` of speech with a full history."""
    import torch

    from bark.checkpoints.formats import load_stage
    from bark.stages.coarse import CoarseStage
    from bark.stages.fine import FineStage
    from bark.stages.semantic import SemanticStage
    from bark.voice.voice import Voice

    random = np.random.default_rng(0)
    fine_history = random.integers(0, 1024, (8, 750))
    voice = Voice(random.integers(0, 10_000, 499), fine_history[:2], fine_history)
    report: dict[str, float | str] = {"size": size, "dtype": dtype, "speech_seconds": seconds}
    kind = getattr(torch, dtype)

    def timed(name: str, work):  # type: ignore[no-untyped-def]
        if device != "cpu" and name != "load":
            work()  # what is done once a process: libraries are loaded, kernels chosen
        start = time.perf_counter()
        result = work()  # an array: the device is done
        report[f"{name}_seconds"] = round(time.perf_counter() - start, 2)
        return result

    def load(stage: str):  # type: ignore[no-untyped-def]
        where = folder if dtype == "int8" else folder / f"{stage}.pt"
        return load_stage(where, stage, kind).to(device)

    def source() -> torch.Generator:
        return torch.Generator(device).manual_seed(0)

    with sampled(report):
        semantic, coarse, fine = timed(
            "load",
            lambda: (
                SemanticStage(load("semantic")),
                CoarseStage(load("coarse")),
                FineStage(load("fine")),
            ),
        )
        units = timed("semantic", lambda: semantic.generate(
            list(range(1, 40)), voice.semantic, min_eos_p=None, max_duration_s=seconds,
            allow_early_stop=False, generator=source(),
        ))  # fmt: skip
        codes = timed("coarse", lambda: coarse.generate(units, voice, generator=source()))
        timed("fine", lambda: fine.generate(codes, voice.fine, generator=source()))
    report["peak_memory_mb"] = peak_memory()
    if device != "cpu":
        report["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "int8"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for size in options.sizes:
        if options.write:
            write(size, options.write, options.dtype)
        elif options.read:
            found = measure(size, options.read, options.seconds, options.dtype, options.device)
            print(json.dumps(found))
        else:
            print(json.dumps(in_processes(size, options.seconds, options.dtype, options.device)))


def in_processes(size: str, seconds: float, dtype: str, device: str = "cpu") -> dict[str, Any]:
    """Write the files in one process and measure in another."""
    command = [sys.executable, "-m", "benchmarks.true_size", size, "--dtype", dtype]
    flags = ["--seconds", str(seconds), "--device", device]
    with tempfile.TemporaryDirectory() as folder:
        for step in ("--write", "--read"):
            done = subprocess.run(
                [*command, *flags, step, folder], check=True, stdout=subprocess.PIPE, text=True
            )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
