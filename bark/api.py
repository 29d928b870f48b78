"""Suno's `bark.api` over our stages: text → audio in one call, and a generation kept as a voice."""

from pathlib import Path
from typing import Any

import numpy as np

from bark.voice.voice import Voice, VoiceLike

from .errors import SettingError
from .generation import codec_decode, generate_coarse, generate_fine, generate_text_semantic


def text_to_semantic(
    text: str,
    history_prompt: VoiceLike | None = None,
    temp: float = 0.7,
    silent: bool = False,
    seed: int | None = None,
) -> np.ndarray:
    """Turn text into semantic tokens (S,) int64, ready for `semantic_to_waveform`."""
    return generate_text_semantic(
        text, history_prompt=history_prompt, temp=temp, silent=silent, seed=seed
    )


def semantic_to_waveform(
    semantic_tokens: np.ndarray,
    history_prompt: VoiceLike | None = None,
    temp: float = 0.7,
    silent: bool = False,
    output_full: bool = False,
    seed: int | None = None,
) -> Any:
    """Turn semantic tokens (S,) into audio (N,) float32 at 24 kHz.

    Returns
    -------
    The audio; with `output_full` ``(full_generation, audio)``, where full_generation holds
    "semantic_prompt", "coarse_prompt" and "fine_prompt", as `save_as_prompt` takes them."""
    coarse = generate_coarse(
        semantic_tokens, history_prompt=history_prompt, temp=temp, silent=silent, seed=seed
    )
    fine = generate_fine(coarse, history_prompt=history_prompt, temp=0.5, seed=seed)
    audio = codec_decode(fine)
    if not output_full:
        return audio
    return {"semantic_prompt": semantic_tokens, "coarse_prompt": coarse, "fine_prompt": fine}, audio


def save_as_prompt(filepath: str | Path, full_generation: dict[str, np.ndarray]) -> None:
    """Save a generation made with ``output_full=True`` as a history prompt ``.npz``."""
    if Path(filepath).suffix != ".npz":
        raise SettingError("file name of a history prompt", str(filepath), "a name ending in .npz")
    Voice.from_dict(full_generation).save(filepath)


def generate_audio(
    text: str,
    history_prompt: VoiceLike | None = None,
    text_temp: float = 0.7,
    waveform_temp: float = 0.7,
    silent: bool = False,
    output_full: bool = False,
    seed: int | None = None,
) -> Any:
    """Speak text.

    Returns
    -------
    Audio (N,) float32 at 24 kHz; with `output_full` ``(full_generation, audio)``.
    """
    semantic = text_to_semantic(
        text, history_prompt=history_prompt, temp=text_temp, silent=silent, seed=seed
    )
    return semantic_to_waveform(
        semantic,
        history_prompt=history_prompt,
        temp=waveform_temp,
        silent=silent,
        output_full=output_full,
        seed=seed,
    )
