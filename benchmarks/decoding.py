"""Seconds of our stages beside those of transformers' BarkModel: same random weights, same tokens,
one run.

The engines take turns; the ratio is the median over the rounds of theirs to ours. CPU seconds are
counted, on one thread by default, so that other programs on the machine disturb little; with a GPU,
seconds of the wall. `python -m benchmarks.decoding [nano small] [--rounds 3] [--threads 1]
[--seconds 1.0] [--device cpu] [--dtype float32]`"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from bark.checkpoints.formats import to_hf_name
from bark.stages.coarse import CoarseStage
from bark.stages.decoding import Decoder
from bark.stages.fine import FineStage
from bark.stages.gpt import GPT, GPTConfig
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.stages.sampling import Sampling
from bark.stages.semantic import SemanticStage
from bark.voice.voice import Voice

SIZES = {
    "nano": (6, 4, 192),
    "small": (12, 12, 768),
    "large": (24, 16, 1024),
}  # layers, heads, width
GREEDY = Sampling(temperature=0)
Work = Callable[[], Any]
NO_GRAPHS = patch("bark.stages.decoding.worth_a_graph", lambda weight: False)


def networks(size: str, device: str, dtype: str) -> tuple[GPT, GPT, FineGPT]:
    """Build the three networks with random weights and Bark's vocabularies."""
    layers, heads, width = SIZES[size]
    sizes: dict[str, Any] = {"n_layer": layers, "n_head": heads, "n_embd": width}
    torch.manual_seed(0)
    with torch.device(device):
        made = (
            GPT(GPTConfig(**sizes, input_vocab_size=129_600, output_vocab_size=10_048)),
            GPT(GPTConfig(**sizes, input_vocab_size=12_096, output_vocab_size=12_096)),
            FineGPT(FineGPTConfig(**sizes)),
        )
    for network in made:
        network.requires_grad_(False)
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.1)  # lively enough for tokens to differ
        network.eval().to(getattr(torch, dtype))
    # transformers leaves these 48 ids open to codebook 1; at logit 0 they are never the most likely
    made[1].lm_head.weight[10_000 + 2 * 1024 :] = 0
    return made


def as_transformers(ours: GPT | FineGPT, kind: str) -> Any:
    """Build transformers' network with the same weights."""
    from transformers.models import bark

    config = getattr(bark, f"Bark{kind}Config")(
        num_layers=ours.config.n_layer,
        num_heads=ours.config.n_head,
        hidden_size=ours.config.n_embd,
        block_size=ours.config.block_size,
        bias=ours.config.bias,
        dropout=0.0,
        input_vocab_size=ours.config.input_vocab_size,
        output_vocab_size=ours.config.output_vocab_size,
    )
    place = ours.transformer.wpe.weight
    with place.device:
        theirs = getattr(bark, f"Bark{kind}Model")(config)
    weights = {to_hf_name(name): tensor for name, tensor in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    if unexpected or any(not name.endswith("attn.bias") for name in missing):
        raise SystemExit(f"weights do not fit: {missing} {unexpected}")
    return theirs.eval().to(place.dtype)


def stages(
    size: str, seconds: float, device: str, dtype: str, voice: Voice
) -> dict[str, dict[str, Work]]:
    """Return for each stage the engines' jobs; each returns its tokens as an array."""
    from transformers.models.bark import generation_configuration_bark as settings

    semantic, coarse, fine = networks(size, device, dtype)
    hf = [
        as_transformers(n, k)
        for n, k in ((semantic, "Semantic"), (coarse, "Coarse"), (fine, "Fine"))
    ]
    hf_semantic, hf_coarse = (
        settings.BarkSemanticGenerationConfig(),
        settings.BarkCoarseGenerationConfig(),
    )
    hf_fine = settings.BarkFineGenerationConfig()
    prompt = {
        f"{k}_prompt": torch.from_numpy(getattr(voice, k)).to(device)
        for k in ("semantic", "coarse", "fine")
    }
    text = list(range(1, 40))
    count = max(2, round(seconds * 49.9))
    padded = torch.full((1, 256), 129_595 - 10_048, device=device)
    padded[0, : len(text)] = torch.tensor(text)
    units = np.random.default_rng(1).integers(0, 10_000, count)
    codes = np.random.default_rng(2).integers(0, 1024, (2, round(seconds * 75)))
    flat = torch.from_numpy((codes + 10_000 + np.array([[0], [1024]])).T.reshape(1, -1)).to(device)

    def ours_semantic(cached: bool) -> np.ndarray:
        return SemanticStage(semantic).generate(
            text, voice.semantic, sampling=GREEDY, allow_early_stop=False,
            max_duration_s=(count - 0.5) / 49.9, use_kv_caching=cached,
        )  # fmt: skip

    def ours_coarse(cached: bool, heard: Voice | None) -> np.ndarray:
        return CoarseStage(coarse).generate(units, heard, sampling=GREEDY, use_kv_caching=cached)

    def theirs_coarse(heard: dict[str, torch.Tensor] | None) -> np.ndarray:
        found = hf[1].generate(
            torch.from_numpy(units)[None].to(device), hf_semantic, hf_coarse, history_prompt=heard,
            do_sample=False,
        )  # fmt: skip
        return (found[0].cpu().numpy().reshape(-1, 2).T - 10_000) % 1024

    def theirs_semantic() -> np.ndarray:
        return hf[0].generate(
            padded, hf_semantic, history_prompt=prompt, do_sample=False, min_new_tokens=count,
            max_new_tokens=count,
        )[0].cpu().numpy()  # fmt: skip

    def without_graphs(work: Work) -> dict[str, Work]:
        return {} if device == "cpu" else {"ours, no CUDA graph": lambda: NO_GRAPHS(work)()}

    return {
        "semantic, voice": {
            "ours": lambda: ours_semantic(True), "transformers": theirs_semantic,
            **without_graphs(lambda: ours_semantic(True)),
            "ours uncached": lambda: ours_semantic(False),
        },
        "coarse, voice": {
            "ours": lambda: ours_coarse(True, voice), "transformers": lambda: theirs_coarse(prompt),
            **without_graphs(lambda: ours_coarse(True, voice)),
            "ours uncached": lambda: ours_coarse(False, voice),
        },
        "coarse, no voice": {
            "ours": lambda: ours_coarse(True, None), "transformers": lambda: theirs_coarse(None),
        },
        "fine, voice": {
            "ours": lambda: FineStage(fine).generate(codes, voice.fine, temperature=None),
            "transformers": lambda: hf[2].generate(
                flat, hf_semantic, hf_coarse, hf_fine, history_prompt=prompt, temperature=1.0
            )[0].cpu().numpy(),
        },
    }  # fmt: skip


def clock(device: str) -> float:
    """Seconds: of this process's CPU time, or of the wall once the device is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def compare(jobs: dict[str, Work], rounds: int, device: str) -> dict[str, Any]:
    """Run the engines in turn, forwards and backwards; return medians, ratios and whether tokens
    agree.
    """
    results = {name: job() for name, job in jobs.items() if "uncached" not in name}  # also warms up
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for index in range(rounds):
        for name in list(jobs)[:: -1 if index % 2 else 1]:
            start = clock(device)
            jobs[name]()
            spent[name].append(clock(device) - start)
    report: dict[str, Any] = {
        f"{name} (s)": round(statistics.median(times), 3) for name, times in spent.items()
    }
    for name in list(jobs)[1:]:
        ratio = statistics.median(b / a for a, b in zip(spent["ours"], spent[name], strict=True))
        report[f"{name} / ours"] = round(ratio, 2)
    report["same tokens"] = float(np.mean(results["ours"] == results["transformers"]))
    return report


def milliseconds_a_step(model: GPT, rows: slice, batch: int, position: int, device: str) -> float:
    """Median of 60 decoding steps behind `position` positions, without the draw."""
    ids, spent = torch.zeros(batch, position, dtype=torch.int64, device=device), []
    with torch.inference_mode():
        decoder = Decoder(model, batch)
        decoder.prefill(model.embed(ids), rows)
        for _ in range(60):
            start = clock(device)
            decoder.step(ids[:, 0], rows)
            spent.append(clock(device) - start)
    return round(statistics.median(spent) * 1e3, 3)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sizes", nargs="*", default=["nano"], help="nano, small, large")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="of speech")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    random = np.random.default_rng(0)
    fine = random.integers(0, 1024, (8, 750))
    voice = Voice(random.integers(0, 10_000, 499), fine[:2], fine)
    print(json.dumps({"torch": torch.__version__, **vars(options)}))
    for size in options.sizes:
        for stage, jobs in stages(
            size, options.seconds, options.device, options.dtype, voice
        ).items():
            if size != "nano":
                jobs.pop("ours uncached", None)  # minutes
            print(
                json.dumps(
                    {"size": size, "stage": stage, **compare(jobs, options.rounds, options.device)}
                ),
                flush=True,
            )
        coarse = networks(size, options.device, options.dtype)[1]
        steps = {
            f"batch {batch} at {position}": milliseconds_a_step(
                coarse, slice(10_000, 11_024), batch, position, options.device
            )
            for batch in (1, 4, 16)
            for position in (257, 600, 900)
        }
        print(
            json.dumps({"size": size, **asdict(coarse.config), "coarse step, ms": steps}),
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
