"""The second stage: semantic tokens (S,) (+ the voice's semantic and coarse tokens) → coarse codes
(2, T).

The network writes the two codebooks interleaved, a window of tokens at a time. A window starts with
256 semantic tokens around the present moment, then the latest coarse tokens; both slide as time
goes on."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bark.errors import SettingError, VoiceError
from bark.tokens import BARK, TokenLayout, flatten_codebooks, unflatten_codebooks

from .base import Stage, check_tokens, per_item
from .decoding import Decoder
from .gpt import GPT
from .progress import UNWATCHED, Bar, Watch
from .sampling import DEFAULT_SAMPLING, Sampling, is_number, probabilities

if TYPE_CHECKING:
    from bark.voice.voice import Voice


Heard = tuple[np.ndarray, np.ndarray]  # of a voice: semantic (s,) and flattened coarse tokens (c,)
NOTHING: Heard = (np.empty(0, np.int64), np.empty(0, np.int64))


def coarse_steps(semantic_tokens: int, layout: TokenLayout = BARK) -> int:
    """Return how many flattened coarse tokens go with so many semantic tokens: whole frames,
    rounded down.
    """
    books = layout.coarse_books
    return math.floor(semantic_tokens * layout.coarse_per_semantic / books) * books


def coarse_history(
    semantic: np.ndarray, coarse: np.ndarray, max_coarse_history: int, layout: TokenLayout = BARK
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a voice to the context that the coarse stage reads, both parts from the end.

    Parameters
    ----------
    semantic, coarse : (S,) and (2, T) tokens of the voice.
    max_coarse_history : flattened coarse tokens, at most.

    Returns
    -------
    semantic (s,) and flattened coarse tokens (c,) in the network's numbers, without the last
    `layout.coarse_history_drop`, which Suno leaves out for the sake of time alignment.
    """
    name = "semantic_prompt of the voice", "coarse_prompt of the voice"
    semantic = check_tokens(name[0], semantic, layout.semantic_vocab, 1, VoiceError)
    coarse = check_tokens(name[1], coarse, layout.codebook_size, 2, VoiceError)
    if len(coarse) != layout.coarse_books:
        raise VoiceError(f"{name[1]} has {len(coarse)} codebooks", allowed=layout.coarse_books)
    frames, ratio = coarse.shape[1], layout.frames_per_semantic
    if round(frames / len(semantic), 1) != round(ratio, 1):
        raise VoiceError(
            f"{frames} frames of coarse_prompt do not fit {len(semantic)} tokens of "
            "semantic_prompt",
            f"{frames / len(semantic):.3f} frames a token",
            f"{round(ratio, 1)} when rounded to one decimal",
            "Make both from the same recording",
        )
    flat = flatten_codebooks(coarse, layout.codebook_size) + layout.coarse_offset
    per_token = layout.coarse_per_semantic
    kept = min(
        math.floor(max_coarse_history / per_token),
        len(semantic) - len(semantic) % 2,
        math.floor(len(flat) / per_token),
    )
    first, last = len(flat) - round(kept * per_token), len(flat) - layout.coarse_history_drop
    return semantic[len(semantic) - kept :], flat[max(first, 0) : max(last, 0)]


def coarse_window(
    semantic: np.ndarray,
    coarse: np.ndarray,
    now: int,
    max_coarse_history: int,
    layout: TokenLayout = BARK,
    anchor: Heard = NOTHING,
    heard: int = 0,
) -> np.ndarray:
    """Build the ids the network reads at the start of a window.

    Parameters
    ----------
    semantic : (s,) tokens of history and utterance.
    coarse : (c,) flattened tokens of history and utterance so far, in the network's numbers.
    now : index of the semantic token that is being spoken.
    anchor : the end of the history, which stays in front when the rest of it has slid out.
    heard : coarse tokens of history.

    Returns
    -------
    (window + 1 + min(c, max_coarse_history),) int64: semantic tokens padded to the window, the
    token that asks for codes, coarse tokens."""
    window, longest = layout.coarse_semantic_window, max_coarse_history - len(anchor[1])
    if len(coarse) - heard <= longest:  # the anchor has its place where it was
        anchor, longest = NOTHING, max_coarse_history
    start = max(0, now - math.floor(longest / layout.coarse_per_semantic))
    seen = np.concatenate([anchor[0], semantic[start : start + window]])[:window]
    ids = np.full(window + 1, layout.coarse_semantic_pad, dtype=np.int64)
    ids[: len(seen)] = seen
    ids[window] = layout.coarse_infer
    return np.concatenate([ids, anchor[1], coarse[-longest:]])


@dataclass
class _Take:
    """One utterance on its way through the stage."""

    semantic: np.ndarray  # (s,) history and utterance
    coarse: np.ndarray  # (c,) history and what is written so far
    steps: int  # coarse tokens to write
    generator: torch.Generator | None
    heard: tuple[int, int]  # semantic and coarse tokens of history
    anchor: Heard  # the end of history, which never slides out


@dataclass(frozen=True)
class _Options:
    sampling: Sampling
    max_coarse_history: int
    sliding_window_len: int


class CoarseStage(Stage):
    """Semantic tokens to the two coarse codebooks."""

    name = "coarse"
    model: GPT

    @torch.inference_mode()
    def generate_batch(
        self,
        semantic: Sequence[np.ndarray],
        history: "Voice | Sequence[Voice | None] | None" = None,
        *,
        sampling: Sampling = DEFAULT_SAMPLING,
        max_coarse_history: int | None = None,
        sliding_window_len: int | None = None,
        coarse_anchor: int = 0,
        generators: Sequence[torch.Generator | None] | torch.Generator | None = None,
        watch: Watch = UNWATCHED,
    ) -> list[np.ndarray]:
        """Write the coarse codes of several utterances, each the same as it would be alone.

        Utterances whose histories have the same lengths run as one batch: their windows start at
        the same positions.

        Parameters
        ----------
        semantic : (S,) semantic tokens of each.
        history : the voice to speak in, of which semantic and coarse tokens are read; one for all,
            or a list with one for each utterance.
        sampling : how tokens are drawn.
        max_coarse_history : flattened coarse tokens to look back on, 60 to 630 for Bark (default:
            630).
        sliding_window_len : tokens between two moves of the window (default: the layout's, 60 for
            Bark).
        coarse_anchor : how many of the voice's last coarse tokens stay in the context, out of
            `max_coarse_history`, after the rest has slid out; 0, as in Suno's code, keeps none.
        generators : sources of randomness, as `history`; None is torch's global one.
        watch : who is told how far it is, and may end it.

        Returns
        -------
        (2, T) int64 for each, with T = floor(S * 1.503) for Bark.

        Raises
        ------
        VoiceError, SettingError : for tokens or numbers out of range.
        """
        longest, sliding = self.windows(max_coarse_history, sliding_window_len, coarse_anchor)
        options = _Options(sampling, longest, sliding)
        voices = per_item("histories", history, len(semantic))
        sources = per_item("generators", generators, len(semantic))
        takes = [
            self._take(tokens, voice, source, longest, int(coarse_anchor))
            for tokens, voice, source in zip(semantic, voices, sources, strict=True)
        ]
        groups: dict[tuple[int, ...], list[_Take]] = {}
        for take in takes:
            groups.setdefault((*take.heard, len(take.anchor[1])), []).append(take)
        with watch.bar("coarse", sum(take.steps for take in takes), "token") as bar:
            for group in groups.values():
                for _ in self._windows(sorted(group, key=lambda take: -take.steps), options, bar):
                    pass
        return [self._codes(take) for take in takes]

    @torch.inference_mode()
    def stream(
        self,
        semantic: np.ndarray,
        history: "Voice | None" = None,
        *,
        sampling: Sampling = DEFAULT_SAMPLING,
        max_coarse_history: int | None = None,
        sliding_window_len: int | None = None,
        coarse_anchor: int = 0,
        generator: torch.Generator | None = None,
        watch: Watch = UNWATCHED,
    ) -> Iterator[np.ndarray]:
        """Write one utterance as `generate` does, and yield after each window all its codes so far.

        Yields
        ------
        (2, t) int64, t growing to T.
        """
        longest, sliding = self.windows(max_coarse_history, sliding_window_len, coarse_anchor)
        take = self._take(semantic, history, generator, longest, int(coarse_anchor))
        with watch.bar("coarse", take.steps, "token") as bar:
            for _ in self._windows([take], _Options(sampling, longest, sliding), bar):
                yield self._codes(take)

    def _codes(self, take: _Take) -> np.ndarray:
        """Return what is written of a take as whole frames, (2, t)."""
        layout = self.layout
        flat = take.coarse[take.heard[1] :] - layout.coarse_offset
        whole = len(flat) - len(flat) % layout.coarse_books
        return unflatten_codebooks(flat[:whole], layout.coarse_books, layout.codebook_size)

    def windows(
        self, max_coarse_history: int | None, sliding_window_len: int | None, coarse_anchor: int = 0
    ) -> tuple[int, int]:
        """Return the first two lengths in coarse tokens, None being the layout's.

        A `SettingError` says which of the three is no good.
        """
        layout = self.layout
        longest = layout.max_coarse_history if max_coarse_history is None else max_coarse_history
        sliding = layout.sliding_window if sliding_window_len is None else sliding_window_len
        low, high = layout.min_coarse_history, layout.max_coarse_history
        if not is_number(longest, low) or longest > high or longest % 1:
            raise SettingError(
                "max_coarse_history", repr(longest), f"a whole number, {low} … {high}"
            )
        room = self.model.config.block_size - layout.coarse_semantic_window
        if not is_number(sliding, 1) or sliding > room - longest or sliding % 1:
            allowed = f"a whole number, 1 … {room - longest} with max_coarse_history {longest}"
            raise SettingError("sliding_window_len", repr(sliding), allowed)
        most = longest - low  # so much of the utterance is heard at least
        if not is_number(coarse_anchor, 0) or coarse_anchor > most or coarse_anchor % 1:
            allowed = f"a whole number, 0 … {most} with max_coarse_history {longest}"
            raise SettingError("coarse_anchor", repr(coarse_anchor), allowed)
        return int(longest), int(sliding)

    def _take(
        self,
        tokens: np.ndarray,
        voice: "Voice | None",
        generator: torch.Generator | None,
        longest: int,
        anchored: int,
    ) -> _Take:
        tokens = check_tokens("semantic tokens", tokens, self.layout.semantic_vocab, 1)
        heard = anchor = NOTHING
        if voice is not None:
            heard = coarse_history(voice.semantic, voice.coarse, longest, self.layout)
            anchor = coarse_history(voice.semantic, voice.coarse, anchored, self.layout)
        steps = coarse_steps(len(tokens), self.layout)
        lengths = (len(heard[0]), len(heard[1]))
        return _Take(
            np.concatenate([heard[0], tokens]), heard[1], steps, generator, lengths, anchor
        )

    def _windows(self, takes: list[_Take], options: _Options, bar: Bar) -> Iterator[None]:
        """Write `takes`, longest first, window by window; their windows move together."""
        device, layout = self.model.transformer.wpe.weight.device, self.layout
        decoder = Decoder(self.model, len(takes), use_cache=self.use_cache)
        read: np.ndarray | None = None  # (B, n) ids behind the cache, and the one drawn last
        for begin in range(0, takes[0].steps, options.sliding_window_len):
            takes = [take for take in takes if take.steps > begin]
            now = takes[0].heard[0] + round(begin / layout.coarse_per_semantic)
            window = np.stack(
                [
                    coarse_window(
                        t.semantic,
                        t.coarse,
                        now,
                        options.max_coarse_history,
                        layout,
                        t.anchor,
                        t.heard[1],
                    )
                    for t in takes
                ]
            )
            continues = read is not None and np.array_equal(window, read[: len(takes)])
            # While nothing has slid, the cache of the window before stays exact: only its last
            # token is new.
            fresh = window[:, -1:] if continues and self.use_cache else window
            ids = torch.from_numpy(fresh).to(device)
            length = min(options.sliding_window_len, takes[0].steps - begin)
            written = self._write(takes, begin, length, ids, decoder, options.sampling)
            for take, row in zip(takes, written, strict=True):
                count = min(length, take.steps - begin)
                take.coarse = np.concatenate([take.coarse, row[:count]])
                bar.update(count)
            read = np.concatenate([window, written], axis=1)
            yield

    def _write(
        self, takes: list[_Take], begin: int, length: int, ids: torch.Tensor, decoder: Decoder,
        sampling: Sampling,
    ) -> np.ndarray:  # fmt: skip
        """Read `ids` (B, n) and draw `length` tokens for each take, fewer where it ends → (B,
        length).
        """
        layout = self.layout
        written = torch.zeros(len(takes), length, dtype=torch.int64, device=ids.device)
        for index in range(length):
            step = begin + index
            offset = layout.coarse_offset + step % layout.coarse_books * layout.codebook_size
            rows = slice(
                offset, offset + layout.codebook_size
            )  # only the codebook in turn takes part
            alive = sum(take.steps > step for take in takes)
            if index == 0 and ids.shape[1] > 1:
                logits = decoder.prefill(self.model.embed(ids), rows)
            else:
                decoder.keep(range(alive))
                logits = decoder.step(ids[:alive, -1], rows)
            probs = probabilities(logits, sampling)
            ids = (self.draw(probs, [take.generator for take in takes[:alive]]) + offset)[:, None]
            written[:alive, index] = ids[:, 0]
        return written.cpu().numpy()
