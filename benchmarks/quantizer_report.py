"""The three quantizer versions trained on the same pairs with the same budget, three seeds each.

    python -m benchmarks.quantizer_report [--pairs DIR] [--steps 240] [--shifts]

Without `--pairs`, nano speaks the pairs itself (`hubert.synthesize`, its own voices and texts of
its grammar) and its HuBERT encodes them (`hubert.prepare`). Pairs, steps and batches are the same
for all versions; of the learning rates in RATES each version gets the one that gives it the fewest
wrong tokens on the validation split with seed 0, since one rate for all would favour one of them.
Errors are shares of wrong tokens on the test split, which no choice of a run has seen; the split
follows from the names of the pairs. Version 2 itself, its datastore above all, was designed on the
pairs that nano speaks here. With `--shifts` versions 0 and 2 also learn with token t taken to
belong to frame t - 2 to t + 2. Finished runs in `--out` are kept. The last line is one JSON object.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bark.errors import BarkError
from hubert.quantizer.networks import NETWORKS
from training.nano.quantizer import speak_pairs
from training.quantizer.dataset import PreparedDataset
from training.quantizer.evaluate import Evaluation, evaluate
from training.quantizer.train import QuantizerRecipe, quantizer_options, train

OUT = Path("out/quantizer_report")
SHIFTS = (-2, -1, 0, 1, 2)
RATES = (0.002, 0.004, 0.008, 0.016)


@dataclass(frozen=True)
class Outcome:
    """What became of one training."""

    rate: float
    test: Evaluation
    validation_error: float
    millions: float  # of parameters


def run(
    dataset: PreparedDataset,
    recipe: QuantizerRecipe,
    rate: float,
    seed: int,
    arguments: argparse.Namespace,
) -> Outcome:
    """Train one quantizer, or find it trained, and measure it."""
    steps = arguments.steps
    options = quantizer_options(
        steps=steps,
        learning_rate=rate,
        seed=seed,
        warmup=steps // 10,
        validate_every=max(1, steps // 10),
        checkpoint_every=steps,
        patience=None,
        device="cpu",
    )
    name = f"v{recipe.version}-{steps}x{recipe.batch}-rate{rate:g}-shift{recipe.shift}-seed{seed}"
    quantizer, _, _ = train(dataset, arguments.out / name, recipe, options)
    return Outcome(
        rate,
        evaluate(quantizer, dataset, "test", recipe.shift),
        1 - evaluate(quantizer, dataset, "validation", recipe.shift).top1,
        sum(parameter.numel() for parameter in quantizer.network.parameters()) / 1e6,
    )


def report(dataset: PreparedDataset, arguments: argparse.Namespace) -> dict[str, object]:
    """Train every version with every seed and print a table row for each."""
    recipe = QuantizerRecipe(hidden_size=arguments.hidden_size, batch=arguments.batch)
    errors: dict[str, list[float]] = {}
    rates: dict[str, float] = {}
    print(
        "| version | parameters | rate | seed | validation error | test error | top 5 error | "
        "edits a token |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for version in sorted(NETWORKS):
        chosen, name = replace(recipe, version=version), f"v{version}"
        tried = [run(dataset, chosen, rate, 0, arguments) for rate in RATES]
        best = min(tried, key=lambda outcome: outcome.validation_error)
        seeds = [
            run(dataset, chosen, best.rate, seed, arguments) for seed in range(1, arguments.seeds)
        ]
        rates[name], errors[name] = best.rate, [1 - outcome.test.top1 for outcome in [best, *seeds]]
        for seed, outcome in [(0, other) for other in tried] + list(enumerate(seeds, 1)):
            test, mark = outcome.test, "" if outcome.rate == best.rate else " (not chosen)"
            print(
                f"| {version} | {outcome.millions:.2f} M | {outcome.rate:g}{mark} | {seed} "
                f"| {outcome.validation_error:.4f} | {1 - test.top1:.4f} | {1 - test.top5:.4f} "
                f"| {test.edit:.4f} |",
                flush=True,
            )
    print(f"always the most frequent token: error {1 - best.test.majority:.4f}")
    means = {name: float(np.mean(values)) for name, values in errors.items()}
    record: dict[str, object] = {
        "token_error": {name: round(value, 4) for name, value in means.items()},
        "ratio_v2_v0": round(means["v2"] / means["v0"], 3),
        "pairs": len(dataset.entries),
        "seeds": arguments.seeds,
        "spread": {name: round(float(np.ptp(values)), 4) for name, values in errors.items()},
        "learning_rate": rates,
        "test_tokens": best.test.tokens,
        "steps": arguments.steps,
        "batch": arguments.batch,
    }
    if arguments.shifts:
        record["shifts"] = shifts(dataset, recipe, rates, arguments)
    return record


def shifts(
    dataset: PreparedDataset,
    recipe: QuantizerRecipe,
    rates: dict[str, float],
    arguments: argparse.Namespace,
) -> dict[str, dict[str, float]]:
    """Train versions 0 and 2 at each shift, one seed, and print a row for each."""
    found: dict[str, dict[str, float]] = {"v0": {}, "v2": {}}
    print("\n| shift | version 0, validation error | version 2, validation error |\n|---|---|---|")
    for shift in SHIFTS:
        for name, row in found.items():
            chosen = replace(recipe, version=int(name[1:]), shift=shift)
            row[str(shift)] = round(
                run(dataset, chosen, rates[name], 0, arguments).validation_error, 4
            )
        print(
            f"| {shift:+d} | {found['v0'][str(shift)]:.4f} | {found['v2'][str(shift)]:.4f} |",
            flush=True,
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--pairs", type=Path, help="folder made by hubert.prepare (default: nano speaks them)"
    )
    parser.add_argument("--count", type=int, default=300, help="takes nano speaks")
    parser.add_argument(
        "--out", type=Path, default=OUT, help=f"folder of the runs (default: {OUT})"
    )
    parser.add_argument("--steps", type=int, default=240, help="of each training")
    parser.add_argument("--batch", type=int, default=16, help="utterances of a step")
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
            dataset = speak_pairs("nano", "nano", arguments.out / "pairs", arguments.count)
        print(
            f"{len(dataset.split('train'))} training pairs, {len(dataset.split('test'))} test pairs"
        )
        print(json.dumps(report(dataset, arguments)))
    except BarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
