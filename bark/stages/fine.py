"""The third stage: coarse codes (2, T) (+ the voice's fine codes) → all eight codebooks (8, T).

The network fills one codebook at a time, all frames of a window at once. Windows of 1024 frames
move on by 512, so that each is filled with the sight of what lies before it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bark.errors import SettingError, VoiceError
from bark.tokens import BARK, TokenLayout

from .base import Stage, check_tokens, per_item
from .gpt_fine import FineGPT
from .int8 import trim_memory
from .progress import UNWATCHED, Watch
from .sampling import Sampling, probabilities

FINE_TEMPERATURE = 0.5


def fine_windows(frames: int, history: int, layout: TokenLayout = BARK) -> list[tuple[int, int]]:
    """Return where each window starts and from which frame on it is filled.

    Parameters
    ----------
    frames : to fill.
    history : frames of the voice in front of them.

    >>> fine_windows(2100, 0)
    [(0, 0), (512, 512), (1024, 1024), (1076, 1536)]
    """
    window, hop = layout.fine_window, layout.fine_hop
    total = history + frames
    if total <= window:
        return [(0, history)]
    count = -((total - window) // -hop) + 1  # rounded up, and the first
    return [
        (min(hop * index, total - window), min(history + hop * index, total - hop))
        for index in range(count)
    ]


@dataclass
class _Take:
    """One utterance on its way through the stage."""

    codes: torch.Tensor  # (total, 8), padded to the layout's shortest
    given: int  # codebooks that are known
    history: int  # frames of the voice in front
    frames: int
    windows: list[tuple[int, int]]
    generator: torch.Generator | None


class FineStage(Stage):
    """Coarse codes to all codebooks."""

    name = "fine"
    model: FineGPT

    @torch.inference_mode()
    def generate_batch(
        self,
        coarse: Sequence[np.ndarray],
        history: np.ndarray | Sequence[np.ndarray | None] | None = None,
        *,
        temperature: float | None = FINE_TEMPERATURE,
        generators: Sequence[torch.Generator | None] | torch.Generator | None = None,
        watch: Watch = UNWATCHED,
    ) -> list[np.ndarray]:
        """Fill the missing codebooks of several utterances, each as it would come out alone.

        Parameters
        ----------
        coarse : (k, T) codes of the first k codebooks of each, 1 <= k <= 7.
        history : (8, n) fine codes of the voice to speak in, of which the last 512 frames are
            heard; one for all, or a list with one for each utterance.
        temperature : of the draw; 0 or None takes the most likely code.
        generators : sources of randomness, as `history`; None is torch's global one.
        watch : who is told how far it is, and may end it.

        Returns
        -------
        (8, T) int64 for each.

        Raises
        ------
        VoiceError, SettingError : for codes or numbers out of range.
        """
        trim_memory(self.model)
        sampling = Sampling(temperature=temperature or 0.0)
        voices = per_item("histories", history, len(coarse))
        sources = per_item("generators", generators, len(coarse))
        takes = [
            self._take(codes, voice, source)
            for codes, voice, source in zip(coarse, voices, sources, strict=True)
        ]
        rounds = max((len(take.windows) for take in takes), default=0)
        with watch.bar("fine", rounds, "window") as bar:
            for index in range(rounds):
                lengths: dict[int, list[_Take]] = {}
                for take in takes:
                    if index < len(take.windows):
                        lengths.setdefault(
                            min(len(take.codes), self.layout.fine_window), []
                        ).append(take)
                for group in lengths.values():
                    self._fill(group, index, sampling)
                bar.update()
        return [take.codes[take.history :][: take.frames].T.cpu().numpy() for take in takes]

    @torch.inference_mode()
    def stream(
        self,
        coarse: Iterable[np.ndarray],
        frames: int,
        history: np.ndarray | None = None,
        *,
        temperature: float | None = FINE_TEMPERATURE,
        generator: torch.Generator | None = None,
        watch: Watch = UNWATCHED,
    ) -> Iterator[np.ndarray]:
        """Fill one utterance as `generate` does while its coarse codes are still being written.

        A window is filled once all its coarse codes are known. What the next window will not fill
        again is settled, and is the same as `generate` gives.

        Parameters
        ----------
        coarse : (k, t) codes so far, t growing to `frames`.
        frames : of the whole utterance.

        Yields
        ------
        (8, t) int64, settled codes so far, t growing to `frames`.
        """
        sampling, done = Sampling(temperature=temperature or 0.0), 0
        take: _Take | None = None
        for codes in coarse:
            watch.check()
            if take is None:
                whole = np.zeros((len(codes), frames), dtype=np.int64)
                take = self._take(whole, history, generator)
            take.codes[take.history : take.history + codes.shape[1], : len(codes)] = (
                torch.from_numpy(codes.T).to(take.codes.device)
            )
            known, before = take.history + codes.shape[1], done
            while done < len(take.windows):
                end = min(take.windows[done][0] + self.layout.fine_window, take.history + frames)
                if known < end:
                    break
                self._fill([take], done, sampling)
                done += 1
            if done > before:
                last = done == len(take.windows)
                settled = frames if last else take.windows[done][1] - take.history
                yield take.codes[take.history :][:settled].T.cpu().numpy()

    def _take(
        self, coarse: np.ndarray, voice: np.ndarray | None, generator: torch.Generator | None
    ) -> _Take:
        layout, given_least = self.layout, self.model.config.n_codes_given
        coarse = check_tokens("coarse codes", coarse, layout.codebook_size, 2)
        if not given_least <= len(coarse) < layout.fine_books:
            raise SettingError(
                "coarse codes: codebooks", len(coarse), f"{given_least} … {layout.fine_books - 1}"
            )
        front = 0
        if voice is not None:
            voice = check_tokens(
                "fine_prompt of the voice", voice, layout.codebook_size, 2, VoiceError
            )
            if len(voice) != layout.fine_books:
                raise VoiceError(
                    "fine_prompt of the voice: codebooks", len(voice), layout.fine_books
                )
            voice = voice[:, -layout.fine_history :]
            front = voice.shape[1]
        frames = coarse.shape[1]
        least = min(layout.fine_shortest, layout.fine_window)
        shape = (max(front + frames, least), layout.fine_books)
        codes = np.full(
            shape, layout.codebook_size, dtype=np.int64
        )  # the id after the last is padding
        if voice is not None:
            codes[:front] = voice.T
        codes[front : front + frames, : len(coarse)] = coarse.T
        held = torch.from_numpy(codes).to(self.model.transformer.wpe.weight.device)
        windows = fine_windows(frames, front, layout)
        return _Take(held, len(coarse), front, frames, windows, generator)

    def _fill(self, takes: list[_Take], index: int, sampling: Sampling) -> None:
        """Fill window `index` of every take, codebook by codebook; the windows are of one length.

        All frames to the window's end are filled, padding included: later codebooks see what stands
        there."""
        layout = self.layout
        starts = [take.windows[index][0] for take in takes]
        firsts = [take.windows[index][1] - start for take, start in zip(takes, starts, strict=True)]
        views = [
            take.codes[start : start + layout.fine_window]
            for take, start in zip(takes, starts, strict=True)
        ]
        for book in range(min(take.given for take in takes), layout.fine_books):
            open_rows = [row for row, take in enumerate(takes) if take.given <= book]
            first = min(firsts[row] for row in open_rows)
            logits = self.model(book, torch.stack([views[row] for row in open_rows]), first)
            for row, row_logits in zip(open_rows, logits[..., : layout.codebook_size], strict=True):
                wanted = row_logits[None, firsts[row] - first :]
                drawn = self.draw(probabilities(wanted, sampling), [takes[row].generator])
                views[row][firsts[row] :, book] = drawn[0]
