"""What a model's ``config.json`` says, and how large a network it may ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bark.errors import CheckpointError
from bark.stages.gpt import GPTConfig
from bark.stages.gpt_fine import FineGPTConfig
from bark.storage.json import dataclass_from, read_as

# The largest network a file may ask for: far above any Bark, far below what hurts.
LIMITS = {
    "n_layer": msgspec.Meta(ge=1, le=64),
    "n_head": msgspec.Meta(ge=1, le=256),
    "n_embd": msgspec.Meta(ge=1, le=8192),
    "block_size": msgspec.Meta(ge=1, le=65_536),
    "input_vocab_size": msgspec.Meta(ge=1, le=1 << 20),
    "output_vocab_size": msgspec.Meta(ge=1, le=1 << 20),
    "dropout": msgspec.Meta(ge=0, lt=1),
    "n_codes_total": msgspec.Meta(ge=1, le=64),
    "n_codes_given": msgspec.Meta(ge=1, le=63),
}
MOST_CONFIG = 4 << 20  # bytes of a config.json
Section = dict[str, Any]


class ModelConfig(msgspec.Struct):
    """What is read of a model's ``config.json``, ours or Hugging Face's."""

    format: str | None = None  # "bark": ours
    format_version: int | None = None
    model_type: str | None = None
    name: str | None = None
    dtype: str | None = None  # "int8": matrices in 8 bits, for which "auto" is int8 on a CPU
    layout: Section = {}
    codec: Section | None = None
    decoder: Section | None = None  # in place of the codec's own
    tokenizer: Section | None = None
    defaults: dict[str, bool | int | float | None] = {}  # by the names of `bark.settings.Settings`
    semantic: Section | None = None
    coarse: Section | None = None
    fine: Section | None = None
    semantic_config: Section | None = None
    coarse_acoustics_config: Section | None = None
    fine_acoustics_config: Section | None = None


def read_config(folder: Path) -> ModelConfig:
    """Read the ``config.json`` of a model's folder."""
    return read_as(folder / "config.json", ModelConfig, most=MOST_CONFIG)


def config_from(values: Mapping[str, Any], stage: str, where: str) -> GPTConfig:
    """Check the sizes a file states and return them; nothing is allocated."""
    kind: type[GPTConfig] = FineGPTConfig if stage == "fine" else GPTConfig
    config = dataclass_from(values, kind, LIMITS, where)
    if config.n_embd % config.n_head:
        raise CheckpointError(
            f"{where}: n_embd", config.n_embd, f"a multiple of n_head, {config.n_head}"
        )
    if isinstance(config, FineGPTConfig) and config.n_codes_given >= config.n_codes_total:
        raise CheckpointError(
            f"{where}: n_codes_given", config.n_codes_given, "less than n_codes_total"
        )
    return config
