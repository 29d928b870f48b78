"""What every quantizer can do, and the checks of what it is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch

from bark.errors import CheckpointError, MissingFileError, SettingError

MAX_SHIFT = 5  # frames
KMEANS_RECIPE = (
    'Export its centres where you trust the file: python -c "import joblib, numpy; '
    "numpy.savez('km.npz', centers=joblib.load('km.bin').cluster_centers_)\""
)


class Quantizer(Protocol):
    """What turns features into tokens."""

    input_size: int  # width of a feature
    output_size: int  # number of different tokens

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(S, D) float32 → (S,) int64."""

    def to(self, device: str | torch.device) -> Self:
        """Move to a device."""


def shifted(tokens: np.ndarray, shift: int) -> np.ndarray:
    """Return the tokens (S,) that a quantizer named in frames (S,), in time: token t from frame t +
    shift.

    At the end that has no frame the nearest token stays.
    """
    frames = np.clip(np.arange(len(tokens)) + shift, 0, len(tokens) - 1)
    return tokens[frames]


def check_features(features: np.ndarray, width: int) -> np.ndarray:
    """Return features as contiguous float32 after checking shape (…, S, width) and content."""
    features = np.ascontiguousarray(features, dtype=np.float32)
    if features.ndim not in (2, 3) or features.shape[-1] != width or 0 in features.shape:
        raise SettingError(
            "features have the wrong shape for this quantizer",
            got=features.shape,
            allowed=f"(frames, {width})",
            fix="Use the HuBERT and the layer it was trained with",
        )
    if not np.isfinite(features).all():
        raise SettingError("features hold NaN or infinite values")
    return features


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open the file of a quantizer; refuse a missing one, and a pickled k-means before anything
    reads it: pickle runs what is inside.
    """
    if not path.is_file():
        raise MissingFileError(f"no file {path}")
    with path.open("rb") as file:
        head = file.read(1024)
        if head.startswith(b"\x80") and (b"sklearn" in head or b"joblib" in head):
            raise CheckpointError(
                f"{path} is a pickled k-means, and pickles are never run", fix=KMEANS_RECIPE
            )
        file.seek(0)
        yield file
