"""Coqui's model object: its configuration, and Bark's stages one by one under its names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bark.checkpoints.find import SUNO_SIZES
from bark.checkpoints.formats import SUNO_NAMES
from bark.errors import SettingError
from bark.pipeline import Bark
from bark.storage.hub import user_cache
from bark.tokens import BARK
from bark.voice.voice import KEYS, Voice, VoiceLike
from booth.speak.request import COQUI_MODEL

Folders = str | Path | Sequence[str | Path] | None
History = VoiceLike | Sequence[Any] | None
"""A voice, or Coqui's three arrays (semantic, coarse, fine), all None for a new voice."""


@dataclass(frozen=True)
class BarkConfig:
    """What Coqui's object needs to know, with the constants of Coqui's page."""

    model: str = COQUI_MODEL  # or large, small, nano, a folder or a hub id
    device: str = "auto"
    voice_dirs: Folders = None  # where voices are looked for when a call names no folder
    settings: dict[str, Any] = field(default_factory=dict)  # for every call

    CONTEXT_WINDOW_SIZE: ClassVar[int] = 1024
    SEMANTIC_RATE_HZ: ClassVar[float] = BARK.semantic_rate
    SEMANTIC_VOCAB_SIZE: ClassVar[int] = BARK.semantic_vocab
    CODEBOOK_SIZE: ClassVar[int] = BARK.codebook_size
    N_COARSE_CODEBOOKS: ClassVar[int] = BARK.coarse_books
    N_FINE_CODEBOOKS: ClassVar[int] = BARK.fine_books
    COARSE_RATE_HZ: ClassVar[int] = 75
    SAMPLE_RATE: ClassVar[int] = BARK.sample_rate
    sample_rate: ClassVar[int] = BARK.sample_rate
    USE_SMALLER_MODELS: ClassVar[bool] = False
    TEXT_ENCODING_OFFSET: ClassVar[int] = BARK.text_offset
    SEMANTIC_PAD_TOKEN: ClassVar[int] = BARK.semantic_pad
    TEXT_PAD_TOKEN: ClassVar[int] = BARK.text_pad
    SEMANTIC_INFER_TOKEN: ClassVar[int] = BARK.semantic_infer
    COARSE_SEMANTIC_PAD_TOKEN: ClassVar[int] = BARK.coarse_semantic_pad
    COARSE_INFER_TOKEN: ClassVar[int] = BARK.coarse_infer

    @property
    def CACHE_DIR(self) -> str:
        """Where Suno's files are looked for, and this code's folder of them."""
        return str(user_cache() / "suno" / "bark_v0")

    @property
    def LOCAL_MODEL_PATHS(self) -> dict[str, str]:
        """Suno's large files in `CACHE_DIR`."""
        folder, end = Path(self.CACHE_DIR), SUNO_SIZES["large"]
        return {name: str(folder / f"{name}{end}.pt") for name in SUNO_NAMES.values()}


class CoquiModel:
    """Bark's stages and its loading, as Coqui's ``Bark`` class has them."""

    config: BarkConfig
    progress_bar: bool
    _bark: Bark | None

    @property
    def bark(self) -> Bark:
        """The model."""
        if self._bark is None:
            name = "large" if self.config.model == COQUI_MODEL else self.config.model
            self._bark = Bark.from_pretrained(name, device=self.config.device)
        return self._bark

    def load_checkpoint(
        self,
        config: BarkConfig | None,
        checkpoint_dir: str | Path,
        text_model_path: str | None = None,
        coarse_model_path: str | None = None,
        fine_model_path: str | None = None,
        eval: bool = False,  # Coqui's name
        strict: bool = True,
        **unused: Any,
    ) -> None:
        """Load a folder of Suno's files (or any other model); each stage may come from elsewhere.

        `eval` and `strict` have no effect: models are always loaded so.
        """
        config = config or self.config
        self.config = BarkConfig(
            str(checkpoint_dir), config.device, config.voice_dirs, config.settings
        )
        self._bark = Bark.from_pretrained(
            checkpoint_dir,
            device=config.device,
            semantic=text_model_path,
            coarse=coarse_model_path,
            fine=fine_model_path,
        )

    def text_to_semantic(
        self,
        text: str,
        history_prompt: History = None,
        temp: float = 0.7,
        base: History = None,
        allow_early_stop: bool = True,
        *,
        silent: bool = False,
        use_kv_caching: bool = True,
        seed: int | None = None,
        **settings: Any,
    ) -> np.ndarray:
        """Text to semantic tokens (S,) int64; `base` takes the place of `history_prompt`.

        `use_kv_caching` has no effect: the cache is on."""
        chosen = {"semantic_temperature": temp, "allow_early_stop": allow_early_stop, **settings}
        return self.bark.semantic_tokens(
            text,
            history_of(base if base is not None else history_prompt),
            seed=seed,
            on_overflow="cut",
            progress=self.progress_bar and not silent,
            **chosen,  # type: ignore[arg-type]
        )

    def semantic_to_waveform(
        self,
        semantic_tokens: np.ndarray,
        history_prompt: History = None,
        temp: float = 0.7,
        base: History = None,
        *,
        seed: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Semantic tokens to (audio (N,) float32, coarse codes (2, T), fine codes (8, T))."""
        voice = history_of(base if base is not None else history_prompt)
        voice, progress = self.bark.resolve_voice(voice), self.progress_bar
        coarse = self.bark.coarse_codes(
            np.asarray(semantic_tokens),
            voice,
            seed=seed,
            progress=progress,
            coarse_temperature=temp,
        )
        fine = self.bark.fine_codes(coarse, voice, seed=seed, progress=progress)
        return self.bark.decode(fine), coarse, fine

    def generate_audio(
        self,
        text: str,
        history_prompt: History = None,
        text_temp: float = 0.7,
        waveform_temp: float = 0.7,
        base: History = None,
        allow_early_stop: bool = True,
        *,
        seed: int | None = None,
        **settings: Any,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Text to (audio (N,) float32, [semantic, coarse, fine])."""
        voice = self.bark.resolve_voice(history_of(base if base is not None else history_prompt))
        semantic = self.text_to_semantic(
            text, voice, text_temp, None, allow_early_stop, seed=seed, **settings
        )
        audio, *codes = self.semantic_to_waveform(semantic, voice, waveform_temp, seed=seed)
        return audio, [semantic, *codes]


def history_of(prompt: History) -> VoiceLike | None:
    """Return a voice for Coqui's history prompt, which is three arrays or three times None."""
    if prompt is None or isinstance(prompt, (Voice, str, Path, Mapping)):
        return prompt
    arrays = list(prompt)
    if len(arrays) != len(KEYS):
        raise SettingError("history_prompt", f"{len(arrays)} arrays", ", ".join(KEYS))
    return None if all(array is None for array in arrays) else dict(zip(KEYS, arrays, strict=True))
