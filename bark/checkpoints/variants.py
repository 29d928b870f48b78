"""What forks, older code and fine-tuning notebooks saved differently, brought to Suno's names.

serp-ai's notebooks write ``semantic_output/pytorch_model.bin`` (``coarse_output``, ``fine_output``)
with the sizes in a ``config.json`` beside it, where Suno's file holds both."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from bark.errors import SHOWN, CheckpointError, printable
from bark.stages.gpt_fine import FineGPTConfig
from bark.storage.json import read_json
from bark.tokens import BARK

TUNED_WEIGHTS = "pytorch_model.bin"
TUNED_FOLDERS = {stage: f"{stage}_output" for stage in ("semantic", "coarse", "fine")}
_TUNED_LORA = re.compile(r"\.lora_(left|right)_(weight|bias)$")  # DeepSpeed's names
_TRAINING_STATE = ("optimizer.bin", "optimizer.pt", "random_states_0.pkl")
_SHOWN = 5  # names an error lists before it only counts


def strip_prefixes(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`torch.compile` and data-parallel training put their own names in front."""
    return {
        re.sub(r"^((_orig_mod|module)\.)+", "", name): tensor for name, tensor in weights.items()
    }


def drop_masks(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Older attention layers saved their causal mask, ``….attn.bias``, as if it were a weight."""
    return {name: tensor for name, tensor in weights.items() if not name.endswith(".attn.bias")}


def plain_heads(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """serp-ai's notebooks wrap each head in an ``nn.Sequential``: ``lm_head.0.weight``."""
    return {
        re.sub(r"^(lm_head|lm_heads\.\d+)\.0\.weight$", r"\1.weight", name): tensor
        for name, tensor in weights.items()
    }


def refuse_lora(weights: Iterable[str], path: Path) -> None:
    """Adapters that were not merged: the base alone would be another voice."""
    leftovers = sorted(name for name in weights if "lora" in name.lower() or ".base_layer." in name)
    if leftovers:
        raise CheckpointError(
            f"{path} holds LoRA adapters that were not merged: {some(leftovers)}",
            None,
            "plain weights",
            "Merge them where the model was trained (weight + scaling * B @ A; in peft: "
            "merge_and_unload()), and save again",
        )


def drop_merged_lora(weights: Mapping[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """serp-ai's notebooks merge their adapters at the end and save them once more beside the sum.

    The checkpoints they write on the way, with the optimizer beside them, are not merged."""
    if any((path.parent / name).is_file() for name in _TRAINING_STATE):
        return dict(weights)
    return {name: tensor for name, tensor in weights.items() if not _TUNED_LORA.search(name)}


def plain_sizes(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Older files have one ``vocab_size`` for input and output; LoRA forks add fields."""
    sizes = {name: value for name, value in sizes.items() if not str(name).startswith("lora")}
    if "vocab_size" in sizes:
        both = sizes.pop("vocab_size")
        sizes.setdefault("input_vocab_size", both)
        sizes.setdefault("output_vocab_size", both)
    return sizes


def sizes_beside(path: Path) -> dict[str, Any] | None:
    """Return the network's sizes from the ``config.json`` beside a weights file, if it has them."""
    config = path.with_name("config.json")
    sizes = read_json(config) if config.is_file() else {}
    return sizes if "n_layer" in sizes and "model_type" not in sizes else None


def with_tied_heads(
    weights: Mapping[str, torch.Tensor], config: FineGPTConfig, where: str
) -> dict[str, torch.Tensor]:
    """A fine head is its codebook's embedding; files hold it twice or once."""
    tied = dict(weights)
    for head in range(config.n_codes_total - config.n_codes_given):
        name, table = (
            f"lm_heads.{head}.weight",
            f"transformer.wtes.{head + config.n_codes_given}.weight",
        )
        if table not in tied:
            continue
        if name in tied and not torch.equal(tied[name], tied[table]):
            raise CheckpointError(
                f"{where}: {name} differs from {table}", allowed="one shared tensor"
            )
        tied[name] = tied[table]
    return tied


def tuned_files(folder: Path) -> dict[str, Path]:
    """Find the stages that serp-ai's notebooks tuned: stage → file.

    `folder` is the one their three folders lie in, or one of the three."""
    own = folder / TUNED_WEIGHTS
    if own.is_file() and (sizes := sizes_beside(own)) is not None:
        return {_stage_of(sizes): own}
    found = {stage: folder / name / TUNED_WEIGHTS for stage, name in TUNED_FOLDERS.items()}
    return {stage: path for stage, path in found.items() if path.is_file()}


def _stage_of(sizes: Mapping[str, Any]) -> str:
    """Tell the stage of a network by its sizes; one with other vocabularies fails when it loads."""
    if "n_codes_total" in sizes:
        return "fine"
    vocabulary = sizes.get("input_vocab_size", sizes.get("vocab_size"))
    return "semantic" if vocabulary is not None and vocabulary > BARK.semantic_infer else "coarse"


def some(names: list[str]) -> str:
    """List the first few names, and count the rest."""
    shown = ", ".join(printable(name, SHOWN) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, … ({len(names)} in all)"
