"""How a token is drawn from logits: the filters, the temperature and the draw of every stage.

Filter order is Suno's (`bark/generation.py`): top-p on the unscaled logits, top-k on what is left,
then temperature. Temperature therefore never changes which tokens survive."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from bark.errors import CheckpointError
from bark.settings import Sampling as Sampling
from bark.settings import is_number as is_number

GREEDY_BELOW = 1e-30  # logits over a smaller temperature are infinite in float32
DEFAULT_SAMPLING = Sampling()  # Suno's, semantic and coarse


def probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return the distribution `sampling` draws from.

    Parameters
    ----------
    logits : (..., V) float.

    Returns
    -------
    (..., V) float32, each row summing to 1; filtered tokens are exactly 0. Temperature 0 gives a
    one-hot row."""
    logits = logits.float()
    if sampling.top_p is not None:
        order, reached = (_ranked_as_suno if logits.is_cpu else _ranked)(logits)
        surplus = (reached > sampling.top_p).roll(1, dims=-1)  # the first token past p stays
        surplus[..., 0] = False
        logits = logits.masked_fill(
            torch.zeros_like(surplus).scatter(-1, order, surplus), float("-inf")
        )
    if sampling.top_k is not None:
        edge = logits.topk(int(min(sampling.top_k, logits.shape[-1])), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < edge, float("-inf"))
    if sampling.temperature < GREEDY_BELOW:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, best, 1.0)
    return (logits / sampling.temperature).softmax(dim=-1)


def _ranked_as_suno(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the order from best to worst, and the sum of the probabilities up to each rank.

    Suno's code does this step in numpy. Equal logits, and sums that end next to p, are cut where
    it cuts them only by the same sort and the same float32 additions in the same order."""
    values = logits.detach().numpy()
    order = np.argsort(values, axis=-1)[..., ::-1]
    ranked = np.take_along_axis(values, order, axis=-1)
    exponentials = np.exp(ranked - ranked.max(axis=-1, keepdims=True))
    reached = np.cumsum(exponentials / exponentials.sum(axis=-1, keepdims=True), axis=-1)
    return torch.from_numpy(order.copy()), torch.from_numpy(reached)


def _ranked(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`_ranked_as_suno` on a GPU: the same but for the last bits of the sums."""
    ranked, order = (part.flip(-1) for part in logits.sort(dim=-1, stable=True))
    return order, ranked.softmax(dim=-1).cumsum(dim=-1)


def draw(probs: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Draw one token a row: (..., V) -> (...) int64.

    With `generator` None torch's global generator of the device is used, so ``torch.manual_seed``
    works as with Suno's code.

    Raises
    ------
    CheckpointError : a probability is NaN.
    """
    return _best(probs, torch.empty_like(probs).exponential_(generator=generator))


def draw_rows(probs: torch.Tensor, generators: Sequence[torch.Generator | None]) -> torch.Tensor:
    """Draw for a batch whose sequences have a generator each: (B, ..., V) -> (B, ...) int64.

    A sequence gets the tokens it would get alone. A generator of another device draws there, so
    that one kind of generator gives the same tokens everywhere."""
    if all(generator is None for generator in generators):
        return draw(probs)
    noise = torch.empty_like(probs)
    for row, generator in zip(noise, generators, strict=True):
        if generator is None or generator.device == row.device:
            row.exponential_(generator=generator)
        else:
            row.copy_(
                torch.empty_like(row, device=generator.device).exponential_(generator=generator)
            )
    return _best(probs, noise)


def _best(probs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Do what `torch.multinomial` does with exponential noise, token for token.

    Its checks take longer than the draw, and on a GPU it does all of it row by row. The one check
    left, for NaN, waits for the device."""
    best, ids = (probs / noise).max(-1)
    if math.isnan(best.sum()):
        raise CheckpointError(
            "a network gave NaN instead of probabilities",
            fix="Load the model with dtype='float32', or download it again",
        )
    return ids
