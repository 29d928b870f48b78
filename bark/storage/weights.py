"""Named tensors out of a file of weights; nothing that the file asks for is run.

This is the only place that calls `torch.load`. A torch file is a pickle, that is, a program; here
its calls are listed before it is opened, anything but tensors and plain containers is refused by
name, and the few harmless foreign names real checkpoints carry become objects that do nothing."""

import hashlib
import pickletools
import re
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch._utils import IMPORT_MAPPING, NAME_MAPPING

from bark.errors import SHOWN, CheckpointError, MissingFileError, printable

from .files import check_file
from .json import FileName, read_as

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
_MOST_HEADER = 16 << 20  # bytes of data.pkl, or of a safetensors header
_MOST_STEPS = 1_000_000  # of a pickle; large networks with their optimizer take some ten thousand
_MOST_COPIED, _MOST_COPIES = 64 << 20, 16  # bytes, and times the file, that its tensors may take
View = tuple[object, ...]  # see `view_of`
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
    check_file(path)
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
    check_file(path)
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
                f"{path}: entry {printable(name, SHOWN)!r}",
                type(tensor).__name__,
                "a name with a tensor",
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


def _read_safetensors(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if _MOST_HEADER < header <= path.stat().st_size:
        raise CheckpointError(f"{path} has too long a header", header, f"{_MOST_HEADER:,} bytes")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]
            return {name[len(prefix) :]: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file", error, fix="Fetch it again"
        ) from error


class _Index(msgspec.Struct):
    """The list of shards beside the weights of a large model."""

    weight_map: dict[str, FileName]


def shard_names(index: Path) -> list[str]:
    """Return the names of the files that a ``….index.json`` lists; all lie beside it."""
    return sorted(set(read_as(index, _Index).weight_map.values()))


def _shards(index: Path) -> list[Path]:
    shards = [index.parent / name for name in shard_names(index)]
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise MissingFileError(
            f"parts of {index} are missing: {', '.join(missing)}", fix="Fetch them again"
        )
    return shards


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
    steps = 0
    try:
        with _pickle_of(path, legacy) as file:
            for _ in range(_LEGACY_PICKLES if legacy else 1):
                for opcode, argument, _ in pickletools.genops(file):
                    steps += 1
                    if steps > _MOST_STEPS:
                        raise CheckpointError(
                            f"{path} is refused: its pickle has too many steps",
                            allowed=f"{_MOST_STEPS:,}",
                        )
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


def view_of(tensor: torch.Tensor) -> View:
    """Say which bytes a tensor shows, and how: equal for tensors that are tied."""
    start = tensor.untyped_storage().data_ptr()
    return start, tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def _check_size(content: Any, path: Path) -> None:
    """Refuse tensors that take far more memory than the file, such as one number shown 2**40 times.

    Tied tensors take it once. Those that overlap (slices of one array, rows that begin inside the
    row before) take it each, and real files hold some.
    """
    bytes_of = {view_of(t): t.numel() * t.element_size() for t in _tensors(content)}
    most = _MOST_COPIED + _MOST_COPIES * path.stat().st_size
    if (total := sum(bytes_of.values())) > most:
        raise CheckpointError(
            f"{path} is refused: its tensors claim more than the file holds",
            f"{total:,} bytes",
            f"{most:,}",
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
