"""The files of a training run: they survive a kill -9, and a second trainer is kept out."""

import json
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bark.errors import BarkError, CheckpointError, SettingError, StorageError
from bark.extras import from_extra
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.json import Count, decode
from bark.storage.locks import lock, owner

logger = logging.getLogger(__name__)


class _State(msgspec.Struct):
    """Where a run was, as far as it says."""

    step: Count | msgspec.UnsetType = msgspec.UNSET
    best_step: Count | msgspec.UnsetType = msgspec.UNSET
    stale: Count | msgspec.UnsetType = msgspec.UNSET
    best_loss: float | None | msgspec.UnsetType = msgspec.UNSET
    seconds: float | msgspec.UnsetType = msgspec.UNSET
    fingerprint: dict[str, str] = {}
    scaler: dict[str, Any] | None = None


class _Row(msgspec.Struct):
    """What every row of the metrics has, besides its figures."""

    step: Count
    phase: str = ""


BEST = "best.safetensors"
METRICS = "metrics.jsonl"
LOCK = "run.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process; the system lets go of it when the process ends, however
    it ends.

    Raises
    ------
    SettingError
        If another trainer holds it; the message names its process, its machine and since when.
    """
    with lock(folder / LOCK) as mine:
        if not mine:
            raise SettingError(
                f"{folder} is in use by another training run",
                got=owner(folder / LOCK),
                fix="Wait for it to end, or give this run another folder",
            )
        yield


def checkpoints(folder: Path) -> list[Path]:
    """Return a run's checkpoints, oldest first."""
    return sorted(Path(folder).glob("checkpoint-*.safetensors"))


def save_tensors(path: Path, tensors: dict[str, Tensor], run: dict[str, Any]) -> None:
    """Write tensors, the JSON of the run beside them and a checksum over both, whole or not at all.

    Raises
    ------
    StorageError
        If the disk is full or the folder may not be written.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(run)
    with atomic_write(path) as temporary:
        try:
            save_file(ready, temporary, metadata={"run": text, "checksum": _checksum(ready, text)})
        except SafetensorError as error:  # its form of a full disk
            raise StorageError(f"cannot write {path}", got=error) from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    CheckpointError
        If the file is damaged, be it by one bit.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"cannot read {path}", got=error) from error
    text = metadata.get("run", "{}")
    if metadata.get("checksum", _checksum(tensors, text)) != _checksum(tensors, text):
        raise CheckpointError(f"cannot read {path}", got="a checksum that does not fit its content")
    decode(text, _State, f"{path}: run")
    return tensors, decode(text, dict[str, Any], f"{path}: run")


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    """Sum the bytes of all tensors in the order of their names (CRC-32)."""
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        content = tensors[name].reshape(-1).view(torch.uint8)  # any dtype -> its bytes
        total = zlib.crc32(content.numpy().data, total)
    return f"{total:08x}"


class Metrics:
    """Rows of figures in ``metrics.jsonl`` and TensorBoard; rows after the step resumed from are
    dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        with from_extra("train", "training needs tensorboard"):
            from torch.utils.tensorboard import SummaryWriter  # slow, needed only while training

        self.path = folder / METRICS
        rows = [row for row in read_metrics(folder) if row["step"] <= step] if step else []
        atomic_write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, phase: str, step: int, figures: dict[str, float]) -> None:
        """Add one row; a figure that is no number is left out of it."""
        finite = {name: round(value, 6) for name, value in figures.items() if math.isfinite(value)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"phase": phase, "step": step} | finite) + "\n")
        for name, value in finite.items():
            self.board.add_scalar(f"{phase}/{name}", value, step)

    def close(self) -> None:
        """Finish the TensorBoard file."""
        self.board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's ``metrics.jsonl``; a last row cut off by a kill is left out."""
    path = Path(folder) / METRICS
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            decode(line, _Row, path)
            rows.append(decode(line, dict[str, int | float | str], path))
        except BarkError:
            logger.warning("%s: a row that was cut off is left out", path)
    return rows


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's parameters and stored buffers; a tensor shared under two
    names comes once.
    """
    stored = network.state_dict(keep_vars=True)
    named = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name: tensor.detach() for name, tensor in named.items() if name in stored}


@torch.no_grad()
def load_network(network: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Copy `tensors` (as of `network_tensors`) into a network; names and shapes must be the same.

    Raises
    ------
    CheckpointError
        If they are not.
    """
    own = network_tensors(network)
    wrong = sorted(own.keys() ^ tensors.keys())
    wrong += [
        name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape
    ]
    if wrong:
        raise CheckpointError(f"{source} does not fit the network: {', '.join(wrong[:5])}")
    for name, tensor in own.items():
        tensor.copy_(tensors[name])
