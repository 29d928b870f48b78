"""Peak memory and seconds of true-size Bark networks with random weights.

Random weights say nothing about sound; they cost what real ones cost. Each size runs in a process
of its own, so that its peak memory is its own. `python -m benchmarks.true_size [small large]
[--seconds 2] [--device cpu] [--dtype float32]`"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

SIZES = {"small": (12, 12, 768), "large": (24, 16, 1024)}  # layers, heads, width


def measure(size: str, seconds: float, dtype: str, device: str) -> dict[str, float | str]:
    """Build the three networks, run each stage for `seconds` of speech with a full
    history, report.
    """
    import torch

    from bark.stages.coarse import CoarseStage
    from bark.stages.fine import FineStage
    from bark.stages.gpt import GPT, GPTConfig
    from bark.stages.gpt_fine import FineGPT, FineGPTConfig
    from bark.stages.sampling import Sampling
    from bark.stages.semantic import SemanticStage
    from bark.tokens import BARK
    from bark.voice.voice import Voice

    layers, heads, width = SIZES[size]
    sizes = {"n_layer": layers, "n_head": heads, "n_embd": width}
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    fine_history = generator.integers(0, 1024, (8, 750))
    voice = Voice(generator.integers(0, 10_000, 499), fine_history[:2], fine_history)
    report: dict[str, float | str] = {"size": size, "dtype": dtype, "speech_seconds": seconds}
    kind = getattr(torch, dtype)

    def timed(name: str, work):  # type: ignore[no-untyped-def]
        if device != "cpu":
            work()  # what is done once a process: libraries are loaded, kernels chosen
        start = time.perf_counter()
        result = work()  # an array: the device is done
        report[f"{name}_seconds"] = round(time.perf_counter() - start, 2)
        return result

    def network(vocabulary: tuple[int, int]) -> GPT:
        config = GPTConfig(**sizes, input_vocab_size=vocabulary[0], output_vocab_size=vocabulary[1])
        with torch.device(device):
            return GPT(config).to(kind).eval()

    def source() -> torch.Generator:
        return torch.Generator(device).manual_seed(0)

    # a function for each stage: its network is freed before the next is built, as offload does
    def run_semantic() -> np.ndarray:
        stage = SemanticStage(network((129_600, 10_048)), BARK)
        return timed(
            "semantic",
            lambda: stage.generate(
                list(range(1, 40)),
                voice.semantic,
                sampling=Sampling(),
                min_eos_p=None,
                max_duration_s=seconds,
                allow_early_stop=False,
                generator=source(),
            ),
        )

    def run_coarse(semantic: np.ndarray) -> np.ndarray:
        stage = CoarseStage(network((12_096, 12_096)), BARK)
        return timed("coarse", lambda: stage.generate(
            semantic, voice, sampling=Sampling(), generator=source()))  # fmt: skip

    coarse = run_coarse(run_semantic())
    with torch.device(device):
        fine_stage = FineStage(FineGPT(FineGPTConfig(**sizes)).to(kind).eval(), BARK)
    timed(
        "fine", lambda: fine_stage.generate(coarse, voice.fine, temperature=0.5, generator=source())
    )
    report["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if device != "cpu":
        report["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for size in options.sizes:
        if options.here:
            print(json.dumps(measure(size, options.seconds, options.dtype, options.device)))
            continue
        command = [
            sys.executable,
            "-m",
            "benchmarks.true_size",
            size,
            "--here",
            "--dtype",
            options.dtype,
        ]
        flags = ["--seconds", str(options.seconds), "--device", options.device]
        subprocess.run([*command, *flags], check=True)


if __name__ == "__main__":
    main()
