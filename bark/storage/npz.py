"""Turns the bytes of an ``.npz`` or ``.npy`` file into arrays, within fixed limits and without
pickle.
"""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from bark.errors import MissingFileError, VoiceError

# A shipped voice is at most 62 kB with three members; one of 30 s is 260 kB, one of 3 min 1.6 MB.
MAX_FILE_BYTES = 8 << 20
MAX_MEMBERS = 16
MAX_MEMBER_BYTES = 8 << 20
MAX_TOTAL_BYTES = 16 << 20
MAX_RATIO = 100  # unpacked : packed bytes
MAX_HEADER_BYTES = 1024

_NPY_MAGIC = b"\x93NUMPY"
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[a-zA-Z]\d*)['"]""")
_FORTRAN = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([-\d\sL,]*)\)""")
# What zipfile and zlib let out on damaged input.
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    IndexError,
    OverflowError,
)


def read_bounded(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes; a pipe or device is never
    opened.
    """
    if not path.exists():
        raise MissingFileError(f"no file {path}")
    if not path.is_file():
        raise VoiceError("is not a regular file")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise VoiceError("cannot be read", error.strerror) from error
    if len(data) > limit:
        raise VoiceError(
            "is too large for a voice", f"{path.stat().st_size:,} bytes", f"up to {limit:,}"
        )
    return data


def read_npz(data: bytes, wanted: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read the arrays named in `wanted` from the bytes of an npz file.

    Returns
    -------
    arrays : those of `wanted` that are there.
    names : every member's name, for messages.
    """
    if not data:
        raise VoiceError("is empty", "0 bytes")
    if data.startswith(_NPY_MAGIC):
        raise VoiceError("is a single .npy array", None, "an .npz with three arrays")
    if not data.startswith(b"PK"):
        raise VoiceError(
            "is not an .npz archive", f"first bytes {data[:8].hex(' ')}", "a zip file (50 4b)"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _checked_members(archive)
            arrays = {
                name: read_npy(_member_bytes(archive, name, info), name)
                for name, info in members.items()
                if name in wanted
            }
    except VoiceError:
        raise
    except _ZIP_FAULTS as error:
        raise VoiceError("is cut short or damaged: its zip directory cannot be read") from error
    return arrays, list(members)


def _checked_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name (without ``.npy``) after checking what the directory promises."""
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise VoiceError("has too many members", len(infos), f"up to {MAX_MEMBERS}")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        shown = ascii(name[:40])
        if name in members:
            raise VoiceError(f"has two members named {shown}")
        if info.flag_bits & 0x1:
            raise VoiceError(f"member {shown} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise VoiceError(
                f"member {shown} is packed by method {info.compress_type}", None, "0 or 8"
            )
        if info.file_size > MAX_MEMBER_BYTES:
            raise VoiceError(
                f"member {shown} unpacks to too much",
                f"{info.file_size:,} bytes",
                f"up to {MAX_MEMBER_BYTES:,}",
            )
        if info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise VoiceError(
                f"member {shown} is packed too densely for speech",
                f"{info.file_size:,} bytes from {info.compress_size:,}",
                f"up to {MAX_RATIO}:1",
            )
        members[name] = info
    if (total := sum(info.file_size for info in infos)) > MAX_TOTAL_BYTES:
        raise VoiceError("unpacks to too much", f"{total:,} bytes", f"up to {MAX_TOTAL_BYTES:,}")
    return members


def _member_bytes(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as member:
            data = member.read()
    except _ZIP_FAULTS as error:
        raise VoiceError(f"{name} is damaged: its bytes do not match their checksum") from error
    if len(data) != info.file_size:
        raise VoiceError(f"{name} is cut short", f"{len(data)} bytes", info.file_size)
    return data


def read_npy(data: bytes, name: str) -> np.ndarray:
    """Read one array from the bytes of an npy file; sizes are checked before anything
    is allocated.
    """
    if not data.startswith(_NPY_MAGIC) or len(data) < 12 or data[6] not in (1, 2, 3):
        raise VoiceError(
            f"{name} is not an npy array", f"first bytes {data[:8].hex(' ')}", _NPY_MAGIC.hex(" ")
        )
    length_bytes = 2 if data[6] == 1 else 4
    start = 8 + length_bytes
    length = int.from_bytes(data[8:start], "little")
    if length > MAX_HEADER_BYTES:
        raise VoiceError(
            f"{name} has too long a header", f"{length:,} bytes", f"up to {MAX_HEADER_BYTES}"
        )
    header = data[start : start + length].decode("latin-1")
    dtype, fortran, shape = _parse_header(header, name)
    body = data[start + length :]
    needed = math.prod(shape) * dtype.itemsize
    if needed != len(body):
        raise VoiceError(
            f"{name} claims shape {shape}, {needed:,} bytes", f"{len(body):,} bytes of data"
        )
    array = np.frombuffer(body, dtype=dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _parse_header(header: str, name: str) -> tuple[np.dtype, bool, tuple[int, ...]]:
    """Read the three entries of an npy header by pattern, so that no text of the file
    is evaluated.
    """
    descr, fortran, shape = _DESCR.search(header), _FORTRAN.search(header), _SHAPE.search(header)
    if fortran is None or shape is None or (descr is None and "descr" not in header):
        raise VoiceError(f"{name} has a broken npy header")
    if descr is not None and descr[1].lstrip("<>|=").startswith("O"):
        raise VoiceError(
            f"{name} holds pickled Python objects, which are never read", None, "integers"
        )
    if descr is None or descr[1].lstrip("<>|=")[0] not in "iuf":
        raise VoiceError(f"{name} holds {descr[1] if descr else 'records'}", None, "integers")
    try:
        dtype = np.dtype(descr[1])
        sizes = tuple(int(size.strip().rstrip("L")) for size in shape[1].split(",") if size.strip())
    except (TypeError, ValueError) as error:
        raise VoiceError(f"{name} has a broken npy header") from error
    if any(size < 0 for size in sizes):
        raise VoiceError(f"{name} claims a negative size", sizes)
    if any(size > MAX_MEMBER_BYTES for size in sizes):
        raise VoiceError(
            f"{name} claims an absurd size", sizes, f"up to {MAX_MEMBER_BYTES:,} bytes"
        )
    if len(sizes) > 8:
        raise VoiceError(f"{name} has too many dimensions", len(sizes), "1 or 2")
    return dtype, fortran[1] == "True", sizes
