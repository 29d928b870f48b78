"""Loads the parts of a `bark.Bark` by the name of a model, each to its device."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

import torch

from bark.devices import choose_device, choose_dtype, dtype_name
from bark.errors import SettingError
from bark.settings import Settings, instead
from bark.stages.coarse import CoarseStage
from bark.stages.fine import FineStage
from bark.stages.progress import UNWATCHED, Watch
from bark.stages.seeds import STAGES
from bark.stages.semantic import SemanticStage
from bark.tokens import BARK, TokenLayout

from .find import ModelFiles, find_model
from .formats import read_stage

# coarse tokens between two moves of the window, twice Suno's: its beginning is read half as often
FAST = Settings(sliding_window_len=120)
INT8_PAYS = 512  # width of a network from which on it decodes faster with 8-bit weights

PARTS = (*STAGES, "codec")
KINDS = {"semantic": SemanticStage, "coarse": CoarseStage, "fine": FineStage}


class StageModels(TypedDict, total=False):
    """The model that a stage comes from, where it is another than the rest's."""

    semantic: str | None
    coarse: str | None
    fine: str | None


def load_parts(
    name: str | Path,
    device: str | torch.device | Mapping[str, str],
    dtype: str | torch.dtype,
    offload: bool,
    others: StageModels,
    decoder: str | None = None,
    fast: bool = False,
    watch: Watch = UNWATCHED,
) -> dict[str, Any]:
    """Return the fields of a `bark.Bark`; see `bark.Bark.from_pretrained`.

    Parameters
    ----------
    decoder : decodes the codes instead of the model's own: "vocos", a hub id, a folder or a file.
    others : the stages that come from other models.
    """
    if unknown := sorted(set(others) - set(STAGES)):  # as other libraries call their arguments
        known = ", ".join(["device", "dtype", "offload", "decoder", "fast", *STAGES])
        raise SettingError("unknown argument", ", ".join(unknown), known, instead(unknown))
    files, places, dtype = find_model(name), part_devices(device), dtype_name(dtype)
    stages: dict[str, Any] = {}
    with watch.bar("loading", len(PARTS), "part", leave=False) as bar:
        for stage in STAGES:
            other = cast("str | None", others.get(stage))
            source = files if other is None else find_model(other)
            check_same_layout(files.layout, source.layout, stage)
            small = (
                dtype == "auto"
                and places[stage].type == "cpu"
                and (source.int8 or (fast and _is_wide(source, stage)))
            )
            network = source.load(stage, choose_dtype("int8" if small else dtype, places[stage]))
            placed = network if offload else network.to(places[stage])
            stages[stage] = KINDS[stage](placed, files.layout)
            bar.update()
        codec = files.load_codec(decoder)
        bar.update()
    defaults = (FAST if fast and files.layout == BARK else Settings()).changed(files.defaults)
    where = str(device) if isinstance(device, (str, torch.device)) else dict(device)
    return {
        **stages,
        "codec": codec if offload else codec.to(places["codec"]),
        "tokenizer": files.load_tokenizer(),
        "layout": files.layout,
        "name": str(name),
        "defaults": defaults,
        "devices": places,
        "offload": offload,
        "voices_folder": files.voices,
        "source": {
            "name": str(Path(name).resolve()) if Path(name).is_dir() else str(name),
            **{stage: other for stage, other in others.items() if other is not None},
            **({} if decoder is None else {"decoder": decoder}),
            **({"fast": True} if fast else {}),
            "device": where,
            "dtype": dtype,
            "offload": offload,
        },
    }


def _is_wide(source: ModelFiles, stage: str) -> bool:
    """Tell whether a stage's network is one that 8 bits make faster; nano's are not."""
    return read_stage(source.path(stage), stage)[0].n_embd >= INT8_PAYS


def part_devices(device: str | torch.device | Mapping[str, str]) -> dict[str, torch.device]:
    """Return the device of each part; a mapping may leave some to "auto"."""
    if isinstance(device, (str, torch.device)):
        return {part: choose_device(device, part) for part in PARTS}
    if unknown := sorted(set(device) - set(PARTS)):
        raise SettingError("device given for unknown parts", ", ".join(unknown), ", ".join(PARTS))
    return {part: choose_device(device.get(part, "auto"), part) for part in PARTS}


def check_same_layout(own: TokenLayout, other: TokenLayout, stage: str) -> None:
    """Refuse a stage that comes from a model of another family."""
    if own != other:
        raise SettingError(
            f"the {stage} stage comes from a model with another token layout",
            fix="Mix only models of one family, such as small and large",
        )
