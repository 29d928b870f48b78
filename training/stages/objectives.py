"""The batches and losses of the three stages, in the windows they see when they speak.

Semantic: text and history share the first positions, then the infer token, then the units to
predict and the end. Coarse: a window of units, the infer token, then the flattened first codebooks
from the window's start on, history and prediction alike. Fine: a window of frames whose earlier
part is known and whose rest is filled book by book. Histories are utterances of the same speaker,
so that a stage learns to take the voice from them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bark.stages.gpt import GPT
from bark.stages.gpt_fine import FineGPT
from bark.tokens import TokenLayout, flatten_codebooks

from .attention import guides
from .drawing import Batch as Batch
from .drawing import Drawing, pieces
from .drawing import ObjectiveOptions as ObjectiveOptions
from .examples import Example, Speaker

IGNORE = -100  # target of positions that are not learned


class SemanticObjective(Drawing):
    """Text (and history) → semantic tokens, for `GPT`.

    Recordings have no transcripts. They serve as histories of other speakers' texts, so that a text
    is read as well behind a person's recording as behind a synthetic voice.
    """

    @cached_property
    def _untranscribed(self) -> list[Speaker]:
        """Speakers without transcripts."""
        return [
            speaker
            for speaker in self._train
            if speaker.examples and all(example.text is None for example in speaker.examples)
        ]

    def usable(self, speaker: Speaker) -> Speaker:
        """Keep the utterances whose text is known and that fit into the windows."""
        fitting = [
            example
            for example in speaker.examples
            if example.text is not None
            and 0 < len(example.text) <= self.layout.text_window
            and 0 < len(example.semantic) < self.layout.max_semantic
        ]
        return replace(speaker, examples=tuple(fitting))

    @cached_property
    def _sorted(self) -> dict[int, list[tuple[Speaker, int]]]:
        both = self._groups, self._validation_groups
        return {id(groups): _by_length(groups) for groups in both}

    def _draw(self, groups: list[list[Speaker]], generator: np.random.Generator) -> Batch:
        layout, options = self.layout, self.options
        ranked = self._sorted[id(groups)]
        centre = int(generator.integers(len(ranked)))
        speaker, index = ranked[centre]
        window = layout.text_window + 1
        join = generator.random() < options.joined
        each = window + (2 if join else 1) * len(speaker.examples[index].semantic)
        count = min(max(1, options.batch * (window + layout.max_semantic) // each), len(ranked))
        first = max(0, min(centre - count // 2, len(ranked) - count))
        rows = [self._row(*ranked[place], join, generator) for place in range(first, first + count)]
        longest = max(len(target) for _, _, target, _ in rows)
        targets, sounding = np.full((2, len(rows), longest), IGNORE)
        for row, (_, _, target, places) in enumerate(rows):
            targets[row, : len(target)] = target
            sounding[row, : len(places)] = places
        return {
            "text": torch.from_numpy(np.stack([text for text, *_ in rows])),
            "history": torch.from_numpy(np.stack([history for _, history, *_ in rows])),
            "targets": torch.from_numpy(targets),
            "sounding": torch.from_numpy(sounding),
        }

    def _row(
        self, speaker: Speaker, index: int, join: bool, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return text and history ``(W,)``, targets ``(S + 1,)`` and the place in the
        text of each.
        """
        layout, example = self.layout, speaker.examples[index]
        text, semantic, sounding = _text(example), example.semantic, _sounding(example, 0)
        if join:
            second = speaker.examples[int(generator.integers(len(speaker.examples)))]
            fits = len(text) + len(_text(second)) <= layout.text_window
            if fits and len(semantic) + len(second.semantic) < layout.max_semantic:
                sounding = np.concatenate([sounding[:-1], _sounding(second, len(text))])
                text = np.concatenate([text, _text(second)])
                semantic = np.concatenate([semantic, second.semantic])
        heard = speaker
        if self._untranscribed and generator.random() < self.options.other_history:
            heard = self._untranscribed[int(generator.integers(len(self._untranscribed)))]
        others = pieces(heard, generator, layout.text_window)
        past = np.concatenate(
            [other.semantic for other in others if other is not example] or [semantic[:0]]
        )
        if generator.random() < 0.3:  # a prompt may be short, and end in the middle of a word
            past = past[: int(generator.integers(len(past) + 1))]
        if generator.random() < self.options.no_history:
            past = past[:0]
        return (
            _padded(
                text[: layout.text_window] + layout.text_offset, layout.text_window, layout.text_pad
            ),
            _padded(
                past[len(past) - min(len(past), layout.text_window) :],
                layout.text_window,
                layout.semantic_pad,
            ),
            np.append(semantic[: layout.max_semantic - 1], layout.semantic_pad),
            np.where(sounding < layout.text_window, sounding, IGNORE)[: layout.max_semantic],
        )

    def loss(
        self, network: GPT, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the cross-entropy of units and end in nats, and the share predicted right."""
        layout = self.layout
        targets = batch["targets"]
        spoken = targets[:, :-1].clamp(min=0)
        infer = torch.full_like(targets[:, :1], layout.semantic_infer)
        merged = network.embed(batch["text"]) + network.embed(batch["history"])  # (B, W, D)
        embedded = torch.cat([merged, network.embed(torch.cat([infer, spoken], 1))], 1)
        hidden = network.hidden(embedded)[:, layout.text_window :]
        logits = network.lm_head(hidden)[..., : layout.semantic_vocab + 1].float()
        loss, figures = _cross_entropy(logits, targets)
        if network.training:
            for guide in guides(network):
                loss = loss + self.options.guidance * guide.loss(
                    batch["sounding"], layout.text_window
                )
        return loss, figures


class CoarseObjective(Drawing):
    """Semantic tokens (and coarse history) → the first two codebooks, for `GPT`."""

    def _draw(self, groups: list[list[Speaker]], generator: np.random.Generator) -> Batch:
        short = (
            generator.random() < self.options.cut_short
        )  # all items, so that no step computes padding
        rows = [
            self._row(self._speaker(groups, generator), short, generator)
            for _ in range(self.options.batch)
        ]
        longest = max(len(coarse) for _, coarse, _ in rows)
        coarse = np.full((len(rows), longest), IGNORE)
        rough = np.array([prompt for _, _, prompt in rows])
        for row, (_, tokens, _) in enumerate(rows):
            coarse[row, : len(tokens)] = tokens
        return {
            "semantic": torch.from_numpy(np.stack([s for s, _, _ in rows])),
            "coarse": torch.from_numpy(coarse),
            "rough": torch.from_numpy(rough),
        }

    def _row(
        self, speaker: Speaker, short: bool, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Return the semantic window ``(W,)``, the coarse ids ``(n,)`` that begin with it, n even,
        and how many of these are a bad recording, which is heard and not learned.
        """
        layout = self.layout
        window = layout.coarse_semantic_window
        chosen = pieces(speaker, generator, 2 * window)
        rough = 0
        if speaker.prompts and not short and generator.random() < self.options.rough:
            index = int(generator.integers(len(speaker.prompts)))
            length = 2 * int(generator.integers(window // 8, 3 * window // 8))
            prompt = _ending(speaker.prompts[index], length, layout)
            # what the prompt says is not said again, where the speaker says something else
            others = [e for i, e in enumerate(speaker.examples) if i != index] or chosen
            order = generator.permutation(len(others))
            chosen, rough = [prompt, *(others[int(i)] for i in order)], len(prompt.semantic)
        semantic = np.concatenate([piece.semantic for piece in chosen])
        frames = np.concatenate([piece.codes[: layout.coarse_books] for piece in chosen], axis=1)
        latest = 0 if rough else max(0, len(semantic) - window) // 2
        start = 2 * int(generator.integers(latest + 1))
        length = min(window, len(semantic) - start)
        if short:  # the utterance ends inside the window
            length = max(2, 2 * int(generator.integers(length // 4, length // 2 + 1)))
        first = round(start * layout.frames_per_semantic)
        most = (layout.max_coarse_history + layout.sliding_window) // layout.coarse_books
        count = min(most, int(length * layout.frames_per_semantic))
        flat = (
            flatten_codebooks(frames[:, first : first + count], layout.codebook_size)
            + layout.coarse_offset
        )
        seen = _padded(semantic[start : start + length], window, layout.coarse_semantic_pad)
        return seen, flat, layout.coarse_books * int(rough * layout.frames_per_semantic)

    def loss(
        self, network: GPT, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the mean cross-entropy in nats over both codebooks, and that of each."""
        layout = self.layout
        coarse = batch["coarse"]
        infer = torch.full_like(coarse[:, :1], layout.coarse_infer)
        given = coarse[:, :-1].clamp(min=0)
        hidden = network.hidden(network.embed(torch.cat([batch["semantic"], infer, given], 1)))
        hidden = hidden[
            :, layout.coarse_semantic_window :
        ]  # (B, n, D): position i predicts coarse token i
        heard = torch.arange(coarse.shape[1], device=coarse.device) < batch["rough"][:, None]
        coarse = coarse.masked_fill(heard, IGNORE)
        losses: list[Tensor] = []
        figures: dict[str, float] = {}
        for book in range(layout.coarse_books):
            low = layout.coarse_offset + book * layout.codebook_size
            weight = network.lm_head.weight[
                low : low + layout.codebook_size
            ]  # only these can be drawn here
            targets = coarse[:, book :: layout.coarse_books]
            shifted = torch.where(targets == IGNORE, targets, targets - low)
            loss, more = _cross_entropy(
                (hidden[:, book :: layout.coarse_books] @ weight.T).float(), shifted
            )
            losses.append(loss)
            figures |= {f"book{book}": float(loss.detach()), f"accuracy{book}": more["accuracy"]}
        return torch.stack(losses).mean(), figures


class FineObjective(Drawing):
    """The first codebooks (and fine history) → the next codebook, for `FineGPT`."""

    BOOK_WEIGHTS = (2, 2, 1, 1, 1, 1)  # books 2 … 7 of Bark's eight: the early ones are heard most

    def _draw(self, groups: list[list[Speaker]], generator: np.random.Generator) -> Batch:
        layout, options = self.layout, self.options
        books = np.arange(layout.coarse_books, layout.fine_books)
        weights = np.resize(self.BOOK_WEIGHTS, len(books)).astype(float)
        book = int(generator.choice(books, p=weights / weights.sum()))
        rows = [
            self._row(self._speaker(groups, generator), generator) for _ in range(options.batch)
        ]
        codes = np.stack([codes for codes, _ in rows])
        known = np.array([known for _, known in rows])[:, None] > np.arange(
            layout.fine_window
        )  # (B, T)
        padding = codes[:, :, 0] == layout.codebook_size
        targets = np.where(known | padding, IGNORE, codes[:, :, book])
        codes[:, :, book] = np.where(known, codes[:, :, book], layout.codebook_size)
        codes[:, :, book + 1 :] = layout.codebook_size
        return {
            "codes": torch.from_numpy(codes),
            "targets": torch.from_numpy(targets),
            "book": torch.full((len(rows),), book),
        }

    def _row(self, speaker: Speaker, generator: np.random.Generator) -> tuple[np.ndarray, int]:
        """Return a window of codes ``(T, 8)``, padded at its end, and how many of its frames are
        history.
        """
        layout, options = self.layout, self.options
        window = layout.fine_window
        chosen = pieces(speaker, generator, 2 * window, frames=True)
        frames = np.concatenate([piece.codes for piece in chosen], axis=1)
        start = int(generator.integers(max(0, frames.shape[1] - window) + 1))
        length = min(window, frames.shape[1] - start)
        if generator.random() < options.cut_short:
            length = int(generator.integers(length // 3, length + 1))
        codes = np.full((window, layout.fine_books), layout.codebook_size, dtype=np.int64)
        codes[:length] = frames[:, start : start + length].T
        kind = generator.random()
        if kind < options.no_history:
            return codes, 0
        if kind < 0.5:
            return codes, min(layout.fine_history, length // 2)
        return codes, int(generator.integers(max(1, 3 * length // 4)))

    def loss(
        self, network: FineGPT, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the cross-entropy of one codebook in nats."""
        book = int(batch["book"][0])
        logits = network(book, batch["codes"])[..., : self.layout.codebook_size].float()
        return _cross_entropy(logits, batch["targets"])


def _cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Return the mean loss over targets that are not IGNORE, and the accuracy there."""
    loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORE)
    learned = targets != IGNORE
    right = (logits.detach().argmax(-1) == targets) & learned
    return loss, {"accuracy": float(right.sum() / learned.sum().clamp(min=1))}


def _ending(example: Example, units: int, layout: TokenLayout) -> Example:
    """Return the last so many units of an utterance, an even number, with their codes."""
    units = min(units, len(example.semantic) // 2 * 2)
    frames = int(units * layout.frames_per_semantic)
    codes = example.codes
    return Example(None, example.semantic[-units:], codes[:, codes.shape[1] - frames :], None)


def _by_length(groups: list[list[Speaker]]) -> list[tuple[Speaker, int]]:
    """List all utterances from the shortest to the longest, so that those of a batch are alike."""
    pairs = [
        (speaker, index)
        for group in groups
        for speaker in group
        for index in range(len(speaker.examples))
    ]
    return sorted(pairs, key=lambda pair: len(pair[0].examples[pair[1]].semantic))


def _sounding(example: Example, before: int) -> np.ndarray:
    """Return the text places of an example's units and of its end, ``(S + 1,)``, `before` tokens in
    front.
    """
    if example.alignment is None or example.text is None:
        return np.full(len(example.semantic) + 1, IGNORE)
    known = np.where(example.alignment >= 0, example.alignment + before, IGNORE)
    return np.append(known, before + len(example.text))


def _text(example: Example) -> np.ndarray:
    return example.text if example.text is not None else np.zeros(0, dtype=np.int64)


def _padded(tokens: np.ndarray, length: int, pad: int) -> np.ndarray:
    """Pad tokens at the end: ``(n,)`` → ``(length,)`` int64."""
    return np.concatenate([tokens, np.full(length - len(tokens), pad)]).astype(np.int64)


OBJECTIVES = {"semantic": SemanticObjective, "coarse": CoarseObjective, "fine": FineObjective}
