"""HuBERT: recording → semantic tokens → voice. Names are loaded when first used: importing costs
nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubert.quantizer.kmeans import KMeansQuantizer as KMeansQuantizer
    from hubert.quantizer.languages import QUANTIZERS as QUANTIZERS
    from hubert.quantizer.lstm import LSTMQuantizer as LSTMQuantizer

    from .clone import Clone as Clone
    from .clone import Cloner as Cloner
    from .clone import clone_voice as clone_voice
    from .convert import convert_voice as convert_voice
    from .encoder import SemanticEncoder as SemanticEncoder
    from .features import HubertFeatures as HubertFeatures
    from .reference import Report as Report
    from .reference import examine as examine
    from .refine import Refinement as Refinement
    from .refine import refine_voice as refine_voice

_HOMES = {
    "Clone": "clone",
    "Cloner": "clone",
    "clone_voice": "clone",
    "convert_voice": "convert",
    "SemanticEncoder": "encoder",
    "HubertFeatures": "features",
    "QUANTIZERS": "quantizer.languages",
    "KMeansQuantizer": "quantizer",
    "LSTMQuantizer": "quantizer",
    "Report": "reference",
    "examine": "reference",
    "Refinement": "refine",
    "refine_voice": "refine",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
