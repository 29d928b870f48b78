"""Finds pairs of audio and tokens in a folder, however it is laid out, by their stems.

Archives are strangers' work: their members are read one at a time, into memory and within fixed
limits, and nothing is ever written under a name an archive gives. What cannot be paired or trusted
is returned with the reason."""

import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from bark.errors import BarkError, MissingFileError
from bark.storage.npz import read_npy, read_npz

from .dataset import PAIRS, DatasetError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a", ".aac", ".webm"})
TOKEN_SUFFIXES = frozenset({".npy", ".npz"})
TOKEN_KEYS = ("semantic_prompt", "semantic", "semantic_tokens", "tokens", "arr_0")

MAX_ARCHIVE_MEMBERS = 100_000
MAX_TOKEN_BYTES = 1 << 20  # an hour of tokens is 1.4 MB as int64; an utterance is 6 kB
MAX_AUDIO_BYTES = 256 << 20
MAX_RATIO = 200  # unpacked : packed; only silence packs so densely
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


@dataclass(frozen=True)
class Source:
    """A file, or a member of an archive, that is read when its turn comes."""

    path: Path
    member: str = ""  # its name in the archive, used to find it there and for messages
    size: int = 0  # bytes
    stamp: str = ""  # changes when the content does

    def __str__(self) -> str:
        return f"{self.path.name}:{self.member}" if self.member else str(self.path)

    def read(self, limit: int) -> bytes:
        """Return the content.

        Raises
        ------
        DatasetError
            If there are more than `limit` bytes, or they are damaged.
        """
        if self.size > limit:
            raise DatasetError(
                f"{self} is too large", got=f"{self.size:,} bytes", allowed=f"up to {limit:,}"
            )
        try:
            if not self.member:
                return self.path.read_bytes()
            with _archive(self.path, self.path.stat().st_mtime_ns).open(self.member) as file:
                data = file.read(limit + 1)
        except _ZIP_FAULTS as error:
            raise DatasetError(f"{self} cannot be read", got=error) from error
        if len(data) > limit:
            raise DatasetError(
                f"{self} unpacks to more than it says", allowed=f"up to {limit:,} bytes"
            )
        return data


@lru_cache(maxsize=8)
def _archive(path: Path, _changed: int) -> zipfile.ZipFile:
    """Return an archive that stays open: reading the list of its members takes as long as many
    members do.
    """
    return zipfile.ZipFile(path)


@dataclass
class Found:
    """What a folder of training material holds."""

    layout: str  # "archives", "prepared", "ready" or "plain"
    pairs: dict[str, tuple[Source, Source]] = field(
        default_factory=dict
    )  # name → (audio or features, tokens)
    refused: list[tuple[str, str]] = field(default_factory=list)  # (name, reason)


def find_pairs(folder: Path, skip: Path | None = None) -> Found:
    """Look for pairs in gitmylo's three layouts and in plain folders.

    In this order: ``semantic/*.zip`` with ``wav/*.zip``; ``prepared/<i>_wav.wav`` with
    ``<i>_semantic.npy``; ``ready/<i>_semantic_features.npy`` with ``<i>_semantic.npy``; any audio
    file with the ``.npy`` or ``.npz`` of the same stem, in any folder below. The first layout that
    is there is taken, since the others hold the same utterances again.

    Parameters
    ----------
    skip : a folder of our own output, left out of the search.

    Raises
    ------
    MissingFileError
        If the folder does not exist or holds no pair and nothing that could be one.
    """
    if not folder.is_dir():
        raise MissingFileError(f"no folder {folder}")
    archives = [
        path for kind in ("semantic", "wav") for path in sorted((folder / kind).glob("*.zip"))
    ]
    if archives:
        found = _pair("archives", _archive_members(archives))
    elif _any(folder / "prepared", "*_wav.*"):
        found = _pair("prepared", _files(folder / "prepared", None))
    elif _any(folder / "ready", "*_semantic_features.npy"):
        found = _pair("ready", _files(folder / "ready", None))
    else:
        found = _pair("plain", _files(folder, skip))
    if not found.pairs and not found.refused:
        raise MissingFileError(
            f"{folder} holds no training pairs",
            allowed="audio files beside .npy or .npz tokens of the same stem, or gitmylo's folders",
        )
    return found


def read_tokens(source: Source) -> np.ndarray:
    """Return semantic tokens (S,) int64 of an ``.npy``, or of an ``.npz`` such as a voice.

    Raises
    ------
    BarkError
        If there are none, or the file is no such array.
    """
    data = source.read(MAX_TOKEN_BYTES)
    if PurePosixPath(source.member or source.path.name).suffix.lower() == ".npz":
        arrays, names = read_npz(data, TOKEN_KEYS)
        found = [arrays[key] for key in TOKEN_KEYS if key in arrays]
        if not found:
            raise DatasetError(
                f"{source} holds no tokens", got=", ".join(names), allowed=", ".join(TOKEN_KEYS)
            )
        tokens = found[0]
    else:
        tokens = read_npy(data, str(source))
    if tokens.ndim == 2 and tokens.shape[0] == 1:
        tokens = tokens[0]  # (1, S) -> (S,)
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        shown = f"{tokens.dtype} {tokens.shape}"
        raise DatasetError(f"{source} holds no token sequence", got=shown, allowed="integers (S,)")
    if len(tokens) == 0:
        raise DatasetError(f"{source} holds no tokens", got="an empty array")
    return tokens.astype(np.int64)


def _any(folder: Path, pattern: str) -> bool:
    return folder.is_dir() and next(folder.glob(pattern), None) is not None


def _key(path: PurePosixPath) -> tuple[str, str] | None:
    """Return a file's pair name and whether it is "heard" (audio, or features of it)
    or "tokens".
    """
    stem, suffix = unicodedata.normalize("NFC", path.stem), path.suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        return stem.removesuffix("_wav"), "heard"
    if suffix not in TOKEN_SUFFIXES:
        return None
    if stem.endswith("_semantic_features"):
        return stem.removesuffix("_semantic_features"), "heard"
    return stem.removesuffix("_semantic"), "tokens"


def _files(folder: Path, skip: Path | None) -> Iterator[tuple[str, str, Source | str]]:
    """Yield name, kind and source of each file that could be half of a pair."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        ours = skip is not None and path.is_relative_to(skip / PAIRS)
        key = _key(PurePosixPath(path.name))
        if hidden or ours or key is None or not path.is_file():
            continue
        try:
            path.name.encode()
        except UnicodeEncodeError:
            yield ascii(path.name), "refused", "the file's name is not UTF-8"
            continue
        status = path.stat()
        stamp = f"{status.st_size}-{status.st_mtime_ns}"
        yield key[0], key[1], Source(path, size=status.st_size, stamp=stamp)


def _archive_members(archives: list[Path]) -> Iterator[tuple[str, str, Source | str]]:
    """Yield name, kind and source of each member; a refused archive or member comes with its
    reason.
    """
    for path in archives:
        shown = f"{path.parent.name}/{path.name}"
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
            _check_archive(infos)
        except (BarkError, *_ZIP_FAULTS, ValueError) as error:
            yield shown, "refused", f"archive refused: {error}"
            continue
        for info in infos:
            inner = PurePosixPath(info.filename)
            hidden = any(
                part.startswith((".", "__")) for part in inner.parts
            )  # what macOS packs beside
            if info.is_dir() or hidden:
                continue
            key = _key(inner)
            if key is None:
                yield f"{path.stem}/{info.filename}", "refused", "neither audio nor tokens"
                continue
            if info.file_size > min(MAX_AUDIO_BYTES, MAX_RATIO * max(1, info.compress_size)):
                reason = (
                    f"unpacks to too much: {info.file_size:,} bytes from {info.compress_size:,}"
                )
                yield f"{path.stem}/{info.filename}", "refused", reason
                continue
            stamp = f"{info.file_size}-{info.CRC:08x}"
            source = Source(path, info.filename, info.file_size, stamp)
            yield f"{path.stem}/{key[0]}", key[1], source


def _check_archive(infos: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive that no honest tool would write.

    Raises
    ------
    DatasetError If it names paths outside itself, holds links, one name twice, locked or
        overlapping members."""
    if len(infos) > MAX_ARCHIVE_MEMBERS:
        raise DatasetError(
            "too many members", got=len(infos), allowed=f"up to {MAX_ARCHIVE_MEMBERS:,}"
        )
    seen: set[str] = set()
    for info in infos:
        name, shown = info.filename, ascii(info.filename[:60])
        outside = PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts
        windows = PureWindowsPath(name)
        if outside or windows.drive or windows.root or ".." in windows.parts:
            raise DatasetError(f"member {shown} names a path outside the archive")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DatasetError(f"member {shown} is a link")
        if name in seen:
            raise DatasetError(f"two members are named {shown}")
        seen.add(name)
        if info.flag_bits & 0x1:
            raise DatasetError(f"member {shown} is encrypted")
    starts = sorted((info.header_offset, info.compress_size) for info in infos)
    for (start, size), (following, _) in zip(starts, starts[1:], strict=False):
        if start + size > following:
            raise DatasetError("members overlap each other")


def _pair(layout: str, halves: Iterator[tuple[str, str, Source | str]]) -> Found:
    """Join halves by name; what is left over, or there twice, is refused."""
    found = Found(layout)
    kinds: dict[str, dict[str, list[Source]]] = {}
    for name, kind, source in halves:
        if isinstance(source, str):
            found.refused.append((name, source))
        else:
            kinds.setdefault(name, {}).setdefault(kind, []).append(source)
    for name in sorted(kinds):
        heard, tokens = kinds[name].get("heard", []), kinds[name].get("tokens", [])
        if len(heard) == 1 and len(tokens) == 1:
            found.pairs[name] = (heard[0], tokens[0])
        elif not tokens:
            found.refused.append((name, f"no tokens for {heard[0]}"))
        elif not heard:
            found.refused.append((name, f"no audio for {tokens[0]}"))
        else:
            twice = " and ".join(map(str, heard if len(heard) > 1 else tokens))
            found.refused.append((name, f"the same stem twice: {twice}"))
    return found
