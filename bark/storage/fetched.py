"""The record of downloads: a JSON line for each file, with its revision, size and SHA-256."""

import hashlib
import logging
import re
import time
from pathlib import Path

import msgspec

from bark.errors import BarkError, CheckpointError

from .json import decode, encode

MOST_BYTES = 16 << 20

logger = logging.getLogger(__name__)


class Fetched(msgspec.Struct, frozen=True):
    """A file as it was when it had been downloaded."""

    repo: str
    revision: str  # the commit
    file: str
    bytes: int
    sha256: str
    when: str = ""


def note(record: Path, repo: str, file: str, path: Path) -> Fetched:
    """Add a file that was just downloaded to the record; `path` is where the hub's cache shows it.

    Raises
    ------
    CheckpointError
        If its SHA-256 is not the one that the hub gave for it; the file is removed.
    """
    blob = path.resolve()
    with blob.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    # huggingface_hub names a large file's blob by the SHA-256 that the hub told, a small one's by
    # a git hash
    if re.fullmatch("[0-9a-f]{64}", blob.name) and blob.name != digest:
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise CheckpointError(f"{file} of {repo}", f"SHA-256 {digest}", blob.name)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    made = Fetched(repo, _revision(file, path), file, blob.stat().st_size, digest, now)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("ab") as lines:
            lines.write(f"{encode(msgspec.structs.asdict(made))}\n".encode())
    except OSError as error:
        logger.warning("%s cannot be written: %s", record, error.strerror)
    return made


def damage(record: Path, repo: str, file: str, path: Path) -> str:
    """Say how a cached file's size differs from the one it was fetched with; "" if it does not, or
    if somebody else fetched it.
    """
    known = _last(record, repo, _revision(file, path), file)
    size = path.stat().st_size
    if known is None or known.bytes == size:
        return ""
    return f"it has {size:,} bytes, and had {known.bytes:,} when it was fetched"


def _revision(file: str, path: Path) -> str:
    """Return the commit: the cache shows a file as ``snapshots/COMMIT/FILE``."""
    return path.parents[len(Path(file).parts) - 1].name


def _last(record: Path, repo: str, revision: str, file: str) -> Fetched | None:
    try:
        with record.open("rb") as content:
            lines = content.read(MOST_BYTES).splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            known = decode(line, Fetched, record)
        except BarkError:  # torn by a kill
            continue
        if (known.repo, known.revision, known.file) == (repo, revision, file):
            return known
    return None
