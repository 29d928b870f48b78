"""Bark: text (+ a voice) → speech. Names are loaded when first used; importing is quick."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from hubert.clone import clone_voice as clone_voice
    from hubert.refine import refine_voice as refine_voice

    from .api import generate_audio as generate_audio
    from .api import save_as_prompt as save_as_prompt
    from .api import semantic_to_waveform as semantic_to_waveform
    from .api import text_to_semantic as text_to_semantic
    from .audio.read import load_audio as load_audio
    from .audio.write import save_audio as save_audio
    from .generation import SAMPLE_RATE as SAMPLE_RATE
    from .generation import preload_models as preload_models
    from .longform.speak import speak_long as speak_long
    from .pipeline.pipeline import Bark as Bark
    from .settings import Sampling as Sampling
    from .settings import Settings as Settings
    from .speech import Generation as Generation
    from .voice.voice import Voice as Voice

_HOMES = {
    "Bark": "bark.pipeline",
    "Generation": "bark.speech",
    "Sampling": "bark.settings",
    "Settings": "bark.settings",
    "Voice": "bark.voice",
    "clone_voice": "hubert.clone",  # these two lie above this package
    "refine_voice": "hubert.refine",
    "load_audio": "bark.audio",
    "save_audio": "bark.audio",
    "speak_long": "bark.longform",
    "SAMPLE_RATE": "bark.generation",
    "preload_models": "bark.generation",
    "generate_audio": "bark.api",
    "save_as_prompt": "bark.api",
    "semantic_to_waveform": "bark.api",
    "text_to_semantic": "bark.api",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("api", "generation"):  # as after Suno's own import
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
