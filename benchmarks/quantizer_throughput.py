"""Utterances a second of our trainer beside a faithful one-utterance-per-step loop, at the true
size.

    python -m benchmarks.quantizer_throughput [--utterances 9] [--rounds 3] [--threads 2]

The loop does what the community's training script does for each utterance, on the CPU instead of
its fixed CUDA: one forward pass of the version 0 network (768 → 1024 → 10 000), log-softmax,
one-hot labels, cross-entropy, backward, Adam. Ours is `hubert.train` as it ships, on utterances of
the same lengths: `training.engine.trainer`, batches, bfloat16 where the hardware has it; the same
network, and our own version 2 at the width it is made for (768 → 384 → 256 → 10 000). Rounds of all
alternate, so that other work on the machine slows all. Lengths are like those of Bark's voices: 158
to 731 tokens. The last line is one JSON object."""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hubert.quantizer.networks import NETWORKS, LSTMNetwork, QuantizerSizes, default_sizes
from training.engine.run_folder import read_metrics
from training.engine.trainer import Trainer
from training.quantizer.dataset import PAIRS, PreparedDataset, pair_file, write_pair
from training.quantizer.objective import QuantizerObjective
from training.quantizer.train import quantizer_options

SIZES = QuantizerSizes()
EPOCH = 3  # batches, so that utterances of like length come together
LENGTHS = (158, 250, 300, 330, 346, 360, 420, 500, 731)


def make_pairs(folder: Path, count: int) -> PreparedDataset:
    """Write `count` utterances of noise with Bark's lengths, and one to validate on."""
    generator = np.random.default_rng(0)
    entries = []
    for number in range(count + 1):
        length = LENGTHS[number % len(LENGTHS)] if number < count else 20
        features = generator.normal(size=(length, SIZES.input_size))
        tokens = generator.integers(0, SIZES.output_size, length)
        info = {"name": str(number), "split": "train" if number < count else "validation"}
        entries.append(write_pair(folder / PAIRS / pair_file(info["name"]), features, tokens, info))
    return PreparedDataset(folder, {}, SIZES.input_size, SIZES.output_size, tuple(entries))


class OneByOne:
    """The community's training step."""

    def __init__(self) -> None:
        self.network = LSTMNetwork(SIZES)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 0.001)
        self.loss = nn.CrossEntropyLoss()

    def step(self, features: torch.Tensor, tokens: torch.Tensor) -> None:
        """Learn from one utterance, (S, 768) and (S,)."""
        self.network.zero_grad()
        predicted = nn.functional.log_softmax(self.network(features), dim=1)
        hot = torch.zeros(len(tokens), SIZES.output_size)
        hot[range(len(tokens)), tokens] = 1
        self.loss(predicted, hot).backward()
        self.optimizer.step()

    def rate(self, dataset: PreparedDataset, count: int) -> float:
        """Return utterances a second over the first `count`."""
        pairs = [dataset.read(entry) for entry in dataset.split("train")[:count]]
        started = time.perf_counter()
        for features, tokens in pairs:
            self.step(torch.from_numpy(features), torch.from_numpy(tokens))
        return count / (time.perf_counter() - started)


def our_rate(
    dataset: PreparedDataset, folder: Path, version: int, batch: int, precision: str
) -> float:
    """Return utterances a second of the second epoch of a fresh run; the first one warms up."""
    count = len(dataset.split("train"))
    epoch = -(-count // batch)  # steps
    options = quantizer_options(
        steps=2 * epoch, log_every=epoch, mixed_precision=precision, device="cpu"
    )
    network = NETWORKS[version](default_sizes(SIZES.input_size, SIZES.output_size, version))
    Trainer(network, QuantizerObjective(dataset, batch), folder, options).run()
    seconds = [row["seconds"] for row in read_metrics(folder) if row["phase"] == "train"]
    return epoch * batch / (seconds[1] - seconds[0])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--utterances", type=int, default=9, help="of the loop, in each round")
    parser.add_argument("--batch", type=int, default=36, help="utterances of one of our steps")
    parser.add_argument(
        "--versions", type=int, nargs="+", choices=(0, 2), default=(0, 2), help="of ours"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("auto", "no", "bf16"), default="auto")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    theirs: list[float] = []
    ours: dict[int, list[float]] = {version: [] for version in arguments.versions}
    with tempfile.TemporaryDirectory() as name:
        dataset = make_pairs(Path(name), EPOCH * arguments.batch)
        loop = OneByOne()
        loop.rate(dataset, 1)  # warm up
        for number in range(arguments.rounds):
            theirs.append(loop.rate(dataset, arguments.utterances))
            for version, rates in ours.items():
                run = Path(name) / f"v{version}-round{number}"
                rates.append(our_rate(dataset, run, version, arguments.batch, arguments.precision))
                shutil.rmtree(run)
            mine = ", ".join(
                f"ours, version {version}: {rates[-1]:.2f}/s" for version, rates in ours.items()
            )
            print(f"round {number + 1}: loop {theirs[-1]:.2f}/s, {mine}", flush=True)
    ratios = {
        v: statistics.median(a / b for a, b in zip(ours[v], theirs, strict=True)) for v in ours
    }
    figures: dict[str, object] = {"loop_per_second": round(statistics.median(theirs), 3)}
    for version, rates in ours.items():
        figures[f"version_{version}_per_second"] = round(statistics.median(rates), 3)
        figures[f"ratio_version_{version}"] = round(ratios[version], 2)
    figures |= {
        "threads": arguments.threads,
        "batch": arguments.batch,
        "precision": arguments.precision,
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
