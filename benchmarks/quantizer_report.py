"""The three quantizer versions trained on the same pairs with the same budget, three seeds each.

    python -m benchmarks.quantizer_report [--pairs DIR] [--steps 150] [--shifts]

Without `--pairs`, nano speaks the pairs itself (`hubert.synthesize`, its own voices and texts of its grammar)
and its HuBERT hears them (`hubert.prepare`). Errors are shares of wrong tokens on the test split, whose pairs
no version has seen; the split follows from the pairs' names. With `--shifts` versions 0 and 2 also learn
with token t taken to belong to frame t - 2 to t + 2. Finished runs in `--out` are kept. The last
line is one JSON object.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bark.errors import BarkError
from hubert.dataset import PreparedDataset
from hubert.evaluate import Evaluation, evaluate
from hubert.networks import NETWORKS
from hubert.train import QuantizerRecipe, quantizer_options, train

OUT = Path("out/quantizer_report")
SHIFTS = (-2, -1, 0, 1, 2)


def nano_pairs(folder: Path, count: int) -> PreparedDataset:
    """Let nano speak `count` texts, unless it has already, and prepare them."""
    from bark.pipeline import Bark
    from hubert.features import HubertFeatures
    from hubert.prepare import PrepareOptions, prepare
    from hubert.synthesize import SynthesisPlan, bark_speaker, local_engine, synthesize
    from training.texts import TextSource

    bark = Bark.from_pretrained("nano", device="cpu")
    source = TextSource((), 0, 1)
    kinds = ("template", "number", "digits", "template")
    texts = tuple(source.draw(held_out=False, kind=kinds[i % len(kinds)]).words for i in range(count))
    voices = sorted(path.stem for path in bark.voices_folder.glob("*.npz")) if bark.voices_folder else [None]
    vocabulary = bark.layout.semantic_vocab
    plan = SynthesisPlan(texts, tuple(voices), count, 0, "nano", vocabulary, batch=16)
    print(dict(synthesize(plan, folder, local_engine(bark_speaker(bark, plan.settings)), progress=True)))
    features = HubertFeatures.from_pretrained("nano")
    options = PrepareOptions(vocabulary, validation=0.1, test=0.2, max_refused=0.2, progress=True)
    return prepare(folder, folder, features, {"hubert": "nano", "layer": features.layer}, options).dataset


def run(
    dataset: PreparedDataset, kind: str, recipe: QuantizerRecipe, arguments: argparse.Namespace, seed: int
) -> tuple[Evaluation, float]:
    """Train one quantizer, or find it trained; return its test figures and the millions of its parameters."""
    steps = arguments.steps
    options = quantizer_options(
        steps=steps,
        learning_rate=arguments.learning_rate,
        seed=seed,
        warmup=steps // 10,
        validate_every=max(1, steps // 10),
        checkpoint_every=steps,
        patience=None,
        device="cpu",
    )
    budget = f"{steps}x{recipe.batch}-{arguments.learning_rate:g}"
    quantizer, _, _ = train(dataset, arguments.out / f"{kind}-{budget}", recipe, options)
    size = sum(parameter.numel() for parameter in quantizer.network.parameters()) / 1e6
    return evaluate(quantizer, dataset, "test", recipe.shift), size


def report(dataset: PreparedDataset, arguments: argparse.Namespace) -> dict[str, object]:
    """Train every version with every seed and print a table row for each."""
    recipe = QuantizerRecipe(hidden_size=arguments.hidden_size, batch=arguments.batch)
    errors: dict[str, list[float]] = {}
    print("| version | parameters | seed | token error | top 5 error | edits a token |")
    print("|---|---|---|---|---|---|")
    for seed in range(arguments.seeds):
        for version in sorted(NETWORKS):
            chosen = replace(recipe, version=version)
            result, size = run(dataset, f"v{version}-seed{seed}", chosen, arguments, seed)
            errors.setdefault(f"v{version}", []).append(1 - result.top1)
            print(
                f"| {version} | {size:.2f} M | {seed} | {1 - result.top1:.4f} | {1 - result.top5:.4f} "
                f"| {result.edit:.4f} |",
                flush=True,
            )
    print(f"always the most frequent token: error {1 - result.majority:.4f}")
    means = {name: round(float(np.mean(values)), 4) for name, values in errors.items()}
    record: dict[str, object] = {
        "token_error": means,
        "ratio_v2_v0": round(means["v2"] / means["v0"], 3),
        "pairs": len(dataset.entries),
        "seeds": arguments.seeds,
        "spread": {name: round(float(np.ptp(values)), 4) for name, values in errors.items()},
        "test_tokens": result.tokens,
        "steps": arguments.steps,
        "batch": arguments.batch,
        "learning_rate": arguments.learning_rate,
    }
    if arguments.shifts:
        record["shifts"] = shifts(dataset, arguments, recipe)
    return record


def shifts(
    dataset: PreparedDataset, arguments: argparse.Namespace, recipe: QuantizerRecipe
) -> dict[str, dict[str, float]]:
    """Train versions 0 and 2 at each shift, one seed, and print a row for each."""
    found: dict[str, dict[str, float]] = {}
    print("\n| shift | version 0, token error | version 2, token error |\n|---|---|---|")
    for shift in SHIFTS:
        for version in (0, 2):
            kind = f"v{version}-shift{shift}" if shift else f"v{version}-seed0"
            chosen = replace(recipe, version=version, shift=shift)
            result, _ = run(dataset, kind, chosen, arguments, 0)
            found.setdefault(f"v{version}", {})[str(shift)] = round(1 - result.top1, 4)
        print(f"| {shift:+d} | {found['v0'][str(shift)]:.4f} | {found['v2'][str(shift)]:.4f} |", flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--pairs", type=Path, help="folder made by hubert.prepare (default: nano speaks them)"
    )
    parser.add_argument("--count", type=int, default=240, help="pairs nano speaks")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder of the runs (default: {OUT})")
    parser.add_argument("--steps", type=int, default=150, help="of each version and seed")
    parser.add_argument("--batch", type=int, default=8, help="utterances of a step")
    parser.add_argument("--learning-rate", type=float, default=4e-3, help="of all versions")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shifts", action="store_true", help="also measure the alignment")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    try:
        if arguments.pairs:
            dataset = PreparedDataset.load(arguments.pairs)
        else:
            dataset = nano_pairs(arguments.out / "pairs", arguments.count)
        print(f"{len(dataset.split('train'))} training pairs, {len(dataset.split('test'))} test pairs")
        print(json.dumps(report(dataset, arguments)))
    except BarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
