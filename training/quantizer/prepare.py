"""Turns pairs of audio and semantic tokens into a data set with HuBERT features, ready for
`hubert.train`.

    python -m hubert.prepare DIR [--out DIR] [--hubert nano]

Finished pairs are kept: an interrupted run goes on where it stopped, and one bad file costs one
pair."""

import argparse
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm import tqdm

from bark import commandline
from bark.audio.read import load_audio
from bark.commandline import OneLineParser, number, say, whole
from bark.errors import BarkError, MissingFileError, SettingError, StorageError
from bark.storage.atomic import atomic_write_text
from bark.storage.npz import read_npy
from bark.storage.weights import read_json, weights_digest
from bark.tokens import BARK

from .dataset import (
    MAX_DIFFERENCE,
    PAIRS,
    DatasetError,
    PairEntry,
    PreparedDataset,
    pair_file,
    read_pair,
    split_of,
    write_pair,
)
from .pair_sources import MAX_AUDIO_BYTES, Found, Source, find_pairs, read_tokens
from .synthesize import SYNTHESIS, TAKES

logger = logging.getLogger(__name__)

REFUSED = "refused.txt"
SAMPLE_RATE = 16_000  # Hz, what HuBERT hears
MAX_SECONDS = 60.0


@dataclass(frozen=True)
class PrepareOptions:
    """How pairs become a data set."""

    vocabulary: int = BARK.semantic_vocab  # tokens are below it
    validation: float = 0.1  # share of pairs
    test: float = 0.1  # share of pairs
    # share of pairs above which the data are taken to be wrong as a whole
    max_refused: float = 0.05
    progress: bool = False  # show a bar

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
    leaders = _first_with_the_text(folder, sorted(found.pairs))
    for name in tqdm(found.pairs, disable=not options.progress, unit="pair"):
        split = split_of(leaders.get(name, name), options.validation, options.test)
        try:
            entry, dim, fresh = _prepare_pair(name, split, found, out, features, encoder, options)
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
    entries.sort(key=lambda entry: entry.name)
    dataset = PreparedDataset(out, encoder, next(iter(dims)), options.vocabulary, tuple(entries))
    dataset.save()
    return PrepareReport(dataset, found.layout, len(entries) - kept, kept, tuple(refused))


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
    split: str,
    found: Found,
    out: Path,
    features: Callable[[np.ndarray], np.ndarray],
    encoder: dict[str, Any],
    options: PrepareOptions,
) -> tuple[PairEntry, int, bool]:
    """Return a pair's entry, the width of its features, and whether they were computed now."""
    heard, token_source = found.pairs[name]
    path = out / PAIRS / pair_file(name)
    info = {"name": name, "split": split, "sources": f"{heard.stamp} {token_source.stamp}"}
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
            # The split is not kept but looked up: it costs nothing, and other shares may have been
            # asked for.
            if {**known, "split": split, "digest": ""} == {**info, "digest": ""}:
                entry = PairEntry(name, len(earlier), len(tokens), split, known["digest"])
                return entry, earlier.shape[1], False
    frames = _ready_features(heard) if heard_is_ready(heard) else features(_audio(heard, out))
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


def _audio(source: Source, out: Path) -> np.ndarray:
    """Return a source's audio (N,) float32 at 16 kHz; a member of an archive goes through a scratch
    file.
    """
    if not source.member:
        return load_audio(source.path, SAMPLE_RATE, max_seconds=MAX_SECONDS)
    scratch = out / f".scratch{PurePosixPath(source.member).suffix.lower()}"
    data = source.read(MAX_AUDIO_BYTES)
    try:
        scratch.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(data)
        return load_audio(scratch, SAMPLE_RATE, max_seconds=MAX_SECONDS)
    except OSError as error:
        if isinstance(error, BarkError):
            raise
        raise StorageError(f"cannot write {scratch}", got=error.strerror) from error
    finally:
        scratch.unlink(missing_ok=True)


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


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog="python -m hubert.prepare",
        description="Make a training data set: pair audio with tokens by file stem, compute "
        "HuBERT features.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument(
        "folder", type=Path, help="pairs of audio and tokens, or gitmylo's folders of zips"
    )
    parser.flag("--out", commandline.FOLDER, "folder of the data set (default: the same folder)")
    parser.flag(
        "--hubert", commandline.MODEL, "nano, a folder, a file or a hub id (default: HuBERT base)"
    )
    parser.flag("--layer", whole(0), "HuBERT layer (default: the model's own, 9 for HuBERT base)")
    parser.flag(
        "--vocabulary",
        whole(1),
        "number of tokens (default: what hubert.synthesize noted, else 10000)",
    )
    share = number(0, 1)
    parser.flag("--validation", share, "share of pairs (default: 0.1)", 0.1)
    parser.flag("--test", share, "share of pairs (default: 0.1)", 0.1)
    parser.flag("--max-refused", share, "share of bad pairs to live with (default: 0.05)", 0.05)
    parser.flag("--device", commandline.DEVICE, "auto, cpu, cuda or mps (default: auto)", "auto")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if a data set was made."""
    return commandline.run("prepare", lambda: _work(argv))


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        say(summary(_run(arguments)))
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(
            "Finished pairs are kept: give the same command again."
        ) from interrupt
    return 0


def _run(arguments: argparse.Namespace) -> PrepareReport:
    from bark.devices import choose_device
    from hubert.features import HUB_REPO, HubertFeatures

    if not arguments.folder.is_dir():
        raise MissingFileError(f"no folder {arguments.folder}")
    name = arguments.hubert or HUB_REPO
    features = HubertFeatures.from_pretrained(
        name, arguments.layer, device=choose_device(arguments.device)
    )
    options = PrepareOptions(
        vocabulary=arguments.vocabulary or vocabulary_of(arguments.folder),
        validation=arguments.validation,
        test=arguments.test,
        max_refused=arguments.max_refused,
    )
    encoder = {"hubert": name, "layer": features.layer, "weights": weights_digest(features.network)}
    out = Path(arguments.out or arguments.folder)
    return prepare(
        arguments.folder, out, features, encoder, replace(options, progress=sys.stderr.isatty())
    )


if __name__ == "__main__":
    sys.exit(main())
