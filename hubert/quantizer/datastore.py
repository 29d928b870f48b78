"""Finds the nearest training frames, whose tokens correct the quantizer's probabilities.

A network predicts rare tokens badly. As in kNN language models (Khandelwal et al. 2020,
"Generalization through Memorization", https://arxiv.org/abs/1911.00172) its log-probabilities are
mixed, with a fixed weight, with those of the tokens of the nearest training frames. Distances are
between stretches of `CONTEXT` frames to each side, not between single frames."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[np.ndarray, np.ndarray]  # features (S, D) float32 and tokens (S,) int64


class Datastore(nn.Module):
    """Frames of training speech, whitened and narrowed, and the token of each.

    Parameters
    ----------
    mean : (D,) of the features.
    projection : (D, W), from centred features to what is stored.
    frames : (N, W) utterance after utterance, with `CONTEXT` rows of zeros before, between and
        after them.
    tokens : (N,), -1 for the rows between utterances.
    bandwidth : (), squared distance at which a vote counts 1 / e of that of a frame that is the
        same.

    Raises
    ------
    ValueError
        If they do not fit one another.
    """

    WIDTH = 128  # values kept of a frame
    CONTEXT = 4  # frames to each side that are compared, the farther the less they count
    SHRINKAGE = 0.1  # of the covariance to a sphere
    NEIGHBOURS = 32
    NEARNESS = 0.04  # bandwidth, as a share of the mean squared distance to the neighbours
    LEAST = 2e-4  # share of the votes that every token gets besides
    SHARE = 0.2  # of the votes' logarithms, added to the network's log-probabilities
    CHUNK = 64  # frames looked up at a time

    mean: Tensor
    projection: Tensor
    frames: Tensor
    tokens: Tensor
    bandwidth: Tensor

    def __init__(
        self, mean: Tensor, projection: Tensor, frames: Tensor, tokens: Tensor, bandwidth: Tensor
    ) -> None:
        super().__init__()
        (depth, width), count = projection.shape, len(tokens)
        shapes = mean.shape, frames.shape, tokens.shape, bandwidth.shape
        edge = {*tokens[: self.CONTEXT].tolist(), *tokens[max(0, count - self.CONTEXT) :].tolist()}
        if (
            shapes != ((depth,), (count, width), (count,), ())
            or edge != {-1}
            or not 0 < bandwidth < torch.inf
        ):
            raise ValueError("the parts of its datastore do not fit one another")
        self.register_buffer("mean", mean.float())
        self.register_buffer(
            "projection", projection.float().contiguous()
        )  # as a file gives it back
        self.register_buffer("frames", frames.half())
        self.register_buffer("tokens", tokens.int())
        self.register_buffer("bandwidth", bandwidth.float())

    @classmethod
    def of(cls, pairs: Sequence[Pair], others: Sequence[Pair]) -> Self:
        """Store pairs.

        Parameters
        ----------
        others : pairs of other utterances; how far they are from their neighbours decides the
            bandwidth."""
        features = torch.from_numpy(np.concatenate([features for features, _ in pairs]))  # (N, D)
        mean = features.mean(0)
        features -= mean
        covariance = (features.t() @ features).double() / len(features)
        sphere = (
            covariance.trace() / len(covariance) * torch.eye(len(covariance), dtype=torch.double)
        )
        spread, axes = torch.linalg.eigh((1 - cls.SHRINKAGE) * covariance + cls.SHRINKAGE * sphere)
        scaled = axes / spread.clamp(min=1e-12).sqrt()
        projection = scaled[:, -cls.WIDTH :].float()  # those of the largest spread come last
        frames = [torch.zeros(cls.CONTEXT, projection.shape[1])]
        tokens = [torch.full((cls.CONTEXT,), -1)]
        for part, (_, named) in zip(
            features.split([len(named) for _, named in pairs]), pairs, strict=True
        ):
            frames += [part @ projection, frames[0]]
            tokens += [torch.from_numpy(named), tokens[0]]
        store = cls(mean, projection, torch.cat(frames), torch.cat(tokens), torch.tensor(1.0))
        distances = torch.cat([store.nearest(torch.from_numpy(other))[0] for other, _ in others])
        store.bandwidth.copy_(cls.NEARNESS * distances.mean()).clamp_(min=1e-6)
        return store

    def __len__(self) -> int:
        """Return the number of frames stored."""
        return int((self.tokens >= 0).sum())

    def check(self, input_size: int, output_size: int) -> None:
        """Raise ValueError unless it is for features (S, `input_size`) and tokens below
        `output_size`.
        """
        if (
            len(self.mean) != input_size
            or not -1 <= self.tokens.min() <= self.tokens.max() < output_size
        ):
            raise ValueError("its datastore is for other features or tokens")

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest stored frames of each frame of an utterance, (S, D).

        Returns
        -------
        squared distances (S, K), least first, and tokens (S, K).
        """
        reach = self.CONTEXT
        stored = self.frames.float()
        asked = functional.pad(
            (features.float() - self.mean) @ self.projection, (0, 0, reach, reach)
        )
        between = torch.where(self.tokens[reach:-reach] < 0, torch.inf, 0.0)  # (N - 2*reach,)
        lengths = stored.square().sum(1)
        count = min(self.NEIGHBOURS, len(self))
        found = []
        for at in range(0, len(features), self.CHUNK):
            part = asked[at : at + self.CHUNK + 2 * reach]
            single = torch.addmm(
                part.square().sum(1, keepdim=True) + lengths, part, stored.t(), alpha=-2
            )
            steps = len(part) - 2 * reach
            total = between.expand(steps, -1).clone()
            for offset in range(2 * reach + 1):
                weight = 1 - abs(offset - reach) / (reach + 1)
                total.add_(
                    single[offset : offset + steps, offset : offset + total.shape[1]], alpha=weight
                )
            found.append(total.topk(count, dim=1, largest=False))
        places = torch.cat([indices for _, indices in found])
        return torch.cat([values for values, _ in found]), self.tokens[reach:-reach][places].long()

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Let the neighbours vote beside a network: features (S, D) and its logits (S, V) → logits
        (S, V).
        """
        distances, tokens = self.nearest(features)
        votes = torch.softmax(-distances / self.bandwidth, dim=1)
        shares = torch.full_like(logits, self.LEAST).scatter_add_(1, tokens, votes)
        return logits.log_softmax(1) + self.SHARE * shares.log()
