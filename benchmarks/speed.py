"""How fast and how large everything is on this machine, in one run.

What the machine can do (memory read, matrix products); the pieces of decoding at the sizes of
`small` and `large`, 5 s of speech with a voice at that of `small`, all engines in turns
(`benchmarks.decoding`); peak memory in 8 bits (`benchmarks.true_size`); cloning 10 s at the size of
HuBERT base; nano from its first import on (`training.nano.report.speed`). Weights are random at
true sizes. The tables go to DIR/speed.md, the figures to DIR/speed.json, a picture to
DIR/speed.png.
`python -m benchmarks.speed [--output docs] [--rounds 5] [--threads N] [--peer suno=CHECKOUT]
[--quick]`"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.audio.read import load_audio
from bark.codec.encodec import EncodecCodec
from bark.devices import INSTRUCTIONS
from bark.stages.int8 import Int8Linear, codes_of
from benchmarks.decoding import BASE, POSITION, SIZES, STEPS, machine, measure, peer, report
from benchmarks.true_size import in_processes
from hubert.clone import Cloner
from hubert.encoder import SemanticEncoder
from hubert.features import HubertFeatures
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import LSTMNetwork, QuantizerSizes
from training.nano.report.speed import measure_speed

GIGA = 1e9
LARGE_BUFFER, CACHED = 1 << 28, 1 << 25  # float32 numbers: 1 GiB, and 128 MiB
PRODUCT = (1024, 1024, 4096)  # rows, in, out
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
SPEECH = 5.0  # seconds spoken end to end
Figures = dict[str, Any]


def best(work: Callable[[], Any], times: int = 7) -> float:
    """Return the least seconds of some runs, after one that is not counted."""
    spent = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return min(spent[1:])


@torch.inference_mode()
def limits() -> Figures:
    """Return gigabytes read and thousand million operations done a second."""
    found: Figures = {}
    for name, count in (("read, 1 GiB", LARGE_BUFFER), ("read, 128 MiB", CACHED)):
        numbers = torch.ones(count)
        found[f"{name}, GB/s"] = 4 * count / best(numbers.sum) / GIGA
    rows, width, out = PRODUCT
    operations = 2 * rows * width * out / GIGA
    x, weight = torch.randn(rows, width), torch.randn(out, width)
    for dtype in (torch.float32, torch.bfloat16):
        a, b = x.to(dtype), weight.to(dtype).t()
        name = f"{str(dtype).removeprefix('torch.')} product, GFLOP/s"
        found[name] = operations / best(lambda a=a, b=b: a @ b)  # type: ignore[misc]
    small = Int8Linear(*codes_of(weight), None, "many")
    found["int8 product, GFLOP/s"] = operations / best(lambda: small.multiply(x))
    return found


def shares(size: str, figures: Figures, read: float) -> Figures:
    """Return for each of our types the share of `read` GB/s at which a step reads its weights, keys
    and values.
    """
    layers, _, width = SIZES[size]
    found = {}
    for dtype, each in BYTES.items():
        cached = 4 if dtype == "float32" else 2
        weights = each * (12 * layers * width**2 + 1024 * width)
        state = cached * 2 * layers * (POSITION + STEPS / 2) * width
        seconds = figures["coarse step"][f"ours {dtype}"]["ms"] / 1e3
        found[dtype] = (weights + state) / seconds / GIGA / read
    return found


def cloning(rounds: int) -> Figures:
    """Return the seconds that cloning 10 s takes, by the type of HuBERT's weights."""
    from transformers import EncodecConfig, EncodecModel, HubertConfig, HubertModel

    clip = Path(__file__).parent.parent / "booth" / "samples" / "reference.flac"
    audio = np.resize(load_audio(clip, 24_000), 240_000)
    wave = np.resize(load_audio(clip, 16_000), 160_000)
    quantizer = LSTMQuantizer(LSTMNetwork(QuantizerSizes()))
    codec = EncodecCodec(EncodecModel(EncodecConfig()).eval())
    found: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        HubertModel(HubertConfig()).save_pretrained(folder)
        for dtype in ("float32", "int8"):
            features = HubertFeatures.from_pretrained(folder, dtype=dtype)
            cloner = Cloner(SemanticEncoder(features, quantizer), codec)

            def clone(cloner: Cloner = cloner) -> Any:
                return cloner.clone(audio, sample_rate=24_000, start=0.0, end=10.0)

            found[f"{dtype}, s"] = best(clone, rounds)
            found[f"{dtype}, HuBERT alone, s"] = best(lambda f=features: f(wave), rounds)  # type: ignore[misc]
    return found


def nano() -> Figures:
    """Return what a user of nano waits for."""
    speed = measure_speed("nano")
    return {
        "import to first audio file, s": speed.first.value,
        "real-time factor": speed.factor.value,
        "peak memory, MB": speed.memory.value,
    }


def memory() -> Figures:
    """Return peak memory in MB of all three stages in 8 bits, from files made so before."""
    found: Figures = {}
    for size in ("small", "large"):
        got = in_processes(size, 0.5, "int8")
        found[f"{size}, resident"] = got["peak_memory_mb"]
        found[f"{size}, allocated"] = got.get("peak_allocated_mb")
        found[f"{size}, load seconds"] = got["load_seconds"]
    return found


def about(options: argparse.Namespace) -> Figures:
    """Say on what was measured, and how busy it was."""
    able: Figures = getattr(torch.cpu, "get_capabilities", dict)()
    names = ("avx2", "avx512_f", "avx512_vnni", "amx_int8", *sum(INSTRUCTIONS.values(), ()))
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "instructions": " ".join(name for name in names if able.get(name)),
        "threads": options.threads,
        "load before": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def rows(title: str, figures: Figures) -> list[str]:
    """Return one level of figures as a Markdown table."""
    lines = ["", f"## {title}", "", "| | |", "|---|---|"]
    for name, value in figures.items():
        shown = f"{value:.3g}" if isinstance(value, float) and value < 100 else value
        shown = f"{value:.0f}" if isinstance(value, float) and value >= 100 else shown
        lines.append(f"| {name} | {shown} |")
    return lines


def draw(path: Path, pieces: Figures) -> None:
    """Draw how many times as fast as transformers in float32 each engine is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(pieces), figsize=(6 * len(pieces), 5), squeeze=False)
    for axes, (size, jobs) in zip(panels[0], pieces.items(), strict=True):
        shown = [job for job in jobs if " of " not in job]
        names = list(dict.fromkeys(name for job in shown for name in jobs[job]))
        for number, name in enumerate(names):
            places = [
                k + number / (len(names) + 1) for k, job in enumerate(shown) if name in jobs[job]
            ]
            values = [jobs[job][name]["ratio"] for job in shown if name in jobs[job]]
            axes.bar(places, values, 1 / (len(names) + 1), label=name)
        axes.set_xticks([k + 0.4 for k in range(len(shown))], shown, rotation=20, ha="right")
        axes.set_title(f"{size}: times as fast as {BASE}")
        axes.axhline(1, color="black", linewidth=0.5)
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("docs"), metavar="DIR")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer", type=peer, help="suno=CHECKOUT of its code", metavar="NAME=PATH")
    parser.add_argument("--quick", action="store_true", help="nano's size only, one round")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    found: Figures = {"about": about(options)}
    lines = ["# Speed", "", "Written by `make bench`; weights are random at true sizes."]
    lines += rows("Machine", found["about"])

    def add(title: str, key: str, figures: Figures) -> None:
        found[key] = figures
        lines.extend(rows(title, figures))
        print("\n".join(rows(title, figures)), flush=True)

    add("What the machine does", "limits", limits())
    found["pieces"], rounds = {}, 1 if options.quick else options.rounds
    for size in ("nano",) if options.quick else ("small", "large"):
        seconds = {"nano": 0.3, "small": SPEECH}.get(size, 0.0)
        spent, checks = measure(size, rounds, seconds, "cpu", time.perf_counter, options.peer)
        table, figures = report(spent)
        found["pieces"][size] = figures
        lines += ["", f"## {size}", "", *table]
        print("\n".join(["", f"## {size}", "", *table]), flush=True)
        if seconds:
            factors = {n: e["ms"] / 1e3 / seconds for n, e in figures["end to end"].items()}
            add(f"Real-time factor, {seconds:g} s with a voice, {size}", "factor", factors)
        add(f"Agreement, {size}", f"checks {size}", checks)
        read = found["limits"]["read, 1 GiB, GB/s"]
        add(f"Share of the read bandwidth, coarse step, {size}", f"share {size}",
            shares(size, figures, read))  # fmt: skip
    if not options.quick:
        add("Peak memory of three stages, int8 files, MB", "memory", memory())
    add("Cloning 10 s, HuBERT base", "cloning", cloning(1 if options.quick else 2))
    add("nano", "nano", nano())
    found["about"]["load after"] = round(os.getloadavg()[0], 1)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.output / "speed.md").write_text("\n".join([*lines, "", "![Speed](speed.png)", ""]))
    draw(options.output / "speed.png", found["pieces"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
