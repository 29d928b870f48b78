"""Makes the data set a quantizer is trained on: pairs of HuBERT features and semantic tokens.

Finished pairs are kept: an interrupted run goes on where it stopped, and one bad file costs one
pair."""

import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bark.audio.read import load_audio
from bark.errors import BarkError, SettingError, StorageError
from bark.storage.atomic import atomic_write_text
from bark.storage.json import read_json
from bark.storage.npz import read_npy
from bark.tokens import BARK
from training.engine.progress import SILENT, Progress
from training.engine.splits import split_by_hash

from .dataset import (
    MAX_DIFFERENCE,
    PAIRS,
    DatasetError,
    PairEntry,
    PreparedDataset,
    pair_file,
    read_pair,
    write_pair,
)
from .pair_sources import MAX_AUDIO_BYTES, Found, Source, find_pairs, read_tokens
from .synthesize import SYNTHESIS, TAKES

logger = logging.getLogger(__name__)

REFUSED = "refused.txt"
SAMPLE_RATE = 16_000  # Hz, HuBERT's
MAX_SECONDS = 60.0


@dataclass(frozen=True)
class PrepareOptions:
    """How pairs become a data set."""

    vocabulary: int = BARK.semantic_vocab  # tokens are below it
    validation: float = 0.1  # share of pairs
    test: float = 0.1  # share of pairs
    # share of pairs above which the data are taken to be wrong as a whole
    max_refused: float = 0.05

    def __post_init__(self) -> None:
        for name in ("validation", "test", "max_refused"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(name, got=getattr(self, name), allowed="a share from 0 to 1")
        if self.validation + self.test >= 1:
            shares = f"{self.validation} + {self.test}"
            raise SettingError("validation and test together", got=shares, allowed="less than 1")


@dataclass(frozen=True)
class PrepareReport:
    """What became of the material."""

    dataset: PreparedDataset
    layout: str  # how the material was laid out
    computed: int  # pairs made by this run
    kept: int  # pairs found finished
    refused: tuple[tuple[str, str], ...]  # (name, reason)


def prepare(
    folder: Path,
    out: Path,
    features: Callable[[np.ndarray], np.ndarray],
    encoder: dict[str, Any],
    options: PrepareOptions | None = None,
    progress: Progress = SILENT,
) -> PrepareReport:
    """Make a data set of all pairs below `folder`.

    Parameters
    ----------
    folder : Path
        Material in any layout `find_pairs` knows.
    out : Path
        Where the data set goes; may be the same folder.
    features : callable
        (N,) float32 at 16 kHz → (S, D) float32, such as `HubertFeatures`.
    encoder : dict
        Says which features these are; pairs made with other ones are made again.

    Raises
    ------
    MissingFileError If there is no material. DatasetError If no pair can be used, or more than
        ``max_refused`` of them cannot; ``refused.txt`` has each reason. StorageError If the disk is
        full; finished pairs are kept."""
    options = options or PrepareOptions()
    found = find_pairs(folder, skip=out)
    refused = list(found.refused)
    entries: list[PairEntry] = []
    dims: Counter[int] = Counter()
    kept = 0
    with progress.task("preparing", len(found.pairs), "pair") as advance:
        for name in found.pairs:
            advance(1)
            try:
                entry, dim, fresh = _prepare_pair(name, found, out, features, encoder, options)
            except StorageError as error:
                raise _full(error, out, len(entries)) from error
            except BarkError as error:
                refused.append((name, str(error)))
                continue
            entries.append(entry)
            dims[dim] += 1
            kept += not fresh
    atomic_write_text(out / REFUSED, "".join(f"{name}\t{reason}\n" for name, reason in refused))
    _check(folder, out, entries, refused, dims, options)
    entries = _with_splits(folder, entries, options)
    dataset = PreparedDataset(out, encoder, next(iter(dims)), options.vocabulary, tuple(entries))
    dataset.save()
    return PrepareReport(dataset, found.layout, len(entries) - kept, kept, tuple(refused))


def _with_splits(
    folder: Path, entries: list[PairEntry], options: PrepareOptions
) -> list[PairEntry]:
    """Return the pairs sorted by name, each with its split."""
    entries = sorted(entries, key=lambda entry: entry.name)
    leaders = _first_with_the_text(folder, [entry.name for entry in entries])
    sizes = Counter(leaders.get(entry.name, entry.name) for entry in entries)
    shares = {"test": options.test, "validation": options.validation}
    splits = split_by_hash(sizes, shares, rest="train")
    return [replace(entry, split=splits[leaders.get(entry.name, entry.name)]) for entry in entries]


def _first_with_the_text(folder: Path, names: list[str]) -> dict[str, str]:
    """Return for each take of `hubert.synthesize` the first one of the same text.

    Their splits are one, or a quantizer would be tested on sentences that it was trained on.
    """
    leaders: dict[str, str] = {}
    first: dict[str, str] = {}
    for name in names:
        note = folder / TAKES / f"{name}.json"
        if note.is_file():
            leaders[name] = first.setdefault(str(read_json(note).get("text")), name)
    return leaders


def _prepare_pair(
    name: str,
    found: Found,
    out: Path,
    features: Callable[[np.ndarray], np.ndarray],
    encoder: dict[str, Any],
    options: PrepareOptions,
) -> tuple[PairEntry, int, bool]:
    """Return a pair's entry, its split not chosen yet, the width of its features, and whether they
    were computed now.
    """
    heard, token_source = found.pairs[name]
    path = out / PAIRS / pair_file(name)
    info = {"name": name, "sources": f"{heard.stamp} {token_source.stamp}"}
    info |= {"encoder": str(sorted(encoder.items()))}
    tokens = read_tokens(token_source)
    if tokens.min() < 0 or tokens.max() >= options.vocabulary:
        raise DatasetError(
            "tokens of another vocabulary",
            got=f"{tokens.min()} to {tokens.max()}",
            allowed=f"0 to {options.vocabulary - 1}",
        )
    if path.is_file():
        try:
            earlier, _, known = read_pair(path)
        except DatasetError as error:
            logger.warning("%s; made anew", error)
        else:
            if info == {key: known.get(key) for key in info}:
                entry = PairEntry(name, len(earlier), len(tokens), "train", known["digest"])
                return entry, earlier.shape[1], False
    frames = _ready_features(heard) if heard_is_ready(heard) else features(_audio(heard))
    if not np.isfinite(frames).all() or np.abs(frames).max() > np.finfo(np.float16).max:
        raise DatasetError("features hold NaN, infinite or absurdly large values")
    if abs(len(frames) - len(tokens)) > MAX_DIFFERENCE:
        raise DatasetError(
            "audio and tokens differ in length",
            got=f"{len(frames)} frames, {len(tokens)} tokens",
            allowed=f"up to {MAX_DIFFERENCE} apart",
        )
    return write_pair(path, frames, tokens, info), frames.shape[1], True


def heard_is_ready(source: Source) -> bool:
    """Tell whether a source holds features already, as gitmylo's ``ready`` folder does."""
    return PurePosixPath(source.member or source.path.name).suffix.lower() == ".npy"


def _ready_features(source: Source) -> np.ndarray:
    frames = read_npy(source.read(MAX_AUDIO_BYTES), str(source))
    if frames.ndim == 3 and frames.shape[0] == 1:
        frames = frames[0]  # (1, S, D) -> (S, D)
    if frames.ndim != 2 or not np.issubdtype(frames.dtype, np.floating) or 0 in frames.shape:
        shown = f"{frames.dtype} {frames.shape}"
        raise DatasetError(f"{source} holds no features", got=shown, allowed="floats (S, D)")
    return frames


def _audio(source: Source) -> np.ndarray:
    """Return a source's audio (N,) float32 at 16 kHz; a member of an archive goes through a
    temporary file.
    """
    if not source.member:
        return load_audio(source.path, SAMPLE_RATE, max_seconds=MAX_SECONDS)
    data = source.read(MAX_AUDIO_BYTES)
    suffix = PurePosixPath(source.member).suffix.lower()
    try:
        with tempfile.TemporaryDirectory(prefix="hubert.prepare.") as folder:
            scratch = Path(folder) / f"member{suffix}"
            scratch.write_bytes(data)
            return load_audio(scratch, SAMPLE_RATE, max_seconds=MAX_SECONDS)
    except OSError as error:
        if isinstance(error, BarkError):
            raise
        where = tempfile.gettempdir()
        raise StorageError(f"cannot write a temporary file in {where}", error.strerror) from error


def _full(error: StorageError, out: Path, finished: int) -> StorageError:
    free = shutil.disk_usage(out if out.is_dir() else out.parent).free / 1e6
    return StorageError(
        str(error),
        fix=f"{free:.0f} MB are free; make room and run it again: {finished} pairs are finished",
    )


def _check(
    folder: Path,
    out: Path,
    entries: list[PairEntry],
    refused: list[tuple[str, str]],
    dims: Counter[int],
    options: PrepareOptions,
) -> None:
    """Stop where the data as a whole cannot be meant."""
    total = len(entries) + len(refused)
    first = f"{refused[0][0]}: {refused[0][1]}" if refused else ""
    if not entries:
        raise DatasetError(f"none of {total} pairs in {folder} can be used, the first: {first}")
    if len(dims) > 1:
        raise DatasetError(
            f"features of different widths in {folder}", got=dict(dims), allowed="one width"
        )
    if len(refused) > options.max_refused * total:
        raise DatasetError(
            f"{len(refused)} of {total} pairs in {folder} cannot be used",
            allowed=f"{options.max_refused:.0%}",
            fix=f"See {out / REFUSED}; the first: {first}. Repair them, or raise --max-refused",
        )


def summary(report: PrepareReport) -> str:
    """Tell in a few lines what became of the material."""
    dataset = report.dataset
    minutes = sum(entry.frames for entry in dataset.entries) / 50 / 60
    splits = Counter(entry.split for entry in dataset.entries)
    lines = [
        f"{len(dataset.entries)} pairs, {minutes:.1f} min ({report.layout}): "
        f"{report.computed} computed, {report.kept} kept from before",
        ", ".join(f"{splits[name]} {name}" for name in ("train", "validation", "test"))
        + f"; features {dataset.feature_dim} wide, {dataset.vocabulary} tokens",
    ]
    kinds = Counter(reason.split(":")[0] for _, reason in report.refused)
    lines += [f"refused {count}: {reason}" for reason, count in kinds.most_common()]
    if report.refused:
        lines.append(f"each of them: {dataset.folder / REFUSED}")
    if splits["validation"] == 0:
        lines.append(
            "no validation pairs: hubert.train needs some; add pairs or raise --validation"
        )
    return "\n".join(lines)


def vocabulary_of(folder: Path) -> int:
    """Return the vocabulary `hubert.synthesize` noted in a folder, else Bark's 10 000."""
    path = folder / SYNTHESIS
    return (
        int(read_json(path).get("semantic_vocab", BARK.semantic_vocab))
        if path.is_file()
        else BARK.semantic_vocab
    )
