"""The first stage: text tokens (+ the voice's semantic tokens) → semantic tokens (S,)."""

from collections.abc import Sequence

import numpy as np
import torch

from bark.errors import SettingError, TextError, VoiceError
from bark.tokens import BARK, TokenLayout

from .base import Stage, check_tokens, per_item
from .decoding import Decoder
from .gpt import GPT
from .progress import UNWATCHED, Watch
from .sampling import DEFAULT_SAMPLING, Sampling, is_number, probabilities

MIN_EOS_P = 0.2  # stop once the end is this likely


def semantic_prompt(
    text_ids: Sequence[int] | np.ndarray, history: np.ndarray | None, layout: TokenLayout = BARK
) -> np.ndarray:
    """Build the ids the network reads before the first new token.

    Parameters
    ----------
    text_ids : (n,) what the tokenizer returned; cut to the text window, an empty sequence is
        allowed.
    history : (S,) semantic tokens of the voice, of which the last text window is used; or None.

    Returns
    -------
    (2*window + 1,) int64: text, history, and the token that asks for speech. The first two are
    summed, position by position, before the network sees them."""
    window, below = layout.text_window, layout.text_pad - layout.text_offset
    text = np.asarray(text_ids)
    if text.ndim != 1 or (text.size and text.dtype.kind not in "iu"):
        raise TextError(
            "text tokens", f"{text.dtype} of shape {text.shape}", "a sequence of whole numbers"
        )
    if text.size and not 0 <= text.min() <= text.max() < below:
        raise TextError("text tokens", f"values {text.min()} … {text.max()}", f"0 … {below - 1}")
    prompt = np.full(2 * window + 1, layout.semantic_pad, dtype=np.int64)
    prompt[:window] = layout.text_pad
    prompt[-1] = layout.semantic_infer
    text = text[:window].astype(np.int64)
    prompt[: len(text)] = text + layout.text_offset
    if history is not None:
        known = check_tokens(
            "semantic_prompt of the voice", history, layout.semantic_vocab, 1, VoiceError
        )
        known = known[-window:]
        prompt[window : window + len(known)] = known
    return prompt


def token_limit(max_duration_s: float | None, layout: TokenLayout = BARK) -> int:
    """Return how many tokens fit: the first whose end, summed up in floats as Suno does, lies past
    the limit.

    >>> token_limit(10.0), token_limit(0), token_limit(None)
    (499, 1, 768)
    """
    if max_duration_s is None:
        return layout.max_semantic
    if not is_number(max_duration_s, 0):
        raise SettingError(
            "max_duration_s", repr(max_duration_s), "a number of seconds >= 0, or none"
        )
    seconds = 0.0
    for count in range(1, layout.max_semantic):
        seconds += 1 / layout.semantic_rate
        if seconds > max_duration_s:
            return count
    return layout.max_semantic


class SemanticStage(Stage):
    """Text tokens to semantic tokens."""

    name = "semantic"
    model: GPT

    @torch.inference_mode()
    def generate_batch(
        self,
        text_ids: Sequence[Sequence[int] | np.ndarray],
        history: np.ndarray | Sequence[np.ndarray | None] | None = None,
        *,
        sampling: Sampling = DEFAULT_SAMPLING,
        min_eos_p: float | None = MIN_EOS_P,
        max_duration_s: float | None = None,
        allow_early_stop: bool = True,
        generators: Sequence[torch.Generator | None] | torch.Generator | None = None,
        watch: Watch = UNWATCHED,
    ) -> list[np.ndarray]:
        """Speak several texts side by side; each comes out as it would alone.

        Parameters
        ----------
        text_ids : (n,) token ids of the tokenizer for each text, without Bark's offset; cut to the
            text window.
        history : (S,) semantic tokens of the voice to speak in, of which the last text window is
            heard; one for all, or a list with one for each text.
        sampling : how tokens are drawn.
        min_eos_p : end when the end is at least this likely, after the filters; None waits until it
            is drawn.
        max_duration_s : end after this many seconds.
        allow_early_stop : with False the utterance lasts until the limit.
        generators : sources of randomness, as `history`; None is torch's global one.
        watch : who is told how far it is, and may end it.

        Returns
        -------
        (S,) int64 in [0, semantic vocabulary) for each; may be empty.

        Raises
        ------
        TextError, VoiceError, SettingError : for ids or numbers out of range.
        """
        if min_eos_p is not None and not is_number(min_eos_p, 0):
            raise SettingError("min_eos_p", repr(min_eos_p), "a probability, or none")
        limit = token_limit(max_duration_s, self.layout)
        histories = per_item("histories", history, len(text_ids))
        sources = per_item("generators", generators, len(text_ids))
        if not len(text_ids):
            return []
        prompts = [
            semantic_prompt(ids, known, self.layout)
            for ids, known in zip(text_ids, histories, strict=True)
        ]
        least = min_eos_p if allow_early_stop else None
        return self._spoken(prompts, sources, sampling, limit, allow_early_stop, least, watch)

    def _spoken(
        self,
        prompts: Sequence[np.ndarray],
        sources: Sequence[torch.Generator | None],
        sampling: Sampling,
        limit: int,
        may_end: bool,
        least: float | None,
        watch: Watch,
    ) -> list[np.ndarray]:
        """Draw tokens until each text has ended, at most `limit`."""
        decoder = Decoder(
            self.model, len(prompts), self.layout.text_window + limit, use_cache=self.use_cache
        )
        end = self.layout.semantic_pad
        rows = slice(end + 1 if may_end else end)
        logits = decoder.prefill(self._embed(np.stack(prompts)), rows)
        active = list(range(len(prompts)))  # rows of the decoder → items
        tokens: list[list[int]] = [[] for _ in prompts]
        with watch.bar("semantic", limit, "token") as bar:
            for count in range(1, limit + 1):
                probs = probabilities(logits, sampling)
                ids = self.draw(probs, [sources[index] for index in active])
                if least is not None:
                    ids = ids.masked_fill(probs[:, -1] >= least, end)
                drawn = ids.tolist()
                going = [row for row, token in enumerate(drawn) if token != end]
                for row in going:
                    tokens[active[row]].append(drawn[row])
                bar.update()
                if not going or count == limit:
                    break
                if len(going) < len(active):
                    decoder.keep(going)
                    ids, active = ids[going], [active[row] for row in going]
                logits = decoder.step(ids, rows)
            bar.finish()  # the end of the speech is the end of the work
        return [np.array(row, dtype=np.int64) for row in tokens]

    def _embed(self, prompts: np.ndarray) -> torch.Tensor:
        """Embed prompts (B, 2*window + 1) and sum text and history → (B, window + 1, D)."""
        window = self.layout.text_window
        ids = torch.from_numpy(prompts).to(self.model.transformer.wpe.weight.device)
        embedded = self.model.embed(ids)
        merged = embedded[:, :window] + embedded[:, window : 2 * window]
        return torch.cat([merged, embedded[:, 2 * window :]], dim=1)
