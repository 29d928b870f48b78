"""Quantizers: HuBERT features to Bark's semantic tokens. Names are loaded when first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Quantizer as Quantizer
    from .files import load_quantizer as load_quantizer
    from .kmeans import KMeansQuantizer as KMeansQuantizer
    from .lstm import LSTMQuantizer as LSTMQuantizer

_HOMES = {
    "Quantizer": "base",
    "load_quantizer": "files",
    "KMeansQuantizer": "kmeans",
    "LSTMQuantizer": "lstm",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
