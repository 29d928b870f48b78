"""Arrays out of ``.npz`` and ``.npy`` files, read within fixed limits and without pickle."""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from bark.errors import VoiceError

# What is read is a few arrays of a voice: 30 s of speech are 170 kB, a quarter of an hour 5 MB. The
# file may hold more members, which are never unpacked.
MAX_FILE_BYTES = 32 << 20
MAX_MEMBERS = 1024
MAX_NUMBERS = 1 << 20  # in an array
MAX_HEADER_BYTES = 1024
MAX_MEMBER_BYTES = 8 * MAX_NUMBERS + MAX_HEADER_BYTES

_NPY_MAGIC = b"\x93NUMPY"
_ZIP_ENTRY = b"PK\x01\x02"  # begins each entry of a zip's directory
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
    if (count := data.count(_ZIP_ENTRY)) > MAX_MEMBERS:  # before zipfile makes an object of each
        raise VoiceError("has too many members", count, f"up to {MAX_MEMBERS:,}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
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


def member_names(path: Path) -> set[str]:
    """Return what an npz file holds, by its directory alone; nothing of a file that is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except _ZIP_FAULTS:
        return set()


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name, without ``.npy``."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise VoiceError("has two members of one name", name)
        members[name] = info
    return members


def _member_bytes(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> bytes:
    """Unpack one member after checking what the directory promises."""
    if info.flag_bits & 0x1:
        raise VoiceError(f"{name} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise VoiceError(f"{name} is packed by method {info.compress_type}", None, "0 or 8")
    if info.file_size > MAX_MEMBER_BYTES:
        raise VoiceError(
            f"{name} unpacks to too much",
            f"{info.file_size:,} bytes",
            f"up to {MAX_MEMBER_BYTES:,}",
        )
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
    if len(sizes) > 8:
        raise VoiceError(f"{name} has too many dimensions", len(sizes), "1 or 2")
    if max(sizes, default=0) > MAX_NUMBERS or math.prod(sizes) > MAX_NUMBERS:
        raise VoiceError(f"{name} claims an absurd size", sizes, f"up to {MAX_NUMBERS:,} numbers")
    return dtype, fortran[1] == "True", sizes
