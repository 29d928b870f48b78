"""Loads a quantizer file of any kind, with the settings that were saved beside it.

An LSTM quantizer file is a torch state dict with one more zip member, ``<name>/.info``, that tells
its sizes to other readers. We write it, but read the sizes off the tensors: files get renamed, and
older ones lack it."""

from pathlib import Path
from typing import Any

import torch

from bark.errors import CheckpointError
from bark.storage.json import read_json

from .base import MAX_SHIFT, Quantizer
from .kmeans import KMeansQuantizer
from .lstm import LSTMQuantizer
from .networks import LSTMNetwork as LSTMNetwork

QUANTIZER, SETTINGS = "quantizer.pth", "quantizer.json"  # in a run's folder


def load_quantizer(path: str | Path, device: str | torch.device = "cpu") -> Quantizer:
    """Load a quantizer file: ``.npz`` is k-means, anything else an LSTM quantizer."""
    if Path(path).suffix.lower() == ".npz":
        return KMeansQuantizer.load(path)
    return LSTMQuantizer.load(path, device)


def quantizer_settings(path: str | Path) -> dict[str, Any]:
    """Read what `hubert.train` wrote beside a quantizer file; empty where nothing is.

    ``shift`` is there, and ``encoder``, a dictionary with the ``hubert`` and the ``layer`` of its
    features.

    Raises
    ------
    CheckpointError : the file is damaged.
    """
    beside = Path(path).with_name(SETTINGS)
    if not Path(path).is_file() or not beside.is_file():
        return {}
    settings = read_json(beside)
    shift, encoder = settings.setdefault("shift", 0), settings.setdefault("encoder", {})
    if not isinstance(encoder, dict) or type(shift) is not int or abs(shift) > MAX_SHIFT:
        raise CheckpointError(
            f"{beside} is damaged", got=f"shift {shift!r}", fix="Remove it, or train again"
        )
    return settings
