"""Bark: the one place that joins the stages, text (and a voice) to speech."""

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Literal, Unpack

import numpy as np
import torch

from bark.audio.postprocess import AnyStep, postprocessed_stream
from bark.checkpoints.load import StageModels, load_parts
from bark.errors import SettingError, SilentError, TextError
from bark.longform.stream import stream_text
from bark.settings import SettingChanges, Settings
from bark.speech import Generation as Generation
from bark.speech import reference_of
from bark.stages.base import per_item
from bark.stages.coarse import coarse_steps
from bark.stages.progress import Progress, Watch
from bark.stages.seeds import check_seed, new_seed
from bark.text.reading import Reading, refuse_lossy, tell_lost
from bark.text.tidy import TextTokenizer, fit_tokens, tidy
from bark.tokens import TokenLayout
from bark.voice.names import check_made_for, token_family
from bark.voice.voice import Voice, VoiceLike, resolve_voice

from .chain import Chain
from .streaming import early_audio, settled_audio

logger = logging.getLogger(__name__)

Voices = VoiceLike | None | Sequence[VoiceLike | None]  # one for all texts, or one for each
Seeds = int | None | Sequence[int]


@dataclass
class Bark(Chain):
    """A complete Bark: three stages, a codec, and the ways through them.

    Made from ready parts, or by `Bark.from_pretrained`.

    Parameters
    ----------
    semantic, coarse, fine : the three stages.
    codec : codes ⇄ audio.
    tokenizer : text → ids.
    defaults : used where a call is not told otherwise.
    devices : where each part runs; with `offload` it waits on the CPU and visits its device for its
        turn.
    voices_folder : the model's own preset voices.
    source : the arguments of `from_pretrained`, for the record of what is spoken.
    """

    tokenizer: TextTokenizer
    layout: TokenLayout
    name: str = "bark"
    defaults: Settings = Settings()
    voices_folder: Path | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "large",
        *,
        device: str | torch.device | Mapping[str, str] = "auto",
        dtype: str | torch.dtype = "auto",
        offload: bool = False,
        decoder: str | None = None,
        fast: bool = False,
        progress: Progress = False,
        **stages: Unpack[StageModels],
    ) -> "Bark":
        """Load a model: "nano" (shipped, offline), "small", "large", a folder or a Hugging Face id.

        Parameters
        ----------
        device : one for all, or one for each of "semantic", "coarse", "fine", "codec".
        dtype : "auto", "float32", "bfloat16", "float16", torch's own, or on a CPU "int8".
        offload : keep the parts on the CPU and move each to its device for its turn only.
        decoder : of the codes, instead of the model's own: "vocos" for Suno's models, a hub id, a
            folder or a file in Vocos' format.
        fast : on a CPU "int8" for networks that are wide enough to gain from it, unless `dtype`
            says otherwise; of Bark's layout, coarse windows that move by 120 tokens, not 60.
        progress : of loading, as in `generate`.
        **stages : take a stage from another model, as ``coarse="small"``.

        Raises
        ------
        MissingFileError
            If files are absent and cannot be fetched; it lists them and how to get them.
        CheckpointError
            If a file is not what it should be.
        """
        watch = Watch.of(progress)
        parts = load_parts(name, device, dtype, offload, stages, decoder, fast, watch)
        return cls(**parts)

    def resolve_voice(self, voice: VoiceLike | None) -> Voice | None:
        """Find a voice: a `Voice`, a path, a dictionary, or the name of an own or preset voice."""
        found = resolve_voice(voice, self.layout, model_folder=self.voices_folder)
        check_made_for({} if found is None else found.info, self.name, self.family)
        return found

    @property
    def family(self) -> str:
        """What must be equal for another model to understand this one's tokens."""
        return token_family(self.layout, self.codec.family)

    def check(self, settings: Mapping[str, Any], seed: int | None = None) -> Settings:
        """Return all settings of a call that changes some; refuse what cannot be used."""
        chosen = self.defaults.changed(settings)
        self.coarse.windows(
            chosen.max_coarse_history, chosen.sliding_window_len, chosen.coarse_anchor
        )
        if seed is not None:
            check_seed(seed)
        return chosen

    # ---- speech ----------------------------------------------------------------------------------

    def generate(
        self,
        text: str,
        voice: VoiceLike | None = None,
        *,
        seed: int | None = None,
        progress: Progress = False,
        cancel: Event | None = None,
        **settings: Unpack[SettingChanges],
    ) -> Generation:
        """Speak `text`.

        Parameters
        ----------
        text : one or two sentences, about 13 s; longer text belongs to `bark.longform`.
        voice : whose voice: a `Voice`, a ``.npz`` path, a dictionary or a name; None lets Bark
            choose.
        seed : same seed, same tokens on the same device; None draws one (from torch's global
            generator) and records it.
        progress : True shows a bar for each stage; a function is called with (stage, done, total).
        cancel : when another thread sets it, the call ends with `Cancelled`.
        **settings : any of `bark.settings.SettingChanges`.

        Raises
        ------
        TextError, VoiceError, SettingError
            If an argument cannot be used; each says what is allowed.
        """
        if not isinstance(text, str):
            fix = (
                "Use generate_batch for several texts" if isinstance(text, (list, tuple)) else None
            )
            raise TextError("text is no string", type(text).__name__, "str", fix)
        seeds = None if seed is None else [seed]
        return self.generate_batch(
            [text], voice, seeds=seeds, progress=progress, cancel=cancel, **settings
        )[0]

    def generate_batch(
        self,
        texts: Sequence[str],
        voice: Voices = None,
        *,
        seeds: Sequence[int] | None = None,
        progress: Progress = False,
        cancel: Event | None = None,
        **settings: Unpack[SettingChanges],
    ) -> list[Generation]:
        """Speak several texts side by side; each comes out as `generate` alone would make it.

        `voice` is one for all, or a list with one for each text; `seeds` has one for each.
        """
        chosen, watch = self.check(settings), Watch.of(progress, cancel)
        seeds = [new_seed() for _ in texts] if seeds is None else [check_seed(s) for s in seeds]
        if len(seeds) != len(texts):
            raise SettingError("seeds", f"{len(seeds)} for {len(texts)} texts", "one for each text")
        if not texts:
            return []
        asked = per_item("voices", voice, len(texts))
        histories = self._histories(voice, len(texts))
        texts = [self._read(text, chosen) for text in texts]
        ids = [fit_tokens(self.tokenizer.encode(t), self.layout.text_window) for t in texts]
        timings: dict[str, float] = {}
        semantic = self._run("semantic", ids, histories, seeds, chosen, watch, timings)
        _check_spoken(semantic, texts)
        _warn_of_the_limit(semantic, texts, chosen, self.layout)
        coarse = self._run("coarse", semantic, histories, seeds, chosen, watch, timings)
        fine = self._run("fine", coarse, histories, seeds, chosen, watch, timings)
        watch.check()
        with torch.inference_mode(), self._turn("codec", timings):
            audio = [self.codec.decode(codes) for codes in fine]
        return [
            Generation(
                audio[i],
                Voice(semantic[i], coarse[i], fine[i]),
                texts[i],
                seeds[i],
                chosen,
                self.name,
                self.layout,
                dict(timings),
                histories[i],
                reference_of(asked[i]),
                self.source,
                self.family,
            )
            for i in range(len(texts))
        ]

    def stream(
        self,
        text: str,
        voice: VoiceLike | None = None,
        *,
        seed: int | None = None,
        latency: Literal["exact", "low"] = "exact",
        postprocess: Sequence[AnyStep] = (),
        progress: Progress = False,
        cancel: Event | None = None,
        **settings: Unpack[SettingChanges],
    ) -> Iterator[np.ndarray]:
        """Speak a text of any length and yield its audio piece by piece, while the rest is made.

        Joined, the pieces are what `generate`, or for a text of several parts `speak_long`, makes
        with the same seed. Arguments are checked before the first piece, when the iterator starts.

        Parameters
        ----------
        latency : "exact" yields what is final: fine codes that no later window fills again, decoded
            with all the frames that they depend on. "low" yields earlier: it fills and decodes
            short pieces by themselves, which changes codes and sound a little.
        postprocess : steps that need not wait for the whole (`bark.audio.postprocess`).

        Yields
        ------
        (n,) float32 at `layout.sample_rate`.
        """
        watch = Watch.of(progress, cancel)
        pieces = stream_text(self, text, voice, new_seed(seed), latency, watch, settings)
        return postprocessed_stream(pieces, self.layout.sample_rate, postprocess)

    def read(self, text: str) -> Reading:
        """Return the words that the model would say, and those of the text that it cannot say."""
        return self.tokenizer.read(tidy(text))

    # ---- the stages, one by one ------------------------------------------------------------------

    def semantic_tokens(
        self,
        text: str,
        voice: VoiceLike | None = None,
        *,
        seed: int | None = None,
        on_overflow: Literal["error", "cut"] = "error",
        progress: Progress = False,
        cancel: Event | None = None,
        **settings: Unpack[SettingChanges],
    ) -> np.ndarray:
        """Text to semantic tokens (S,) int64, which may be empty.

        Without a `seed` tokens are drawn from torch's global generator, as Suno's code does.
        `on_overflow` "cut" warns of a text that is too long and speaks its beginning.
        """
        watch, chosen = Watch.of(progress, cancel), self.defaults.changed(settings)
        read = self._read(text, chosen)
        ids = fit_tokens(self.tokenizer.encode(read), self.layout.text_window, on_overflow)
        histories = self._histories(voice, 1)
        return self._run("semantic", [ids], histories, [seed], chosen, watch)[0]

    def coarse_codes(
        self,
        semantic: np.ndarray,
        voice: VoiceLike | None = None,
        *,
        seed: int | None = None,
        progress: Progress = False,
        cancel: Event | None = None,
        **settings: Unpack[SettingChanges],
    ) -> np.ndarray:
        """Semantic tokens (S,) to coarse codes (2, T) int64, in a voice."""
        watch, chosen = Watch.of(progress, cancel), self.check(settings)
        return self._run("coarse", [semantic], self._histories(voice, 1), [seed], chosen, watch)[0]

    def fine_codes(
        self,
        coarse: np.ndarray,
        voice: VoiceLike | None = None,
        *,
        seed: int | None = None,
        progress: Progress = False,
        cancel: Event | None = None,
        **settings: Unpack[SettingChanges],
    ) -> np.ndarray:
        """Coarse codes (1 … 7, T) to all codebooks (8, T) int64, in a voice."""
        watch, chosen = Watch.of(progress, cancel), self.defaults.changed(settings)
        return self._run("fine", [coarse], self._histories(voice, 1), [seed], chosen, watch)[0]

    def speak_tokens(
        self,
        semantic: Sequence[np.ndarray],
        voice: Voices = None,
        *,
        seeds: Seeds = None,
        progress: Progress = False,
        cancel: Event | None = None,
        **settings: Unpack[SettingChanges],
    ) -> list[Voice]:
        """Semantic tokens of several utterances to all their tokens, side by side."""
        watch, chosen = Watch.of(progress, cancel), self.check(settings)
        histories, each = (
            self._histories(voice, len(semantic)),
            per_item("seeds", seeds, len(semantic)),
        )
        coarse = self._run("coarse", semantic, histories, each, chosen, watch)
        fine = self._run("fine", coarse, histories, each, chosen, watch)
        return [Voice(*codes) for codes in zip(semantic, coarse, fine, strict=True)]

    def stream_tokens(
        self,
        semantic: np.ndarray,
        voice: VoiceLike | None = None,
        *,
        seed: int | None = None,
        latency: Literal["exact", "low"] = "exact",
        progress: Progress = False,
        cancel: Event | None = None,
        **settings: Unpack[SettingChanges],
    ) -> Generator[np.ndarray, None, Voice]:
        """Semantic tokens (S,) to audio, yielded piece by piece; returns all the tokens.

        `latency` is that of `stream`. With `offload` there is one piece.
        """
        watch, chosen = Watch.of(progress, cancel), self.check(settings)
        history = self.resolve_voice(voice)
        coarse, fine = (self._generators(stage, [seed])[0] for stage in ("coarse", "fine"))
        if self.offload:
            tokens = self.speak_tokens(
                [semantic], history, seeds=seed, progress=progress, cancel=cancel, **settings
            )[0]
            yield self.decode(tokens.fine)
            return tokens
        written = self.coarse.stream(
            semantic,
            history,
            sampling=chosen.coarse,
            max_coarse_history=chosen.max_coarse_history,
            sliding_window_len=chosen.sliding_window_len,
            coarse_anchor=chosen.coarse_anchor,
            generator=coarse,
            watch=watch,
        )
        frames = coarse_steps(len(semantic), self.layout) // self.layout.coarse_books
        way = settled_audio if latency == "exact" else early_audio
        sampled = {"temperature": chosen.fine.temperature, "generator": fine, "watch": watch}
        codes = yield from way(self, written, frames, history, sampled)
        return Voice(semantic, codes[: self.layout.coarse_books], codes)

    def _read(self, text: str, chosen: Settings) -> str:
        """Return a clean text; what the model cannot say of it is told, or refused."""
        cleaned = tidy(text)
        reading = self.tokenizer.read(cleaned)
        if not chosen.lossy:
            refuse_lossy([reading])
        tell_lost(reading, cleaned)
        return cleaned

    def _histories(self, voice: Voices, count: int) -> list[Voice | None]:
        """Find the voice of each text; one for all is looked up once."""
        if isinstance(voice, (list, tuple)):
            return [self.resolve_voice(each) for each in per_item("voices", voice, count)]
        return [self.resolve_voice(voice)] * count  # type: ignore[arg-type]


def _check_spoken(semantic: Sequence[np.ndarray], texts: Sequence[str]) -> None:
    for tokens, text in zip(semantic, texts, strict=True):
        if len(tokens) == 0:
            raise SilentError(
                f"nothing was spoken for {text[:40]!r}: the first token already ended the speech",
                fix="Raise min_eos_p, or try another seed",
            )


def _warn_of_the_limit(
    semantic: Sequence[np.ndarray], texts: Sequence[str], settings: Settings, layout: TokenLayout
) -> None:
    """Say which texts were not finished in the longest utterance, unless it was to last so long."""
    if settings.max_duration_s is not None or not settings.allow_early_stop:
        return
    for tokens, text in zip(semantic, texts, strict=True):
        if len(tokens) >= layout.max_semantic:
            logger.warning(
                "%s was not finished after %.1f s, the longest utterance: its end may be missing. "
                "Split it, or try another seed",
                repr(text if len(text) <= 40 else text[:40] + "..."),
                layout.max_semantic / layout.semantic_rate,
            )
