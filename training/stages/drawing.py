"""Draws speakers and utterances for the batches of the three stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bark.errors import SettingError
from bark.tokens import TokenLayout

from .examples import Example, Speaker

VALIDATION_SEED = 2**31
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class ObjectiveOptions:
    """How batches are drawn."""

    batch: int = 8  # items; semantic: items as long as the window, of shorter ones there are more
    real_share: float = 0.45  # of the items drawn from recordings, when both kinds are there
    no_history: float = 0.1  # share of items without a history prompt
    # semantic: share of batches whose items are two utterances spoken one after the other
    joined: float = 0.3
    # semantic: share of items whose history is a recording of another speaker
    other_history: float = 0.3
    guidance: float = 0.2  # semantic: weight of each guided head's loss
    # coarse: share of batches, fine: of windows, that end before the window does
    cut_short: float = 0.4
    rough: float = 0.2  # coarse: share of a real speaker's items whose prompt is a bad recording
    validation_batches: int = 16


class Drawing:
    """Choosing speakers and examples; the same for all three stages."""

    def __init__(
        self,
        train: Sequence[Speaker],
        validation: Sequence[Speaker],
        layout: TokenLayout,
        options: ObjectiveOptions,
    ) -> None:
        self.layout, self.options, self._train = layout, options, train
        self._groups = _by_source(map(self.usable, train))
        self._validation_groups = _by_source(map(self.usable, validation))
        if not self._groups:
            raise SettingError("training speakers", "none", "at least one with an utterance")

    def usable(self, speaker: Speaker) -> Speaker:
        """Return a speaker with the examples that can be learned from."""
        return speaker

    def batch(self, generator: np.random.Generator) -> Batch:
        """Draw a training batch."""
        return self._draw(self._groups, generator)

    def validation(self) -> Iterator[Batch]:
        """Yield batches of the validation speakers, the same each time."""
        generator = np.random.default_rng(VALIDATION_SEED)
        for _ in range(self.options.validation_batches if self._validation_groups else 0):
            yield self._draw(self._validation_groups, generator)

    def begin_step(self, network: object, step: int, seed: int) -> None:
        """Do nothing: these networks need no preparation."""

    def _draw(self, groups: list[list[Speaker]], generator: np.random.Generator) -> Batch:
        raise NotImplementedError

    def loss(
        self, network: Any, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures beside it."""
        raise NotImplementedError

    def _speaker(self, groups: list[list[Speaker]], generator: np.random.Generator) -> Speaker:
        """Draw a speaker: first synthetic or real, then one of the folders of recordings, all
        alike, then one of its speakers.
        """
        recorded = [group for group in groups if group[0].real]
        chosen = [group for group in groups if not group[0].real]
        if recorded and (not chosen or generator.random() < self.options.real_share):
            chosen = recorded
        group = chosen[int(generator.integers(len(chosen))) if len(chosen) > 1 else 0]
        return group[int(generator.integers(len(group)))]


def _by_source(speakers: Iterable[Speaker]) -> list[list[Speaker]]:
    """Return the synthetic speakers, then those of each folder of recordings, without empty groups
    and without speakers who say nothing.
    """
    groups: dict[tuple[bool, int], list[Speaker]] = {}
    for speaker in speakers:
        if speaker.examples:
            groups.setdefault((speaker.real, speaker.folder), []).append(speaker)
    return [groups[key] for key in sorted(groups)]


def pieces(
    speaker: Speaker, generator: np.random.Generator, enough: int, frames: bool = False
) -> list[Example]:
    """Return utterances in random order until they hold `enough` semantic tokens (or frames), or
    all.
    """
    chosen: list[Example] = []
    total = 0
    for index in generator.permutation(len(speaker.examples)):
        if total >= enough:
            break
        example = speaker.examples[int(index)]
        chosen.append(example)
        total += example.codes.shape[1] if frames else len(example.semantic)
    return chosen
