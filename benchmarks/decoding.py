"""Our stages as float32, bfloat16 and int8 beside transformers' BarkModel and, if its code is
there, Suno's: the same random weights at true sizes, the same tokens, one run.

The engines take turns, forwards and backwards, and every ratio is the median over the rounds of
ratios within a round, with a bootstrap interval of 95 %. Seconds are of the wall; with --cpu they
are the process's, which other programs disturb less. The report is a Markdown table and a line of
JSON; `benchmarks.speed` is all there is to measure in one run.
`python -m benchmarks.decoding [small] [--rounds 5] [--threads 2] [--seconds 5] [--device cpu]
[--peer suno=CHECKOUT]`"""

import argparse
import copy
import importlib
import json
import platform
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.checkpoints.formats import to_hf_name
from bark.checkpoints.load import FAST
from bark.stages.coarse import CoarseStage
from bark.stages.decoding import Decoder
from bark.stages.fine import FineStage
from bark.stages.gpt import GPT, GPTConfig
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.stages.int8 import ROWS, quantized
from bark.stages.sampling import Sampling
from bark.stages.semantic import SemanticStage
from bark.voice.voice import Voice

SIZES = {
    "nano": (6, 4, 192),
    "small": (12, 12, 768),
    "large": (24, 16, 1024),
}  # layers, heads, width
GREEDY = Sampling(temperature=0)
BASE = "transformers float32"  # what every other engine is compared with
SMALL = "ours int8"
BATCHES = (4, 8)  # sequences side by side
STEPS = 10  # decoding steps in one measurement
POSITION = 600  # of such a step: the middle of a coarse window with a voice
PREFILL = 887  # positions of such a window's beginning
KINDS = ("Semantic", "Coarse", "Fine")
Work = Callable[[], Any]
Spent = dict[str, dict[str, list[float]]]  # job → engine → seconds of each round


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


def as_suno(ours: GPT | FineGPT, checkout: Path) -> Any:
    """Build Suno's network, of a checkout of its code, with the same weights."""
    package = types.ModuleType("suno_peer")  # its own __init__ would load everything
    package.__path__ = [str(checkout / "bark")]
    sys.modules["suno_peer"] = package
    fine = isinstance(ours, FineGPT)
    module = importlib.import_module("suno_peer.model_fine" if fine else "suno_peer.model")
    config, kind = ("FineGPTConfig", "FineGPT") if fine else ("GPTConfig", "GPT")
    theirs = getattr(module, kind)(getattr(module, config)(**asdict(ours.config)))
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval().requires_grad_(False)


def engines(
    network: GPT | FineGPT, kind: str, device: str, suno: Path | None = None
) -> dict[str, Any]:
    """Return the same network as every engine runs it."""
    made: dict[str, Any] = {BASE: as_transformers(network, kind), "ours float32": network}
    if suno:
        made["suno float32"] = as_suno(network, suno).to(device)
    for dtype in ("bfloat16",) if device != "cpu" else ("bfloat16", "int8"):
        if dtype == "bfloat16":
            made["transformers bfloat16"] = copy.deepcopy(made[BASE]).to(torch.bfloat16)
        own = copy.deepcopy(network)
        made[f"ours {dtype}"] = (
            quantized(own, ROWS[kind.lower()]) if dtype == "int8" else own.bfloat16()
        )
    return made


def pieces(network: Any, kind: str, device: str) -> dict[str, Work]:
    """Return the pieces of work that make up a stage, as one engine does them."""
    theirs = not isinstance(network, (GPT, FineGPT))
    if kind == "Fine":
        codes = torch.randint(1024, (1, 1024, 8), device=device)
        if theirs:
            return {"fine pass": lambda: network(4, codes)}
        return {"fine pass": lambda: network(4, codes, 512)}
    ids = torch.randint(10_000, (max(BATCHES), PREFILL), device=device)
    if theirs:
        suno = type(network).__module__.startswith("suno_peer")
        return (_of_suno if suno else _of_transformers)(network, ids[:1])
    rows = slice(10_000, 11_024)

    def steps(batch: int) -> Work:
        decoder = Decoder(network, batch)
        decoder.prefill(network.embed(ids[:batch, :POSITION]), rows)

        def step() -> None:
            decoder.position = POSITION
            for index in range(STEPS):
                decoder.step(ids[:batch, index], rows)

        return step

    prefill = Decoder(network, 1).prefill
    return {
        "coarse prefill": lambda: prefill(network.embed(ids[:1]), rows),
        "coarse step": steps(1),
        **{f"coarse step of {batch}": steps(batch) for batch in BATCHES},
    }


def _of_transformers(network: Any, ids: torch.Tensor) -> dict[str, Work]:
    from transformers import DynamicCache

    cache = DynamicCache(config=network.config)
    network(ids[:, :POSITION], cache=cache, use_cache=True)

    def step() -> None:
        for index in range(STEPS):
            network(ids[:, index : index + 1], cache=cache, use_cache=True)
        cache.crop(-STEPS)

    return {"coarse prefill": lambda: network(ids, use_cache=True), "coarse step": step}


def _of_suno(network: Any, ids: torch.Tensor) -> dict[str, Work]:
    past = network(ids[:, :POSITION], False, None, None, True)[1]

    def step() -> None:
        known = past
        for index in range(STEPS):
            known = network(ids[:, index : index + 1], False, known, None, True)[1]

    return {"coarse prefill": lambda: network(ids, False, None, None, True), "coarse step": step}


def speech(
    network: Any, kind: str, seconds: float, voice: Voice, device: str, fast: bool = False
) -> Work:
    """Return the work of a whole stage on `seconds` of speech with a voice → its tokens.

    `fast` moves the coarse window as `Bark.from_pretrained(..., fast=True)` does.
    """
    from transformers.models.bark import generation_configuration_bark as settings

    count = max(2, round(seconds * 49.9))
    units = np.random.default_rng(1).integers(0, 10_000, count)
    codes = np.random.default_rng(2).integers(0, 1024, (2, round(seconds * 75)))
    text = list(range(1, 40))
    if isinstance(network, FineGPT):
        return lambda: FineStage(network).generate(codes, voice.fine, temperature=None)
    if isinstance(network, GPT) and kind == "Coarse":
        window = FAST.sliding_window_len if fast else None
        return lambda: CoarseStage(network).generate(
            units, voice, sampling=GREEDY, sliding_window_len=window
        )
    if isinstance(network, GPT):
        return lambda: SemanticStage(network).generate(
            text, voice.semantic, sampling=GREEDY, allow_early_stop=False,
            max_duration_s=(count - 0.5) / 49.9,
        )  # fmt: skip
    made = [getattr(settings, f"Bark{name}GenerationConfig")() for name in KINDS]
    prompt = {
        f"{name}_prompt": torch.from_numpy(getattr(voice, name)).to(device)
        for name in ("semantic", "coarse", "fine")
    }
    padded = torch.full((1, 256), 129_595 - 10_048, device=device)
    padded[0, : len(text)] = torch.tensor(text)
    flat = torch.from_numpy((codes + 10_000 + np.array([[0], [1024]])).T.reshape(1, -1)).to(device)
    if kind == "Semantic":
        return lambda: network.generate(
            padded, made[0], history_prompt=prompt, do_sample=False, min_new_tokens=count,
            max_new_tokens=count,
        )[0].cpu().numpy()  # fmt: skip
    if kind == "Coarse":
        ids = torch.from_numpy(units)[None].to(device)
        return lambda: (
            network.generate(ids, *made[:2], history_prompt=prompt, do_sample=False)[0]
            .cpu().numpy().reshape(-1, 2).T - 10_000
        ) % 1024  # fmt: skip
    return lambda: (
        network.generate(flat, *made, history_prompt=prompt, temperature=1.0)[0].cpu().numpy()
    )


def take_turns(
    jobs: dict[str, Work], rounds: int, clock: Callable[[], float], warm: bool = False
) -> dict[str, list[float]]:
    """Run the engines' jobs in turn, forwards and backwards, after a turn that is not counted
    unless they are warm.
    """
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for index in range(int(warm), rounds + 1):
        for name in list(jobs)[:: -1 if index % 2 else 1]:
            start = clock()
            jobs[name]()
            if index:
                spent[name].append(clock() - start)
    return spent


@torch.inference_mode()
def measure(
    size: str, rounds: int, device: str, clock: Callable[[], float], suno: Path | None = None
) -> tuple[Spent, dict[str, float]]:
    """Return the seconds of the pieces of work, and how far 8 bits agree with float32."""
    spent: Spent = {}
    checks: dict[str, float] = {}
    for kind, network in zip(KINDS[1:], networks(size, device, "float32")[1:], strict=True):
        made = engines(network, kind, device, suno)
        work = {name: pieces(engine, kind, device) for name, engine in made.items()}
        for job in work["ours float32"]:
            jobs = {name: parts[job] for name, parts in work.items() if job in parts}
            spent[job] = take_turns(jobs, rounds, clock)
        if kind == "Coarse" and "ours int8" in made:
            checks |= precision(made["ours float32"], made["ours int8"])
    return spent, checks


@torch.inference_mode()
def speak(
    size: str, seconds: float, rounds: int, device: str, clock: Callable[[], float],
    wanted: Sequence[str] = (),
) -> tuple[Spent, dict[str, float]]:  # fmt: skip
    """Return the seconds of whole stages and of all three, and how far the engines agree.

    Parameters
    ----------
    wanted : engines, transformers in float32 among them; none: all but Suno's code.
    """
    random = np.random.default_rng(0)
    fine = random.integers(0, 1024, (8, 750))
    voice = Voice(random.integers(0, 10_000, 499), fine[:2], fine)
    spent: Spent = {}
    agree = []
    for kind, network in zip(KINDS, networks(size, device, "float32"), strict=True):
        kept: dict[str, Any] = {}

        def keeping(name: str, work: Work, kept: dict[str, Any] = kept) -> Work:
            return lambda: kept.__setitem__(name, work())

        made = {
            n: e for n, e in engines(network, kind, device).items() if n in wanted or not wanted
        }
        if SMALL in made:
            made["ours fast"] = made[SMALL]
        jobs = {
            n: keeping(n, speech(e, kind, seconds, voice, device, n == "ours fast"))
            for n, e in made.items()
        }
        spent[f"{kind.lower()} stage"] = take_turns(jobs, rounds, clock, warm=True)
        if "ours float32" in kept:
            agree.append(np.mean(kept[BASE] == kept["ours float32"]))
    whole = [spent[f"{kind.lower()} stage"] for kind in KINDS]
    spent["end to end"] = {
        name: [sum(times) for times in zip(*(stage[name] for stage in whole), strict=True)]
        for name in whole[0]
    }
    equal = "greedy tokens equal, ours and transformers', float32"
    return spent, {equal: float(np.mean(agree))} if agree else {}


def precision(exact: GPT, small: GPT) -> dict[str, float]:
    """Compare logits that follow the same random tokens."""
    ids = torch.randint(10_000, (1, POSITION), generator=torch.Generator().manual_seed(0))
    wanted, found = (network(ids)[0, :, 10_000:11_024] for network in (exact, small))
    return {
        "int8 top-1 agreement": float((wanted.argmax(-1) == found.argmax(-1)).float().mean()),
        "int8 logit error, of their spread": float((found - wanted).std() / wanted.std()),
    }


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and its bootstrap interval of 95 %."""
    values = np.asarray(ratios)
    drawn = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile(np.median(values[drawn], axis=1), [2.5, 97.5])
    return float(np.median(values)), float(low), float(high)


def report(spent: Spent) -> tuple[list[str], dict[str, Any]]:
    """Return a Markdown table and the same as numbers."""
    lines = [
        "| | engine | ms | times as fast as transformers float32 (95 %) |",
        "|---|---|---|---|",
    ]
    figures: dict[str, Any] = {}
    for job, engines_spent in spent.items():
        name_of_one, _, batch = job.partition(" of ")
        for name, times in engines_spent.items():
            base = spent[name_of_one][name] if batch else engines_spent[BASE]
            ratios = [int(batch or 1) * b / a for a, b in zip(times, base, strict=True)]
            middle, low, high = interval(ratios)
            per = 1e3 / STEPS if "step" in job else 1e3
            entry = {
                "ms": statistics.median(times) * per,
                f"batch {batch} over batch 1" if batch else "ratio": middle,
                "low": low, "high": high, "least ms": min(times) * per,
            }  # fmt: skip
            figures.setdefault(job, {})[name] = {key: round(v, 3) for key, v in entry.items()}
            against = " rows a second, over one row" if batch else ""
            lines.append(
                f"| {job} | {name} | {entry['ms']:.2f} | "
                f"{middle:.2f} ({low:.2f} to {high:.2f}){against} |"
            )
    return lines, figures


def peer(text: str) -> Path:
    """Read ``suno=CHECKOUT``."""
    name, _, path = text.partition("=")
    if name != "suno" or not (Path(path) / "bark" / "model_fine.py").is_file():
        raise argparse.ArgumentTypeError("wanted suno=PATH of a checkout of suno-ai/bark")
    return Path(path)


def machine() -> str:
    """Name the CPU."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(named)} × {named[0]}" if named else platform.processor()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sizes", nargs="*", default=["small"], help="nano, small, large")
    parser.add_argument("--rounds", type=int, default=5, help="whole stages take a fifth of them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="of speech; 0: no whole stages")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cpu", action="store_true", help="count the process's seconds")
    parser.add_argument("--peer", type=peer, help="suno=CHECKOUT of its code", metavar="NAME=PATH")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)

    def clock() -> float:
        if options.device != "cpu":
            torch.cuda.synchronize()
        return time.process_time() if options.cpu else time.perf_counter()

    for size in options.sizes:
        spent, checks = measure(size, options.rounds, options.device, clock, options.peer)
        if options.seconds > 0:
            rounds = max(1, options.rounds // 5)
            more, equal = speak(size, options.seconds, rounds, options.device, clock)
            spent, checks = spent | more, checks | equal
        lines, figures = report(spent)
        about = {"size": size, "machine": machine(), "torch": torch.__version__, **vars(options)}
        print(
            "\n".join(
                ["", f"{size}, {about['machine']}, torch {torch.__version__}", "", *lines, ""]
            )
        )
        about["peer"] = bool(options.peer)
        print(json.dumps({**about, "checks": checks, "figures": figures}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
