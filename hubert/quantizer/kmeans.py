"""Semantic tokens by the nearest of k-means centres."""

from pathlib import Path
from typing import Self

import numpy as np
import torch

from bark.errors import CheckpointError, MissingFileError
from bark.storage.atomic import atomic_write

from .base import check_features, opened

MAX_CENTRES_BYTES = 512 << 20


class KMeansQuantizer:
    """The nearest of a set of centres: fairseq's and scikit-learn's k-means.

    Parameters
    ----------
    centers : (K, D) float32.
    """

    def __init__(self, centers: np.ndarray) -> None:
        centers = np.asarray(centers, dtype=np.float32)
        if centers.ndim != 2 or 0 in centers.shape:
            raise CheckpointError(
                "k-means centres have the wrong shape", centers.shape, "(centres, width)"
            )
        if not np.isfinite(centers).all():
            raise CheckpointError("k-means centres hold NaN or infinite values")
        self.centers = centers
        self.output_size, self.input_size = centers.shape

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the nearest centre of each frame: (S, D) → (S,) int64."""
        features = check_features(features, self.input_size)
        # |x - c|² = |x|² - 2 x·c + |c|², and |x|² is the same for all centres
        distance = (self.centers**2).sum(1) - 2 * (features @ self.centers.T)  # (S, K)
        return distance.argmin(axis=-1)

    def to(self, device: str | torch.device) -> Self:
        """Do nothing: k-means is quick on the CPU."""
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read ``centers`` from an ``.npz``; fairseq's ``km.bin`` is a pickle and is
        never opened.
        """
        path = Path(path)
        try:
            with opened(path) as file, np.load(file, allow_pickle=False) as arrays:
                if sum(member.file_size for member in arrays.zip.infolist()) > MAX_CENTRES_BYTES:
                    raise CheckpointError(
                        f"{path} unpacks to too much", allowed=f"{MAX_CENTRES_BYTES:,} bytes"
                    )
                return cls(arrays["centers"])
        except KeyError as error:
            raise CheckpointError(
                f"{path} holds no k-means", fix="Save the centres as `centers`"
            ) from error
        except (CheckpointError, MissingFileError):
            raise
        except Exception as error:  # numpy lets a dozen unrelated classes out of a damaged file
            raise CheckpointError(
                f"{path} is damaged or no .npz", got=type(error).__name__
            ) from error

    def save(self, path: str | Path) -> Path:
        """Write the centres as ``.npz``, whole or not at all."""
        path = Path(path)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, centers=self.centers)
        return path
