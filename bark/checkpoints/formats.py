"""Networks from Bark's weights on disk, in any of three layouts: Suno's, Hugging Face's, ours."""

from collections.abc import Mapping
from pathlib import Path

import torch

from bark.errors import CheckpointError, MissingFileError, SettingError
from bark.stages.gpt import GPTConfig
from bark.stages.int8 import ROWS
from bark.storage.weights import read_torch_file, read_weights, tensors_of

from .build import Network as Network
from .build import build_network as build_network
from .config import ModelConfig, config_from, read_config
from .variants import (
    drop_masks,
    drop_merged_lora,
    plain_heads,
    plain_sizes,
    refuse_lora,
    sizes_beside,
    some,
    strip_prefixes,
    tuned_files,
)

STAGES = ("semantic", "coarse", "fine")
FORMATS = ("suno", "hf", "ours")
FORMAT_VERSION = 1  # of our own folder
LAYERS = "transformer.h."  # what the names of the layers' weights begin with
SUNO_NAMES = {"semantic": "text", "coarse": "coarse", "fine": "fine"}  # Suno's file of a stage
HF_PARTS = {"semantic": "semantic", "coarse": "coarse_acoustics", "fine": "fine_acoustics"}
HF_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Suno's name of a layer → Hugging Face's
HF_LAYERS = {
    "transformer.h.": "layers.",
    "transformer.wtes.": "input_embeds_layers.",
    "transformer.wte.": "input_embeds_layer.",
    "transformer.wpe.": "position_embeds_layer.",
    "transformer.ln_f.": "layernorm_final.",
    ".ln_1.": ".layernorm_1.",
    ".ln_2.": ".layernorm_2.",
    ".c_attn.": ".att_proj.",
    ".c_proj.": ".out_proj.",
    ".c_fc.": ".in_proj.",
}
# Suno's name of a size → Hugging Face's
HF_SIZES = {
    "n_layer": "num_layers",
    "n_head": "num_heads",
    "n_embd": "hidden_size",
    "block_size": "block_size",
    "bias": "bias",
    "input_vocab_size": "input_vocab_size",
    "output_vocab_size": "output_vocab_size",
    "dropout": "dropout",
    "n_codes_total": "n_codes_total",
    "n_codes_given": "n_codes_given",
}


def load_stage(path: str | Path, stage: str, dtype: torch.dtype | None = None) -> Network:
    """Load the network of one stage.

    Parameters
    ----------
    path : Suno's ``.pt`` file of the stage, or a folder in any of the three layouts.
    stage : "semantic", "coarse" or "fine".
    dtype : of the weights in memory; None = float32, whatever the file holds. int8 is what
        `bark.stages.int8` makes of them, or finds in the file.

    Returns
    -------
    `GPT`, or `FineGPT` for "fine", in evaluation mode on the CPU. Weights that the file holds in
    this type are mapped from it, not copied.

    Raises
    ------
    CheckpointError
        If the file is damaged, unsafe, or holds something else; it lists what does not fit.
    MissingFileError
        If it is not there.
    """
    config, weights = read_stage(path, stage)
    return build_network(config, weights, str(path), dtype, ROWS[stage])


def read_stage(path: str | Path, stage: str) -> tuple[GPTConfig, dict[str, torch.Tensor]]:
    """Read one stage's sizes, and its weights under Suno's names."""
    if stage not in STAGES:
        raise SettingError("stage", repr(stage), ", ".join(STAGES))
    path = Path(path)
    if not path.is_dir():
        return _read_suno(path, stage)
    kind = folder_format(path)
    if kind == "suno":
        return _read_suno(suno_file(path, stage), stage)
    if kind == "hf":
        return _read_hf(path, stage)
    return _read_ours(path, stage)


def folder_format(folder: Path) -> str:
    """Tell which of the three layouts a folder holds."""
    there = (folder / "config.json").is_file()
    config = read_config(folder) if there else ModelConfig()
    if config.format == "bark":
        if config.format_version != FORMAT_VERSION:
            raise CheckpointError(
                f"{folder}: format_version",
                config.format_version,
                FORMAT_VERSION,
                "Install a newer version of this package",
            )
        return "ours"
    if config.model_type == "bark":
        return "hf"
    if tuned_files(folder) or any(
        (folder / f"{name}{size}.pt").is_file()
        for name in SUNO_NAMES.values()
        for size in ("_2", "")
    ):
        return "suno"
    if there:
        raise CheckpointError(f"{folder} holds another kind of model", config.model_type, "bark")
    raise MissingFileError(
        f"{folder} holds no Bark model",
        allowed="Suno's text.pt, coarse.pt and fine.pt (or _2.pt), a Hugging Face Bark, or our "
        "own format",
    )


def suno_file(folder: Path, stage: str) -> Path:
    """Return Suno's file of a stage in `folder`, the large one if both are there, or one that
    serp-ai's notebooks tuned.
    """
    large, small = (folder / f"{SUNO_NAMES[stage]}{size}.pt" for size in ("_2", ""))
    found = (path for path in (large, small) if path.is_file())
    return next(found, tuned_files(folder).get(stage, large))


def hf_weights(folder: Path) -> Path:
    """Return the weights (or their index) of a Hugging Face folder."""
    for name in HF_WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise MissingFileError(
        f"{folder} has a config.json but no weights", allowed=" or ".join(HF_WEIGHTS)
    )


def to_hf_name(name: str) -> str:
    """Spell a layer's name as Hugging Face does.

    >>> to_hf_name("transformer.h.0.ln_1.weight")
    'layers.0.layernorm_1.weight'
    """
    for ours, theirs in HF_LAYERS.items():
        name = name.replace(ours, theirs)
    return name


def from_hf_name(name: str) -> str:
    """Undo `to_hf_name`."""
    name = f".{name}"  # so that every part, the first too, stands between dots
    for ours, theirs in HF_LAYERS.items():
        name = name.replace(f".{theirs.lstrip('.')}", f".{ours.lstrip('.')}")
    return name[1:]


def _read_suno(path: Path, stage: str) -> tuple[GPTConfig, dict[str, torch.Tensor]]:
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"{path} alone tells no sizes", fix="Give the folder it is in, with config.json"
        )
    content = read_torch_file(path)
    state = content.get("model", content) if isinstance(content, Mapping) else content
    weights = plain_heads(drop_masks(strip_prefixes(tensors_of(state, path))))
    sizes = content.get("model_args")
    if sizes is None and (sizes := sizes_beside(path)) is not None:
        weights = drop_merged_lora(weights, path)
    _check_kind(weights, stage, path)
    if not isinstance(sizes, Mapping):
        raise CheckpointError(
            f"{path} has weights but no model_args",
            allowed="Suno's model and model_args, or a config.json with the sizes beside",
        )
    return config_from(plain_sizes(sizes), stage, str(path)), weights


def _read_hf(folder: Path, stage: str) -> tuple[GPTConfig, dict[str, torch.Tensor]]:
    path = hf_weights(folder)
    part = HF_PARTS[stage]
    sizes = getattr(read_config(folder), f"{part}_config")
    if sizes is None:
        raise CheckpointError(f"{folder / 'config.json'} has no {part}_config")
    stated = {ours: sizes[theirs] for ours, theirs in HF_SIZES.items() if theirs in sizes}
    stated = {
        "bias": True,
        "input_vocab_size": 10_048,
        "output_vocab_size": 10_048,
        **stated,
    }  # its defaults
    if stage != "fine":
        stated = {name: value for name, value in stated.items() if not name.startswith("n_codes")}
    weights = drop_masks(read_weights(path, f"{part}."))
    refuse_lora(weights, path)
    return (
        config_from(stated, stage, f"{folder / 'config.json'}, {part}_config"),
        {from_hf_name(name): tensor for name, tensor in weights.items()},
    )


def _read_ours(folder: Path, stage: str) -> tuple[GPTConfig, dict[str, torch.Tensor]]:
    sizes = getattr(read_config(folder), stage)
    if sizes is None:
        raise CheckpointError(f"{folder / 'config.json'} has no sizes for {stage!r}")
    config = config_from(sizes, stage, f"{folder / 'config.json'}, {stage}")
    file = folder / f"{stage}.safetensors"
    weights = read_weights(file)
    # each layer from a mapping of its own: it ends when int8 has packed the layer; that of the
    # tables, of which few rows are ever read, stays
    for prefix in (f"{LAYERS}{index}." for index in range(config.n_layer)):
        weights |= {f"{prefix}{name}": part for name, part in read_weights(file, prefix).items()}
    return config, weights


def _check_kind(weights: Mapping[str, torch.Tensor], stage: str, path: Path) -> None:
    """Say what a file is when it is not this stage of Bark."""
    refuse_lora(weights, path)
    names = set(weights)

    def has(*starts: str) -> bool:
        return any(name.startswith(starts) for name in names)

    if has("transformer.wtes."):
        found = "fine"
    elif has("transformer.wte."):
        found = "semantic or coarse"
    elif has("lstm.weight_ih_l0"):
        found = "a semantic quantizer (hubert.LSTMQuantizer reads it)"
    elif has("feature_extractor.", "hubert.", "encoder.pos_conv"):
        found = "a HuBERT (hubert.HubertFeatures reads it)"
    elif has("encoder.model.", "quantizer.vq.", "encoder.layers."):
        found = "an EnCodec (bark.codec reads it)"
    elif has("semantic.", "coarse_acoustics.", "fine_acoustics."):
        found = "a whole Hugging Face Bark: give its folder, with config.json"
    else:
        found = f"unknown, with {some(sorted(names))}"
    if stage not in found.split(" or "):
        raise CheckpointError(f"{path} is not a {stage} model of Bark", found)
