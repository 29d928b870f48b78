"""Semantic tokens by an LSTM: gitmylo's networks in his file format, and our own version 2."""

import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import torch
from torch import nn

from bark.errors import CheckpointError
from bark.storage.atomic import atomic_write
from bark.storage.json import Count, decode
from bark.storage.weights import FAIRSEQ_STAND_INS, read_torch_file, tensors_of

from .base import check_features, opened
from .datastore import Datastore
from .networks import NETWORKS, QuantizerSizes, sizes_of

logger = logging.getLogger(__name__)
STORE = "datastore."  # before the names of its tensors
MAX_INFO_BYTES = 64 << 10


class _Info(msgspec.Struct):
    """The ``.info`` member of a quantizer file, as far as it says."""

    input_size: Count | msgspec.UnsetType = msgspec.UNSET
    hidden_size: Count | msgspec.UnsetType = msgspec.UNSET
    output_size: Count | msgspec.UnsetType = msgspec.UNSET
    version: Count | msgspec.UnsetType = msgspec.UNSET
    neck_size: Count | msgspec.UnsetType = msgspec.UNSET


class LSTMQuantizer:
    """gitmylo's "custom tokenizer": an LSTM that reads the features in order and names a token for
    each.

    The LSTM's state runs through the whole clip, so cutting a clip changes tokens. Version 2 may
    have a store of training frames beside it, which vote with the network."""

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
        return self.logits(features).argmax(
            axis=-1
        )  # the last axis is the vocabulary in both forms

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
        with opened(path):  # refuses what is no quantizer
            content = read_torch_file(path, FAIRSEQ_STAND_INS)  # which name a HuBERT as one
        state = content.get("model", content) if isinstance(content, Mapping) else content
        weights = tensors_of(state, path)
        if any("feature_extractor." in name for name in weights):
            raise CheckpointError(
                f"{path} is a HuBERT, not a quantizer", fix="Give it as the HuBERT"
            )
        kept = {
            name.removeprefix(STORE): weights.pop(name)
            for name in [*weights]
            if name.startswith(STORE)
        }
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
            raise CheckpointError(f"{path} does not fit an LSTM quantizer: {found}") from error
        told = read_info(path)
        if told and any(told.get(name, value) != value for name, value in sizes.info().items()):
            logger.warning("%s: .info says %s, but the tensors are %s", path, told, sizes.info())
        return cls(network, datastore).to(device)

    def save(self, path: str | Path) -> Path:
        """Write the weights and ``.info``, whole or not at all; gitmylo's reader takes the file
        too.
        """
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
            info = decode(archive.read(member), _Info, f"{path}: .info")
    except (OSError, zipfile.BadZipFile, CheckpointError):
        return {}
    return dict(msgspec.to_builtins(info))
