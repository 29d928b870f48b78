"""Turns HuBERT features into semantic tokens, by an LSTM of the community or by the nearest k-means centre.

An LSTM quantizer file is a torch state dict with one more zip member, ``<name>/.info``, that tells its sizes
to other readers. We write it, but read the sizes off the tensors: files get renamed, and older ones lack it.
"""

import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import nn

from bark.errors import CheckpointError, MissingFileError, SettingError
from bark.files import atomic_write
from bark.weights import FAIRSEQ_STAND_INS, read_json, read_torch_file, tensors_of

from .datastore import Datastore
from .networks import NETWORKS, QuantizerSizes, sizes_of
from .networks import LSTMNetwork as LSTMNetwork

logger = logging.getLogger(__name__)

QUANTIZER, SETTINGS = "quantizer.pth", "quantizer.json"  # in a run's folder
STORE = "datastore."  # before the names of its tensors
MAX_SHIFT = 5  # frames
MAX_INFO_BYTES = 64 << 10
MAX_CENTRES_BYTES = 512 << 20
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


class LSTMQuantizer:
    """gitmylo's "custom tokenizer": an LSTM that reads the features in order and names a token for each.

    The LSTM's state runs through the whole clip, so cutting a clip changes tokens. Version 2 may have a store
    of training frames beside it, which vote with the network.
    """

    def __init__(self, network: nn.Module, datastore: Datastore | None = None) -> None:
        self.network, self.datastore = network.eval().requires_grad_(False), datastore
        self.sizes: QuantizerSizes = network.sizes  # type: ignore[assignment]
        self.input_size, self.output_size = self.sizes.input_size, self.sizes.output_size

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits of each frame: (S, D) → (S, V), or a batch (B, S, D) → (B, S, V)."""
        features = check_features(features, self.input_size)
        given = torch.from_numpy(features).to(next(self.network.parameters()).device)
        with torch.inference_mode():
            logits = self.network(given).float()
            if self.datastore is not None:
                pairs = zip(given, logits, strict=True) if given.dim() == 3 else [(given, logits)]
                logits = torch.stack([self.datastore(*pair) for pair in pairs]).view_as(logits)
            return logits.cpu().numpy()

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the likeliest token of each frame: (S, D) → (S,) int64, or (B, S, D) → (B, S)."""
        return self.logits(features).argmax(axis=-1)  # the last axis is the vocabulary in both forms

    def to(self, device: str | torch.device) -> Self:
        """Move everything to a device and return this object."""
        self.network.to(device)
        if self.datastore is not None:
            self.datastore.to(device)
        return self

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Self:
        """Read a quantizer file of any name, with or without ``.info``.

        Raises
        ------
        MissingFileError
            If there is no such file.
        CheckpointError
            If it is a HuBERT, a k-means or anything else, or does not fit.
        """
        path = Path(path)
        _refuse_pickled_kmeans(path)
        content = read_torch_file(path, FAIRSEQ_STAND_INS)  # stand-ins: so that a HuBERT can be named as one
        state = content.get("model", content) if isinstance(content, Mapping) else content
        weights = tensors_of(state, path)
        if any("feature_extractor." in name for name in weights):
            raise CheckpointError(f"{path} is a HuBERT, not a quantizer", fix="Give it as the HuBERT")
        kept = {name.removeprefix(STORE): weights.pop(name) for name in [*weights] if name.startswith(STORE)}
        try:
            sizes = sizes_of(weights)
            network = NETWORKS[sizes.version](sizes)
            network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
            datastore = Datastore(**kept) if kept else None
            if datastore is not None:
                datastore.check(sizes.input_size, sizes.output_size)
        except KeyError as error:
            raise CheckpointError(f"{path} is no LSTM quantizer: it lacks {error}") from error
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            found = " ".join(str(error).split())
            raise CheckpointError(f"{path} does not fit an LSTM quantizer", got=found) from error
        told = read_info(path)
        if told and any(told.get(name, value) != value for name, value in sizes.info().items()):
            logger.warning("%s: .info says %s, but the tensors are %s", path, told, sizes.info())
        return cls(network, datastore).to(device)

    def save(self, path: str | Path) -> Path:
        """Write the weights and ``.info``, whole or not at all; gitmylo's reader takes the file too."""
        path = Path(path)
        state = self.network.state_dict()
        if self.datastore is not None:
            state |= {STORE + name: tensor for name, tensor in self.datastore.state_dict().items()}
        state = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        with atomic_write(path) as temporary:
            with temporary.open("wb") as file:
                torch.save(state, file)
            with zipfile.ZipFile(temporary, "a") as archive:
                folder = archive.namelist()[0].split("/")[0]
                # a ZipInfo of its own has no date in it, so equal weights give equal files
                archive.writestr(zipfile.ZipInfo(f"{folder}/.info"), json.dumps(self.sizes.info()))
        return path


def read_info(path: str | Path) -> dict[str, Any]:
    """Read the ``.info`` member of a quantizer file; empty where there is none that can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = next((m for m in archive.infolist() if m.filename.endswith("/.info")), None)
            if member is None or member.file_size > MAX_INFO_BYTES:
                return {}
            info = json.loads(archive.read(member))
    except (OSError, zipfile.BadZipFile, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


class KMeansQuantizer:
    """The nearest of a set of centres: fairseq's and scikit-learn's k-means.

    Parameters
    ----------
    centers : (K, D) float32.
    """

    def __init__(self, centers: np.ndarray) -> None:
        centers = np.asarray(centers, dtype=np.float32)
        if centers.ndim != 2 or 0 in centers.shape:
            raise CheckpointError("k-means centres have the wrong shape", centers.shape, "(centres, width)")
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
    def from_sklearn(cls, fitted: Any) -> Self:
        """Take the centres of a fitted `KMeans` or `MiniBatchKMeans`."""
        return cls(fitted.cluster_centers_)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read ``centers`` from an ``.npz``; fairseq's ``km.bin`` is a pickle and is never opened."""
        path = Path(path)
        _refuse_pickled_kmeans(path)
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > MAX_CENTRES_BYTES:
                    raise CheckpointError(
                        f"{path} unpacks to too much", allowed=f"{MAX_CENTRES_BYTES:,} bytes"
                    )
            with np.load(path, allow_pickle=False) as arrays:
                return cls(arrays["centers"])
        except KeyError as error:
            raise CheckpointError(f"{path} holds no k-means", fix="Save the centres as `centers`") from error
        except CheckpointError:
            raise
        except Exception as error:  # numpy lets a dozen unrelated classes out of a damaged file
            raise CheckpointError(f"{path} is damaged or no .npz", got=type(error).__name__) from error

    def save(self, path: str | Path) -> Path:
        """Write the centres as ``.npz``, whole or not at all."""
        path = Path(path)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, centers=self.centers)
        return path


def load_quantizer(path: str | Path, device: str | torch.device = "cpu") -> Quantizer:
    """Load a quantizer file: ``.npz`` is k-means, anything else an LSTM quantizer."""
    if Path(path).suffix.lower() == ".npz":
        return KMeansQuantizer.load(path)
    return LSTMQuantizer.load(path, device)


def quantizer_settings(path: str | Path) -> dict[str, Any]:
    """Read what `hubert.train` wrote beside a quantizer file; empty where nothing is.

    ``shift`` is there, and ``encoder``, a dictionary with the ``hubert`` and the ``layer`` it hears.

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
        raise CheckpointError(f"{beside} is damaged", got=f"shift {shift!r}", fix="Remove it, or train again")
    return settings


def shifted(tokens: np.ndarray, shift: int) -> np.ndarray:
    """Return the tokens (S,) that a quantizer named in frames (S,), in time: token t from frame t + shift.

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


def _refuse_pickled_kmeans(path: Path) -> None:
    """Refuse a missing file, and a pickled k-means before anything reads it: pickle runs what is inside."""
    if not path.is_file():
        raise MissingFileError(f"no such file: {path}")
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(b"\x80") and (b"sklearn" in head or b"joblib" in head):
        raise CheckpointError(f"{path} is a pickled k-means, and pickles are never run", fix=KMEANS_RECIPE)
