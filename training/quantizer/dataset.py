"""The data set a quantizer is trained on: its files, its splits, and batches of it.

A prepared data set is a folder with ``dataset.json`` and ``pairs/<digest of the
name>.safetensors``, one file for each pair: ``features`` (S, D) float16 and ``tokens`` (S',) int32.
S and S' may differ by a few frames."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from bark.errors import BarkError, MissingFileError, SettingError
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.json import Count, decode, read_as

MANIFEST = "dataset.json"
PAIRS = "pairs"
FORMAT_VERSION = 1
MOST_BYTES = 512 << 20  # of the list: three million pairs
SPLITS = ("train", "validation", "test")
MAX_DIFFERENCE = 5  # frames: Bark's tokens come at 49.9 Hz, HuBERT's frames at 50 Hz less one
IGNORED = -100  # label of padding, torch's cross-entropy leaves it out


class DatasetError(BarkError):
    """Training data cannot be used."""


@dataclass(frozen=True)
class PairEntry:
    """One pair in the list of a data set."""

    name: str  # the stem both files shared
    frames: Count  # of features
    tokens: Count
    split: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(SPLITS)})$")]
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{24}$")]  # of features and tokens

    @property
    def file(self) -> str:
        """Name of its file; made of the pair's name by a hash, since names come from strangers'
        archives.
        """
        return pair_file(self.name)


class _Listed(msgspec.Struct):
    """``dataset.json``."""

    format_version: int
    encoder: dict[str, str | int | None]
    feature_dim: Annotated[int, msgspec.Meta(ge=1, le=65_536)]
    vocabulary: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    entries: tuple[PairEntry, ...]


@dataclass(frozen=True)
class PreparedDataset:
    """A folder made by `hubert.prepare`."""

    folder: Path
    encoder: dict[str, Any]  # {"hubert": name, "layer": number}, where the features come from
    feature_dim: int
    vocabulary: int  # tokens are below it
    entries: tuple[PairEntry, ...]  # sorted by name

    @classmethod
    def load(cls, folder: str | Path) -> "PreparedDataset":
        """Open a prepared data set.

        Raises
        ------
        MissingFileError
            If the folder holds none.
        DatasetError
            If its list is damaged or of another format.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            fix = f"Run: python -m hubert.prepare {folder}"
            raise MissingFileError(
                f"{folder} holds no prepared data set", got=f"no {MANIFEST}", fix=fix
            )
        try:
            listed = read_as(path, _Listed, DatasetError, most=MOST_BYTES)
        except DatasetError as error:
            fix = "Run hubert.prepare again"
            raise DatasetError(error.what, error.got, error.allowed, fix) from error
        version = listed.format_version
        if version != FORMAT_VERSION:
            raise DatasetError(f"{path}: format version", got=version, allowed=FORMAT_VERSION)
        return cls(folder, listed.encoder, listed.feature_dim, listed.vocabulary, listed.entries)

    def save(self) -> None:
        """Write ``dataset.json``."""
        values = {"format_version": FORMAT_VERSION, "encoder": self.encoder}
        values |= {"feature_dim": self.feature_dim, "vocabulary": self.vocabulary}
        values["entries"] = [asdict(entry) for entry in self.entries]
        atomic_write_text(
            self.folder / MANIFEST, json.dumps(values, indent=1, ensure_ascii=False) + "\n"
        )

    def split(self, name: str) -> list[PairEntry]:
        """Return the pairs of one of `SPLITS`, sorted by name."""
        if name not in SPLITS:
            raise SettingError("split", got=name, allowed=", ".join(SPLITS))
        return [entry for entry in self.entries if entry.split == name]

    def read(self, entry: PairEntry) -> tuple[np.ndarray, np.ndarray]:
        """Return ``features`` (S, D) float32 and ``tokens`` (S',) int64 of a pair."""
        features, tokens, info = read_pair(self.folder / PAIRS / entry.file)
        if info["digest"] != entry.digest:
            raise DatasetError(
                f"{self.folder}: the pair {entry.name} is not the one in {MANIFEST}",
                fix="Run hubert.prepare again; one that was stopped leaves pairs of two kinds",
            )
        return features.astype(np.float32), tokens.astype(np.int64)

    def most_frequent(self, split: str) -> int:
        """Return the token that most frames of a split have: the guess to beat."""
        counts = np.zeros(self.vocabulary, dtype=np.int64)
        for entry in self.split(split):
            with _opened(self.folder / PAIRS / entry.file) as file:  # the features stay on disk
                counts += np.bincount(file.get_tensor("tokens"), minlength=self.vocabulary)
        return int(counts.argmax())

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with any pair, split or setting."""
        text = json.dumps(
            [self.encoder, self.vocabulary, [asdict(entry) for entry in self.entries]]
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def pair_file(name: str) -> str:
    """Return the file name of a pair."""
    return hashlib.sha256(name.encode()).hexdigest()[:24] + ".safetensors"


def write_pair(
    path: Path, features: np.ndarray, tokens: np.ndarray, info: dict[str, str]
) -> PairEntry:
    """Write a pair, whole or not at all.

    Parameters
    ----------
    features : (S, D); kept as float16.
    tokens : (S',)
    info : ``name`` of the pair, its ``split`` where that is known, and what is kept to tell whether
        its sources have changed."""
    arrays: dict[str, np.ndarray] = {
        "features": features.astype(np.float16),
        "tokens": tokens.astype(np.int32),
    }
    digest = hashlib.sha256(arrays["features"].tobytes() + arrays["tokens"].tobytes()).hexdigest()[
        :24
    ]
    text = json.dumps(info | {"digest": digest}, sort_keys=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(arrays, metadata={"info": text}))
    return PairEntry(info["name"], len(features), len(tokens), info.get("split", "train"), digest)


def read_pair(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Read what `write_pair` wrote: features (S, D) float16, tokens (S',) int32 and the info.

    Raises
    ------
    DatasetError
        If the file is damaged.
    """
    with _opened(path) as file:
        info = decode((file.metadata() or {})["info"], dict[str, str], path, DatasetError)
        features, tokens = file.get_tensor("features"), file.get_tensor("tokens")
    digest = hashlib.sha256(features.tobytes() + tokens.tobytes()).hexdigest()[:24]
    if digest != info.get("digest"):
        raise DatasetError(
            f"cannot read {path}", got="damaged content", fix="Run hubert.prepare again"
        )
    return features, tokens, info


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        if isinstance(error, BarkError):
            raise
        raise DatasetError(
            f"cannot read {path}", got=error, fix="Run hubert.prepare again"
        ) from error


def align(
    features: np.ndarray, tokens: np.ndarray, shift: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Pair each token with its frame; both are trimmed at the end to the same length.

    Parameters
    ----------
    features : (S, D)
    tokens : (S',)
    shift : token ``t`` belongs to frame ``t + shift``.

    >>> frames, tokens = align(np.arange(4)[:, None], np.array([10, 11, 12]), shift=1)
    >>> frames.ravel().tolist(), tokens.tolist()
    ([1, 2, 3], [10, 11, 12])
    """
    features, tokens = features[max(0, shift) :], tokens[max(0, -shift) :]
    length = min(len(features), len(tokens))
    return features[:length], tokens[:length]


def collate(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Tensor]:
    """Pad aligned pairs into one batch.

    Returns
    -------
    ``features`` (B, S, D) float32, ``tokens`` (B, S) int64 with `IGNORED` in the padding,
    ``lengths`` (B,)."""
    lengths = [len(tokens) for _, tokens in pairs]
    width, dim = max(lengths), pairs[0][0].shape[1]
    features = np.zeros((len(pairs), width, dim), dtype=np.float32)
    labels = np.full((len(pairs), width), IGNORED, dtype=np.int64)
    for row, (frames, tokens) in enumerate(pairs):
        features[row, : lengths[row]], labels[row, : lengths[row]] = frames, tokens
    return {
        "features": torch.from_numpy(features),
        "tokens": torch.from_numpy(labels),
        "lengths": torch.tensor(lengths),
    }
