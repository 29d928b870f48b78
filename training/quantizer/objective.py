"""The batches and the loss that a quantizer is trained with."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .dataset import IGNORED, DatasetError, PairEntry, PreparedDataset, align, collate
from .head import head_loss

BUCKET = 32  # batches sorted by length together: less padding, and still a new mixture each epoch


class QuantizerObjective:
    """What the trainer asks of a quantizer.

    Which utterances a step sees depends on the seed and the number of the step alone: epoch by
    epoch every pair once, utterances of like length together.

    Parameters
    ----------
    dataset : PreparedDataset
        Must hold train and validation pairs.
    batch : int
        Utterances of one step, over all processes together.
    shift : int
        Token ``t`` belongs to frame ``t + shift``.

    Raises
    ------
    DatasetError
        If a split is empty.
    """

    def __init__(self, dataset: PreparedDataset, batch: int, shift: int = 0) -> None:
        self.dataset, self.size, self.shift = dataset, batch, shift
        self.train, self.held_out = dataset.split("train"), dataset.split("validation")
        for name, entries in (("train", self.train), ("validation", self.held_out)):
            if not entries:
                raise DatasetError(
                    f"{dataset.folder} has no {name} pairs",
                    got=f"{len(dataset.entries)} pairs in all",
                    fix="Add pairs, or run hubert.prepare with another --validation",
                )
        self.majority = dataset.most_frequent("train")  # the guess that a quantizer has to beat
        self.step, self.seed = 0, 0
        self.order: tuple[int, list[list[PairEntry]]] = (-1, [])  # epoch and its batches

    def begin_step(self, network: Any, step: int, seed: int) -> None:
        """Note which step the next batch is for."""
        self.step, self.seed = step, seed

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        """Return the batch of the step: `collate`'s tensors and ``share`` (B,), see `loss`."""
        per_epoch = -(-len(self.train) // self.size)
        epoch, place = divmod(self.step, per_epoch)
        if self.order[0] != epoch:
            self.order = (epoch, epoch_batches(self.train, self.size, [self.seed, epoch]))
        return self.load(self.order[1][place])

    def validation(self) -> Iterator[dict[str, Tensor]]:
        """Yield the validation pairs, shortest first."""
        entries = sorted(self.held_out, key=lambda entry: (entry.frames, entry.name))
        for at in range(0, len(entries), self.size):
            yield self.load(entries[at : at + self.size])

    def load(self, entries: Sequence[PairEntry]) -> dict[str, Tensor]:
        """Read pairs into one batch.

        Raises
        ------
        DatasetError
            If a file is damaged or gone; the message names it.
        """
        batch = collate([align(*self.dataset.read(entry), self.shift) for entry in entries])
        lengths = batch["lengths"].float()
        return batch | {"share": torch.full_like(lengths, float(lengths.mean()))}

    def loss(
        self, network: Any, batch: dict[str, Tensor], step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the cross-entropy, a mean over all tokens of the batch, and when validating the
        accuracies.

        ``share`` is the mean length of the whole batch. Each process divides by its own items'
        share, so the mean over processes is the mean over tokens, however long the utterances each
        of them got."""
        rows = network.rows(batch["features"], batch["lengths"])  # (N, W), no padding
        tokens = batch["tokens"][batch["tokens"] != IGNORED]  # (N,)
        if network.training:
            return head_loss(network.fc, rows, tokens, network.SMOOTHING) / batch["share"].sum(), {}
        logits = network.fc(rows).float()  # (N, V)
        loss = functional.cross_entropy(logits, tokens, reduction="sum") / batch["share"].sum()
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == tokens[:, None]
        figures = {
            "top1": float(ranked[:, 0].float().mean()),
            "majority": float((tokens == self.majority).float().mean()),
            "top5": float(ranked.any(1).float().mean()),
        }
        return loss, figures | {"weight": float(len(tokens))}


def epoch_batches(
    entries: Sequence[PairEntry], size: int, seed: list[int]
) -> list[list[PairEntry]]:
    """Deal out each entry once, in batches of like length and of one size: some come twice to fill
    the last.

    Parameters
    ----------
    seed : list of int
        Decides the order, with nothing else.
    """
    generator = np.random.default_rng(seed)
    count = -(-len(entries) // size)
    order = np.resize(generator.permutation(len(entries)), count * size)
    batches: list[list[PairEntry]] = []
    for at in range(0, len(order), BUCKET * size):
        bucket = sorted(
            (entries[i] for i in order[at : at + BUCKET * size]), key=lambda entry: entry.frames
        )
        batches += [bucket[start : start + size] for start in range(0, len(bucket), size)]
    return [batches[i] for i in generator.permutation(len(batches))]
