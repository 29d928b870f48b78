"""Turns a file of weights into named tensors, and runs nothing that the file asks for.

This is the only place that calls `torch.load`. A torch file is a pickle, that is, a program; here
its calls are listed before it is opened, anything but tensors and plain containers is refused by
name, and the few harmless foreign names real checkpoints carry become objects that do nothing."""

import hashlib
import json
import pickletools
import re
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch._utils import IMPORT_MAPPING, NAME_MAPPING

from bark.errors import CheckpointError, MissingFileError

# numpy numbers such as best_val_loss, under numpy 1's and numpy 2's names; their values are never
# needed.
NUMPY_STAND_INS = (
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
)
# What surrounds the tensors in fairseq's checkpoints; pass it as `stand_ins` to read those.
FAIRSEQ_STAND_INS = (
    "argparse.Namespace",
    "fairseq",
    "omegaconf",
    "typing",
    "_operator.getitem",
    "collections.defaultdict",
    *(
        f"builtins.{name}"
        for name in ("bool", "bytes", "dict", "float", "int", "list", "str", "tuple")
    ),
)
_TENSOR_NAMES = re.compile(
    r"collections\.OrderedDict|_codecs\.encode|builtins\.set|torch\.Size|torch\.device"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.(storage\.)?\w*Storage|torch\.u?(int|float|bfloat|bool|half|double|long)\d*"
)
_CALLS_BY_STACK = frozenset({"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
# torch.save before zip files, torch < 1.6
_LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_PICKLES = 5  # magic, protocol, machine, the object, its storages' names
# times the file's size: tied and overlapping tensors are counted once for each name
_MOST_COPIES = 4
_MOST_HEADER = 64 * 2**20  # bytes of data.pkl
_LOAD_LOCK = threading.Lock()  # torch keeps the names allowed for now in one place for all threads


class _Inert:
    """Stands where a foreign object would be, and does nothing."""

    def __new__(cls, *_args: object) -> "_Inert":
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        return None


def _plain_dict(*_args: object) -> dict[object, object]:
    """Stands for a mapping class: the unpickler fills only plain dictionaries."""
    return {}


def read_torch_file(path: str | Path, stand_ins: Iterable[str] = ()) -> Any:
    """Read what `torch.save` wrote: tensors on the CPU in plain dictionaries and lists.

    Tensors of zip files (torch >= 1.6) are mapped, not read: an optimizer's state beside them costs
    nothing.

    Parameters
    ----------
    stand_ins : further names, or packages, that may occur and become objects that do nothing
        (`FAIRSEQ_STAND_INS`).

    Raises
    ------
    CheckpointError If the file calls anything else, is damaged, is not a torch file, or holds
        tensors larger than itself."""
    path = Path(path)
    _check_file(path)
    with path.open("rb") as file:
        legacy = file.read(4) != b"PK\x03\x04"
    foreign = _foreign_names(path, legacy, (*NUMPY_STAND_INS, *stand_ins))
    aliases: list[Any] = [
        (_plain_dict if name in ("collections.defaultdict", "builtins.dict") else _Inert, name)
        for name in foreign
    ]
    try:
        with _LOAD_LOCK, torch.serialization.safe_globals(aliases):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=not legacy)
    except Exception as error:  # noqa: BLE001  torch lets a dozen unrelated classes out of a damaged file
        # `from None`: torch's text advises switching the protection off
        raise _damaged(path, type(error).__name__) from None
    _check_size(content, path)
    return content


def read_weights(path: str | Path, prefix: str = "") -> dict[str, torch.Tensor]:
    """Read the tensors of a ``.safetensors`` file, a torch file or a sharded ``….index.json``.

    Parameters
    ----------
    prefix : read only names that begin so, and take it off.

    Returns
    -------
    name → tensor, in the file's type, mapped from the file where possible.
    """
    path = Path(path)
    _check_file(path)
    if path.name.endswith(".index.json"):
        merged: dict[str, torch.Tensor] = {}
        for shard in _shards(path):
            merged.update(read_weights(shard, prefix))
        return merged
    if path.suffix == ".safetensors":
        return _read_safetensors(path, prefix)
    content = read_torch_file(path)
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    return tensors_of(content, path, prefix)


def tensors_of(state: Any, path: Path, prefix: str = "") -> dict[str, torch.Tensor]:
    """Check that `state` maps names to tensors; return those under `prefix`, without it."""
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(
            f"{path} holds no weights", type(state).__name__, "a dictionary of tensors"
        )
    tensors = {}
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise CheckpointError(
                f"{path}: entry {str(name)[:80]!r}", type(tensor).__name__, "a name with a tensor"
            )
        if name.startswith(prefix):
            tensors[name[len(prefix) :]] = tensor.detach()
    return tensors


def weights_digest(network: torch.nn.Module) -> str:
    """Return 16 hex digits that change with any weight of a network."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any]:
    """Read a small JSON object such as a ``config.json``."""
    _check_file(path)
    if path.stat().st_size > _MOST_HEADER:
        raise CheckpointError(f"{path} is too large", path.stat().st_size, f"{_MOST_HEADER} bytes")
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON", error) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object", type(content).__name__)
    return content


def _read_safetensors(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]
            return {name[len(prefix) :]: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file", error, fix="Fetch it again"
        ) from error


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise CheckpointError(f"{index} lists no weights", fix="Fetch it again")
    shards = sorted(set(names.values()))
    for name in shards:
        if Path(name).name != name or "\\" in name:
            raise CheckpointError(f"{index} names a file outside its folder", repr(name))
    missing = [name for name in shards if not (index.parent / name).is_file()]
    if missing:
        raise MissingFileError(
            f"parts of {index} are missing", ", ".join(missing), fix="Fetch them again"
        )
    return [index.parent / name for name in shards]


def _check_file(path: Path) -> None:
    """Refuse what is absent, empty or a web page before a decoder sees it."""
    if not path.is_file():
        raise MissingFileError(f"no such file: {path}")
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if not start:
        raise CheckpointError(f"{path} is empty", fix="Delete it and fetch it again")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path} is a web page, not weights", fix="Delete it and fetch it again"
        )
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the weights", fix="Run `git lfs pull` in its folder"
        )


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged, cut short or no file of torch.save",
        reason,
        fix="Compare its size with the original's, or fetch it again",
    )


def _foreign_names(path: Path, legacy: bool, stand_ins: tuple[str, ...]) -> list[str]:
    """List the names of a torch file that need a stand-in; refuse the file if one is not in
    `stand_ins`.
    """
    foreign = set()
    for name in _global_names(path, legacy):
        if any(name == known or name.startswith(f"{known}.") for known in stand_ins):
            foreign.add(name)
        elif not _TENSOR_NAMES.fullmatch(name):
            if name.startswith("fairseq."):
                fix = "It is a checkpoint of fairseq; if of HuBERT, hubert.HubertFeatures reads it"
            else:
                fix = "Ask its author for the weights as .safetensors"
            raise CheckpointError(
                f"{path} is refused: besides weights it calls {name!r}",
                allowed="tensors, numbers, text, lists and dictionaries",
                fix=fix,
            )
    return sorted(foreign)


def _global_names(path: Path, legacy: bool) -> Iterator[str]:
    """Yield each name the file's pickle refers to, as ``module.name``; nothing is executed."""
    try:
        with _pickle_of(path, legacy) as file:
            for _ in range(_LEGACY_PICKLES if legacy else 1):
                for opcode, argument, _ in pickletools.genops(file):
                    if opcode.name in _CALLS_BY_STACK:
                        raise CheckpointError(
                            f"{path} is refused: its pickle hides what it calls ({opcode.name})",
                            allowed="what torch.save writes by default",
                        )
                    if opcode.name == "GLOBAL":
                        yield _modern_name(*str(argument).split(" ", 1))
    except CheckpointError:
        raise
    except (
        Exception
    ) as error:  # a damaged archive raises as many classes as there are places to damage
        raise _damaged(path, type(error).__name__) from error


def _modern_name(module: str, name: str) -> str:
    """Spell a name as the unpickler will: Python 2's ``__builtin__.unicode`` is
    ``builtins.str``.
    """
    if (module, name) in NAME_MAPPING:
        module, name = NAME_MAPPING[(module, name)]
    elif module in IMPORT_MAPPING:
        module = IMPORT_MAPPING[module]
    return f"{module}.{name}"


@contextmanager
def _pickle_of(path: Path, legacy: bool) -> Iterator[IO[bytes]]:
    """Open the pickle inside a torch file."""
    if legacy:
        with path.open("rb") as file:
            if file.read(len(_LEGACY_MAGIC)) != _LEGACY_MAGIC:
                raise _damaged(path, "unknown first bytes")
            file.seek(0)
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        pickles = [
            m for m in members if m.filename.count("/") == 1 and m.filename.endswith("/data.pkl")
        ]
        if len(pickles) != 1 or pickles[0].file_size > _MOST_HEADER:
            raise _damaged(path, "not exactly one data.pkl of reasonable size")
        packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise CheckpointError(
                f"{path} is refused: compressed member {packed[0]!r}", allowed="stored members"
            )
        with archive.open(pickles[0]) as file:
            yield file


def _check_size(content: Any, path: Path) -> None:
    """Refuse tensors that claim more than the file holds, such as one number repeated
    2**40 times.
    """
    size = path.stat().st_size
    total = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(content))
    if total > _MOST_COPIES * size:
        raise CheckpointError(
            f"{path} is refused: its tensors claim more than the file holds",
            f"{total} bytes of tensors in {size} bytes of file",
            f"{_MOST_COPIES} times the file",
        )


def _tensors(content: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor inside nested containers, each container once."""
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, (Mapping, list, tuple, set)) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend(item.values() if isinstance(item, Mapping) else item)
