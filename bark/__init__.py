"""Bark: text (+ a voice) → speech. Names are loaded when first used, so importing this costs
nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from bark.stages.sampling import Sampling as Sampling
    from bark.voice.voice import Voice as Voice

    from .api import generate_audio as generate_audio
    from .api import save_as_prompt as save_as_prompt
    from .api import semantic_to_waveform as semantic_to_waveform
    from .api import text_to_semantic as text_to_semantic
    from .generation import SAMPLE_RATE as SAMPLE_RATE
    from .generation import preload_models as preload_models
    from .pipeline import Bark as Bark
    from .pipeline import Generation as Generation

_HOMES = {
    "Bark": "pipeline",
    "Generation": "pipeline",
    "Sampling": "stages.sampling",
    "Voice": "voice.voice",
    "SAMPLE_RATE": "generation",
    "preload_models": "generation",
    "generate_audio": "api",
    "save_as_prompt": "api",
    "semantic_to_waveform": "api",
    "text_to_semantic": "api",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("api", "generation"):  # as after Suno's own import
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
