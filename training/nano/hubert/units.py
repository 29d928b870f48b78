"""Fits k-means, and measures what its units carry: phones or speakers."""

from __future__ import annotations

import numpy as np
import torch

ASSIGN_ROWS = 32_768  # features compared with all centres at a time


def kmeans(
    features: torch.Tensor, count: int, *, iterations: int = 20, generator: torch.Generator
) -> torch.Tensor:
    """Fit `count` centres to features (S, D) by Lloyd's iterations; an empty cell restarts at a
    random feature.

    Returns centres (count, D).
    """
    centers = features[torch.randperm(len(features), generator=generator)[:count]].clone()
    for _ in range(iterations):
        nearest = assign(features, centers)
        sizes = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(centers).index_add_(0, nearest, features)
        centers = sums / sizes.clamp(min=1)[:, None]
        empty = (sizes == 0).nonzero()[:, 0]
        centers[empty] = features[torch.randint(len(features), (len(empty),), generator=generator)]
    return centers


def assign(features: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Return the index of the nearest centre for features (S, D): (S,) int64."""
    half_norms = centers.pow(2).sum(1) / 2
    rows = [(part @ centers.T - half_norms).argmax(1) for part in features.split(ASSIGN_ROWS)]
    return torch.cat(rows)


def joint_counts(units: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count how often unit u and label l meet: (U, L)."""
    counts = np.zeros((int(units.max()) + 1, int(labels.max()) + 1))
    np.add.at(counts, (units, labels), 1)
    return counts


def normalised_information(units: np.ndarray, labels: np.ndarray) -> float:
    """Return I(units; labels) / H(labels), in [0, 1].

    With phones as labels this is the phone NMI (PNMI) of the HuBERT paper, arXiv:2106.07447,
    section IV-D."""
    joint = joint_counts(units, labels)
    joint /= joint.sum()
    unit, label = joint.sum(1), joint.sum(0)
    met = joint > 0
    information = (joint[met] * np.log(joint[met] / np.outer(unit, label)[met])).sum()
    entropy = -(label[label > 0] * np.log(label[label > 0])).sum()
    return float(information / entropy) if entropy > 0 else 0.0


def purity(units: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of frames whose label is the commonest one of their unit."""
    joint = joint_counts(units, labels)
    return float(joint.max(1).sum() / joint.sum())
