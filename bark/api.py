"""Suno's `bark.api`: text to audio in one call, and a generation kept as a voice."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from .errors import SettingError, VoiceError
from .generation import (
    codec_decode,
    find_voice,
    generate_coarse,
    generate_fine,
    generate_text_semantic,
    spoken_voice_info,
)
from .voice.voice import KEYS, Voice, VoiceLike

logger = logging.getLogger(__name__)


class FullGeneration(dict[str, np.ndarray]):
    """Suno's dictionary of a generation, which also remembers whose voice it is."""

    info: dict[str, str]


def text_to_semantic(
    text: str,
    history_prompt: VoiceLike | None = None,
    temp: float | None = None,
    silent: bool = False,
    seed: int | None = None,
) -> np.ndarray:
    """Text to semantic tokens (S,) int64, ready for `semantic_to_waveform`."""
    return generate_text_semantic(
        text, history_prompt=history_prompt, temp=temp, silent=silent, seed=seed
    )


def semantic_to_waveform(
    semantic_tokens: np.ndarray,
    history_prompt: VoiceLike | None = None,
    temp: float | None = None,
    silent: bool = False,
    output_full: bool = False,
    seed: int | None = None,
) -> Any:
    """Semantic tokens (S,) to audio (N,) float32 at 24 kHz.

    Returns
    -------
    The audio; with `output_full` ``(full_generation, audio)``, where full_generation holds
    "semantic_prompt", "coarse_prompt" and "fine_prompt", as `save_as_prompt` takes them.
    """
    voice = find_voice("coarse", history_prompt)
    coarse = generate_coarse(
        semantic_tokens, history_prompt=voice, temp=temp, silent=silent, seed=seed
    )
    fine = generate_fine(coarse, history_prompt=voice, seed=seed)
    audio = codec_decode(fine)
    if not output_full:
        return audio
    full = FullGeneration(semantic_prompt=semantic_tokens, coarse_prompt=coarse, fine_prompt=fine)
    full.info = spoken_voice_info("", seed, voice)
    return full, audio


def save_as_prompt(filepath: str | Path, full_generation: dict[str, np.ndarray]) -> None:
    """Save a generation made with ``output_full=True`` as a history prompt ``.npz``.

    As Suno's code it writes a generation of any length, and warns if no model will speak with it.
    """
    if Path(filepath).suffix != ".npz":
        raise SettingError("file name of a history prompt", str(filepath), "a name ending in .npz")
    if missing := [key for key in KEYS if key not in full_generation]:
        raise VoiceError("the generation is not full", f"no {', '.join(missing)}", ", ".join(KEYS))
    semantic, coarse, fine = (full_generation[key] for key in KEYS)
    voice = Voice(semantic, coarse, fine, getattr(full_generation, "info", {}))
    voice.save(filepath, strict=False)
    try:
        voice.validate(strict=False)
    except VoiceError as error:
        logger.warning("%s: nothing can be spoken with it: %s", filepath, error)


def generate_audio(
    text: str,
    history_prompt: VoiceLike | None = None,
    text_temp: float | None = None,
    waveform_temp: float | None = None,
    silent: bool = False,
    output_full: bool = False,
    seed: int | None = None,
) -> Any:
    """Speak text.

    Returns
    -------
    Audio (N,) float32 at 24 kHz; with `output_full` ``(full_generation, audio)``.
    """
    voice = find_voice("text", history_prompt)
    semantic = text_to_semantic(
        text, history_prompt=voice, temp=text_temp, silent=silent, seed=seed
    )
    made = semantic_to_waveform(
        semantic,
        history_prompt=voice,
        temp=waveform_temp,
        silent=silent,
        output_full=output_full,
        seed=seed,
    )
    if output_full:
        made[0].info = spoken_voice_info(text, seed, voice)
    return made
