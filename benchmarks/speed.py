"""How fast and how large everything is on this machine, part by part.

limits: memory read, matrix products. small, large: the pieces of decoding, all engines in turns
(`benchmarks.decoding`). speech: 5 s with a voice at the size of `small`, end to end, by
transformers in float32 and by us in 8 bits. memory: peaks in 8 bits while the files are
loaded and 2 s spoken (`benchmarks.true_size`). cloning: 10 s at the size of HuBERT base. nano: from
its first import on (`training.nano.report.speed`). Weights are random at true sizes. After each
part the tables go to DIR/speed.md, the figures to DIR/speed.json, a picture to DIR/speed.png; the
parts that are not run stay as DIR/speed.json has them.
`python -m benchmarks.speed [--only small memory …] [--output docs] [--rounds 2] [--threads N]
[--peer suno=CHECKOUT] [--quick]`"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.audio.read import load_audio
from bark.codec.encodec import EncodecCodec
from bark.devices import INSTRUCTIONS
from bark.stages.int8 import Int8Linear, codes_of
from benchmarks.decoding import BASE, POSITION, SIZES, STEPS, machine, measure, peer, report, speak
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
PARTS = ("limits", "small", "large", "speech", "memory", "cloning", "nano")
QUICK = ("limits", "nano's size", "cloning", "nano")
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
        weights = each * (12 * layers * width**2 + 1024 * width)
        state = 4 * 2 * layers * (POSITION + STEPS / 2) * width  # float32 on every CPU
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
        got = in_processes(size, 2.0, "int8")
        found[f"{size}, resident"] = got["peak_memory_mb"]
        found[f"{size}, allocated"] = got.get("peak_allocated_mb")
        found[f"{size}, load seconds"] = got["load_seconds"]
    return found


def sizes(size: str, rounds: int, suno: Path | None, read: float | None) -> Figures:
    """Return the pieces of decoding of one size; `read` is the GB/s that the machine reads."""
    spent, checks = measure(size, rounds, "cpu", time.perf_counter, suno)
    table, figures = report(spent)
    found = {"pieces": figures, "table": table, "Agreement": checks}
    if read is not None:
        found["Share of the read bandwidth, coarse step"] = shares(size, figures, read)
    return found


def speech(rounds: int) -> Figures:
    """Return the whole way from text to codes by transformers and by us, in turns."""
    spent, _ = speak("small", SPEECH, rounds, "cpu", time.perf_counter, (BASE, "ours int8"))
    table, figures = report(spent)
    factors = {name: one["ms"] / 1e3 / SPEECH for name, one in figures["end to end"].items()}
    return {"stages": figures, "table": table, "Real-time factor": factors}


def about(options: argparse.Namespace) -> Figures:
    """Say on what was measured."""
    able: Figures = getattr(torch.cpu, "get_capabilities", dict)()
    names = ("avx2", "avx512_f", "avx512_vnni", "amx_int8", *sum(INSTRUCTIONS.values(), ()))
    return {
        "machine": machine(),
        "instructions": " ".join(name for name in names if able.get(name)),
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def rows(figures: Figures) -> list[str]:
    """Return one level of figures as a Markdown table."""
    lines = ["", "| | |", "|---|---|"]
    for name, value in figures.items():
        shown = f"{value:.3g}" if isinstance(value, float) and value < 100 else value
        shown = f"{value:.0f}" if isinstance(value, float) and value >= 100 else shown
        lines.append(f"| {name} | {shown} |")
    return lines


def page(found: Figures, wanted: Sequence[str]) -> str:
    """Return the report, with what it lacks."""
    lines = ["# Speed", "", "Written by `make bench`; weights are random at true sizes."]
    lines += rows(found["about"])
    if lacking := [part for part in wanted if part not in found]:
        lines += ["", f"Not measured: {', '.join(lacking)}."]
    for part, figures in found.items():
        if part == "about":
            continue
        when = f"{figures['date']}, {figures['seconds']} s of measuring, load {figures['load']}"
        lines += ["", f"## {part}", "", f"{when}.", *([""] if "table" in figures else [])]
        lines += figures.get("table", [])
        plain = {name: value for name, value in figures["figures"].items() if value is not None}
        groups = {name: value for name, value in plain.items() if isinstance(value, dict)}
        if single := {name: value for name, value in plain.items() if name not in groups}:
            lines += rows(single)
        for name, group in groups.items():
            if name not in ("pieces", "stages"):
                lines += ["", f"{name}:", *rows(group)]
    return "\n".join([*lines, "", "![Speed](speed.png)", ""])


def draw(path: Path, pieces: Figures) -> None:
    """Draw how many times as fast as transformers in float32 each engine is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(pieces), figsize=(6 * len(pieces), 5), squeeze=False)
    engines = dict.fromkeys(
        name for jobs in pieces.values() for job in jobs.values() for name in job
    )
    colours = {name: f"C{number}" for number, name in enumerate(engines)}
    for axes, (size, jobs) in zip(panels[0], pieces.items(), strict=True):
        shown = [job for job in jobs if " of " not in job]
        names = list(dict.fromkeys(name for job in shown for name in jobs[job]))
        for number, name in enumerate(names):
            places = [
                k + number / (len(names) + 1) for k, job in enumerate(shown) if name in jobs[job]
            ]
            values = [jobs[job][name]["ratio"] for job in shown if name in jobs[job]]
            width = 1 / (len(names) + 1)
            axes.bar(places, values, width, label=name, color=colours[name])
        axes.set_xticks([k + 0.4 for k in range(len(shown))], shown, rotation=20, ha="right")
        axes.set_title(f"{size}: times as fast as {BASE}")
        axes.axhline(1, color="black", linewidth=0.5)
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def keep(folder: Path, found: Figures, wanted: Sequence[str]) -> None:
    """Write what is known so far."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "speed.md").write_text(page(found, wanted))
    drawn = {
        part: one["figures"].get("pieces", one["figures"].get("stages"))
        for part, one in found.items()
        if part != "about" and {"pieces", "stages"} & set(one["figures"])
    }
    if drawn:
        draw(folder / "speed.png", drawn)


def earlier(folder: Path, now: Figures) -> Figures:
    """Return what was measured before, if it was on the same machine."""
    path = folder / "speed.json"
    found: Figures = json.loads(path.read_text()) if path.is_file() else {}
    return found if found.get("about") == now else {"about": now}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="parts; the others stay as they are"
    )
    parser.add_argument("--output", type=Path, default=Path("docs"), metavar="DIR")
    parser.add_argument("--rounds", type=int, default=2, help="of small and speech")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer", type=peer, help="suno=CHECKOUT of its code", metavar="NAME=PATH")
    parser.add_argument("--quick", action="store_true", help="nano's size only, one round")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    now = about(options)
    found = earlier(options.output, now) if options.only else {"about": now}
    rounds = 1 if options.quick else options.rounds

    def read() -> float | None:
        known: Figures = found.get("limits", {}).get("figures", {})
        return known.get("read, 1 GiB, GB/s")

    work: dict[str, Callable[[], Figures]] = {
        "limits": limits,
        "nano's size": lambda: sizes("nano", 1, options.peer, read()),
        "small": lambda: sizes("small", rounds, options.peer, read()),
        "large": lambda: sizes("large", 1, options.peer, read()),
        "speech": lambda: speech(rounds),
        "memory": memory,
        "cloning": lambda: cloning(1),
        "nano": nano,
    }
    wanted = QUICK if options.quick else PARTS
    for part in options.only or wanted:
        load, start = round(os.getloadavg()[0], 1), time.monotonic()
        figures = work[part]()
        table = figures.pop("table", [])
        spent = round(time.monotonic() - start)
        found[part] = {
            "date": date.today().isoformat(), "seconds": spent, "load": load, "table": table,
            "figures": figures,
        }  # fmt: skip
        keep(options.output, found, wanted)
        print(page({"about": now, part: found[part]}, ()), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
