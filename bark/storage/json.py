"""JSON that somebody else may have written: bounded first, then decoded into declared types.

Whatever is wrong with it becomes one of our errors, which names the file and the field."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from bark.errors import BarkError, CheckpointError, MissingFileError

from .files import check_start, read_bounded

MOST_BYTES = 64 << 20
KEPT_BYTES = 1 << 20
MOST_DEPTH = 64  # levels of lists and objects

_NAME = r"^(?!\.{1,2}$)[^/\\\x00-\x1f]+$"
FileName = Annotated[str, msgspec.Meta(pattern=_NAME, max_length=255)]  # beside what names it
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]

T = TypeVar("T")
_SCALARS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[^\[\]{}"]++', re.DOTALL)
_FAULT = re.compile(
    r"(?:Expected (?P<allowed>.+?)(?:, got (?P<got>.+?))?|(?P<other>.+?))"
    r"(?: - at (?P<place>`.+`))?",
    re.DOTALL,
)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of any content; `read_as` checks the content too."""
    return read_as(path, dict[str, Any])


def read_as(
    path: Path,
    kind: type[T],
    error: type[BarkError] = CheckpointError,
    most: int = MOST_BYTES,
) -> T:
    """Read a JSON file of at most `most` bytes into a type that msgspec knows.

    Raises
    ------
    MissingFileError
        If there is no such file.
    BarkError
        Of the class `error`, for whatever else is wrong.
    """
    return decode(_content(path, most, error), kind, path, error)


def _content(path: Path, most: int, error: type[BarkError]) -> bytes:
    """Return a file's bytes; those of a small one are kept until it changes.

    A command looks into the same `config.json` for each part of a model.
    """
    found = path.stat() if path.is_file() else None
    if found is None:
        raise MissingFileError(f"no file {path}")
    if found.st_size > min(KEPT_BYTES, most):
        return read_bounded(path, most, error)
    return _kept(path, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=16)
def _kept(path: Path, *identity: int) -> bytes:
    data = path.read_bytes()
    check_start(path, data)
    return data


def decode(
    data: bytes | str, kind: type[T], where: object, error: type[BarkError] = CheckpointError
) -> T:
    """Decode JSON into a type that msgspec knows; `where` stands in the message."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    data = data.removeprefix(b"\xef\xbb\xbf")  # Windows' editors put it before UTF-8
    if _too_deep(data):
        raise error(f"{where} is not JSON", allowed=f"closed brackets, {MOST_DEPTH} levels at most")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as fault:
        raise _refusal(fault, where, error) from fault
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise error(f"{where} is not JSON", fault) from fault


def convert(
    values: Any, kind: type[T], where: object, error: type[BarkError] = CheckpointError
) -> T:
    """Check plain values, such as those of a pickle, against a type that msgspec knows."""
    try:
        return msgspec.convert(values, kind)
    except (msgspec.ValidationError, RecursionError) as fault:
        raise _refusal(fault, where, error, values) from fault


def dataclass_from(
    values: Any,
    kind: type[T],
    limits: Mapping[str, msgspec.Meta],
    where: object,
    error: type[BarkError] = CheckpointError,
) -> T:
    """Make a dataclass of numbers from values that are of its types and within `limits`.

    An unknown name is refused, a missing one has the dataclass's default.
    """
    record = msgspec.defstruct(
        kind.__name__,
        [
            (f.name, Annotated[f.type, limits[f.name]] if f.name in limits else f.type, f.default)
            for f in fields(kind)  # type: ignore[arg-type]
        ],
        forbid_unknown_fields=True,
    )
    return kind(**msgspec.structs.asdict(convert(values, record, where, error)))


def encode(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON text that UTF-8 can hold.

    What is no letter, as in file names that are not UTF-8, is written as its escape."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub("[\ud800-\udfff]", lambda found: rf"\\u{ord(found[0]):04x}", text)


def _too_deep(data: bytes) -> bool:
    """Tell whether brackets are left when the innermost pairs are taken away, level by level."""
    brackets = _SCALARS.sub(b"", data)
    for _ in range(MOST_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return bool(brackets)


def _refusal(
    fault: Exception, where: object, error: type[BarkError], values: Any = None
) -> BarkError:
    """Say in our form what msgspec found wrong."""
    found = _FAULT.fullmatch(str(fault))
    if found is None:
        return error(f"{where} cannot be read", fault)
    place = (found["place"] or "").replace("`", "").replace("$.", "").replace("$", "")
    what = f"{where}: {place}" if place else str(where)
    allowed = found["allowed"] and found["allowed"].replace("`", "")
    if allowed and "matching regex" in allowed:
        allowed = "the name of a file beside it"
    got = (found["other"] or found["got"] or "").replace("`", "") or None
    if not place and allowed == "object":
        return error(f"{where} is not a JSON object", got)
    if isinstance(values, Mapping) and place in values:
        value = values[place]
        return error(what, repr(value) if isinstance(value, str) else value, allowed)
    return error(what, got, allowed)
