"""Joins the stages: text (+ a voice) → speech, and that speech as a new voice."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.checkpoints.find import find_model
from bark.codec.base import Codec
from bark.stages.coarse import CoarseStage
from bark.stages.fine import FineStage
from bark.stages.semantic import SemanticStage
from bark.text.tidy import TextTokenizer, fit_tokens, tidy
from bark.voice.names import check_made_for
from bark.voice.voice import Voice, VoiceLike, resolve_voice

from .devices import borrowed, choose_device, choose_dtype
from .errors import SettingError, SilentError
from .settings import Settings
from .tokens import TokenLayout

logger = logging.getLogger(__name__)

STAGES = ("semantic", "coarse", "fine")
PARTS = (*STAGES, "codec")
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Generation:
    """One spoken utterance and all that is needed to speak it again."""

    audio: np.ndarray  # (N,) float32 in [-1, 1]
    tokens: Voice  # semantic (S,), coarse (2, T), fine (8, T), exactly as generated
    text: str
    seed: int
    settings: Settings
    model: str
    layout: TokenLayout = field(repr=False)
    timings: dict[str, float] = field(default_factory=dict)  # seconds for each stage

    @property
    def sample_rate(self) -> int:
        """Hz of `audio`."""
        return self.layout.sample_rate

    @property
    def duration(self) -> float:
        """Seconds of `audio`."""
        return len(self.audio) / self.sample_rate

    @property
    def voice(self) -> Voice:
        """This utterance as a history prompt for the next one; its info names the model."""
        return replace(self.tokens.canonical(self.layout), info={"model": self.model})


@dataclass
class Bark:
    """A complete Bark: four stages and one `generate`.

    Made from ready parts, or by `Bark.from_pretrained`.

    Parameters
    ----------
    semantic, coarse, fine : the three stages.
    codec : codes ⇄ audio.
    tokenizer : text → ids.
    defaults : used where `generate` is not told otherwise.
    devices : where each part runs; with `offload` it waits on the CPU and visits its device for its
        turn.
    voices_folder : the model's own preset voices.
    """

    semantic: SemanticStage
    coarse: CoarseStage
    fine: FineStage
    codec: Codec
    tokenizer: TextTokenizer
    layout: TokenLayout
    name: str = "bark"
    defaults: Settings = Settings()
    devices: Mapping[str, torch.device] = field(default_factory=dict)
    offload: bool = False
    voices_folder: Path | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "large",
        *,
        device: str | torch.device | Mapping[str, str] = "auto",
        dtype: str = "auto",
        offload: bool = False,
        semantic: str | None = None,
        coarse: str | None = None,
        fine: str | None = None,
    ) -> "Bark":
        """Load a model: "nano" (shipped, offline), "small", "large", a folder or a Hugging Face id.

        Parameters
        ----------
        device : one for all, or one for each of "semantic", "coarse", "fine", "codec".
        dtype : "auto", "float32", "bfloat16" or "float16".
        offload : keep the parts on the CPU and move each to its device for its turn only.
        semantic, coarse, fine : take this stage from another model, ``coarse="small"`` for
            instance.

        Raises
        ------
        MissingFileError
            If files are absent and cannot be fetched; it lists them and how to get them.
        CheckpointError
            If a file is not what it should be.
        """
        files = find_model(name)
        places = _devices(device)
        sources = {"semantic": semantic, "coarse": coarse, "fine": fine}
        dtypes = {
            place: choose_dtype(dtype, place) for place in {places[stage] for stage in STAGES}
        }
        networks = {}
        for stage in STAGES:
            source = files if sources[stage] is None else find_model(str(sources[stage]))
            _check_same_layout(files.layout, source.layout, stage)
            network = source.load(stage).eval().to(dtypes[places[stage]])
            networks[stage] = network if offload else network.to(places[stage])
        codec = files.load_codec()
        return cls(
            SemanticStage(networks["semantic"], files.layout),
            CoarseStage(networks["coarse"], files.layout),
            FineStage(networks["fine"], files.layout),
            codec if offload else codec.to(places["codec"]),
            files.load_tokenizer(),
            files.layout,
            name=str(name),
            defaults=Settings().changed(files.defaults),
            devices=places,
            offload=offload,
            voices_folder=files.voices,
        )

    def resolve_voice(self, voice: VoiceLike | None) -> Voice | None:
        """Find a voice: a `Voice`, a path, a dictionary, or the name of an own or preset voice."""
        found = resolve_voice(voice, self.layout, model_folder=self.voices_folder)
        check_made_for({} if found is None else found.info, self.name)
        return found

    def generate(
        self,
        text: str,
        voice: VoiceLike | None = None,
        *,
        seed: int | None = None,
        progress: bool = False,
        **settings: Any,
    ) -> Generation:
        """Speak `text`.

        Parameters
        ----------
        text : one or two sentences, about 13 s; longer text belongs to `bark.longform`.
        voice : whose voice: a `Voice`, a ``.npz`` path, a dictionary or a name; None lets Bark
            choose.
        seed : same seed, same tokens on the same device; None draws one (from torch's global
            generator) and records it.
        progress : show a bar for each stage.
        **settings : any field of `Settings`.

        Raises
        ------
        TextError, VoiceError, SettingError
            If an argument cannot be used; each says what is allowed.
        """
        seeds = None if seed is None else [seed]
        return self.generate_batch([text], voice, seeds=seeds, progress=progress, **settings)[0]

    def generate_batch(
        self,
        texts: Sequence[str],
        voice: VoiceLike | None = None,
        *,
        seeds: Sequence[int] | None = None,
        progress: bool = False,
        **settings: Any,
    ) -> list[Generation]:
        """Speak several texts in one voice at once; each comes out as `generate` alone would make
        it.
        """
        chosen = self.check(settings)
        seeds = (
            [_new_seed() for _ in texts] if seeds is None else [_check_seed(seed) for seed in seeds]
        )
        if len(seeds) != len(texts):
            raise SettingError("seeds", f"{len(seeds)} for {len(texts)} texts", "one for each text")
        if not texts:
            return []
        history = self.resolve_voice(voice)
        texts = [tidy(text) for text in texts]
        text_ids = [
            fit_tokens(self.tokenizer.encode(text), self.layout.text_window) for text in texts
        ]
        timings: dict[str, float] = {}
        with torch.inference_mode():
            with self._turn("semantic", timings):
                semantic = self.semantic.generate_batch(
                    text_ids,
                    None if history is None else history.semantic,
                    sampling=chosen.semantic,
                    min_eos_p=chosen.min_eos_p,
                    max_duration_s=chosen.max_duration_s,
                    allow_early_stop=chosen.allow_early_stop,
                    generators=self._generators("semantic", seeds),
                    progress=progress,
                )
            _check_spoken(semantic, texts)
            _warn_of_the_limit(semantic, texts, chosen, self.layout)
            with self._turn("coarse", timings):
                coarse = self.coarse.generate_batch(
                    semantic,
                    history,
                    sampling=chosen.coarse,
                    max_coarse_history=chosen.max_coarse_history,
                    sliding_window_len=chosen.sliding_window_len,
                    coarse_anchor=chosen.coarse_anchor,
                    generators=self._generators("coarse", seeds),
                    progress=progress,
                )
            with self._turn("fine", timings):
                fine = self.fine.generate_batch(
                    coarse,
                    None if history is None else history.fine,
                    temperature=chosen.fine_temperature,
                    generators=self._generators("fine", seeds),
                    progress=progress,
                )
            with self._turn("codec", timings):
                audio = [self.codec.decode(codes) for codes in fine]
        return [
            Generation(audio[i], Voice(semantic[i], coarse[i], fine[i]), texts[i], seeds[i], chosen,
                       self.name, self.layout, dict(timings))
            for i in range(len(texts))
        ]  # fmt: skip

    def check(self, settings: Mapping[str, Any], seed: int | None = None) -> Settings:
        """Return all settings of a call that changes some; a `SettingError` where one cannot be
        used.
        """
        chosen = self.defaults.changed(settings)
        self.coarse.windows(
            chosen.max_coarse_history, chosen.sliding_window_len, chosen.coarse_anchor
        )
        if seed is not None:
            _check_seed(seed)
        return chosen

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Turn codes (8, T) into audio (N,) float32, as `generate` does last."""
        with torch.inference_mode(), self._on_device("codec"):
            return self.codec.decode(codes)

    @contextmanager
    def _turn(self, part: str, timings: dict[str, float]) -> Iterator[None]:
        """Time one part's work, on its device."""
        start = time.perf_counter()
        with self._on_device(part):
            yield
        timings[part] = time.perf_counter() - start

    def _on_device(self, part: str) -> Any:
        if not self.offload or part not in self.devices:
            return nullcontext()
        holder = self.codec if part == "codec" else getattr(self, part).model
        return borrowed(holder, self.devices[part])

    def _generators(self, stage: str, seeds: Sequence[int]) -> list[torch.Generator]:
        """One generator for each text and stage, so that a stage's draws never depend on another's
        length.
        """
        device = self.devices.get(stage, torch.device("cpu"))
        offset = STAGES.index(stage)
        return [
            torch.Generator(device).manual_seed((seed + offset) % (MAX_SEED + 1)) for seed in seeds
        ]


def _devices(device: str | torch.device | Mapping[str, str]) -> dict[str, torch.device]:
    if isinstance(device, (str, torch.device)):
        return {part: choose_device(device, part) for part in PARTS}
    if unknown := sorted(set(device) - set(PARTS)):
        raise SettingError("device given for unknown parts", ", ".join(unknown), ", ".join(PARTS))
    return {part: choose_device(device.get(part, "auto"), part) for part in PARTS}


def _check_same_layout(own: TokenLayout, other: TokenLayout, stage: str) -> None:
    if own != other:
        raise SettingError(
            f"the {stage} stage comes from a model with another token layout",
            fix="Mix only models of one family, such as small and large",
        )


def _check_seed(seed: int) -> int:
    if (
        isinstance(seed, bool)
        or not isinstance(seed, (int, np.integer))
        or not 0 <= seed <= MAX_SEED
    ):
        raise SettingError("seed", repr(seed), f"a whole number from 0 to {MAX_SEED}")
    return int(seed)


def _new_seed() -> int:
    return int(torch.randint(2**31, ()))


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
                "Split it, "
                "or try another seed",
                repr(text if len(text) <= 40 else text[:40] + "..."),
                layout.max_semantic / layout.semantic_rate,
            )
