"""Writes a complete model folder: a base model with one stage's new weights."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from bark.convert import convert
from bark.errors import BarkError, StorageError
from bark.stages.gpt import GPTConfig
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.json import read_json
from bark.storage.weights import read_weights


def export_model(
    base: str | Path, stage: str, config: GPTConfig, weights: Mapping[str, Tensor], target: Path
) -> Path:
    """Write `base` with one stage replaced, in our format; an earlier export at `target` gives way
    at once.

    Parameters
    ----------
    base : model name, folder or hub id: gives the other stages, codec, tokenizer, voices and, if it
        has its own, HuBERT.
    weights : of the stage, under Bark's names; stored in the dtype of the base's stage.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export.", dir=target.parent) as temporary:
            folder = convert(base, Path(temporary) / "model", "ours")
            _replace_stage(folder, stage, config, weights)
            if target.exists():
                os.rename(target, Path(temporary) / "earlier")
            os.rename(folder, target)
    except OSError as error:
        if isinstance(error, BarkError):
            raise
        raise StorageError(f"cannot write {target}", error.strerror or error) from error
    return target


def _replace_stage(
    folder: Path, stage: str, config: GPTConfig, weights: Mapping[str, Tensor]
) -> None:
    path = folder / f"{stage}.safetensors"
    stored = next(iter(read_weights(path).values())).dtype
    with atomic_write(path) as file:
        ready = {name: tensor.to(stored).contiguous() for name, tensor in weights.items()}
        save_file(ready, file, metadata={"format": "pt"})
    content = read_json(folder / "config.json")
    content |= {"name": f"{content['name']}, {stage} fine-tuned", stage: asdict(config)}
    atomic_write_text(folder / "config.json", json.dumps(content, indent=2) + "\n")
