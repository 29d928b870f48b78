"""Weights as serp-ai's fine-tuning notebooks write them load by every route."""

import json
from pathlib import Path

import pytest
import torch

from bark.checkpoints.find import find_model
from bark.checkpoints.formats import STAGES, load_stage
from bark.convert import convert
from bark.errors import CheckpointError
from tests.suno_files import SIZES, add_codec, network, same_network, suno_folder


def tuned(parent: Path, stage: str, wrap: str = ".0", prefix: str = "") -> Path:
    """Write what their last cell saves: a head in an nn.Sequential, adapters merged and kept."""
    folder = parent / f"{stage}_output"
    folder.mkdir(parents=True)
    state = {}
    for name, tensor in network(stage).state_dict().items():
        head = name.startswith("lm_head")
        state[prefix + (name.replace(".weight", f"{wrap}.weight") if head else name)] = tensor
        if ".c_attn." in name and name.endswith(".weight"):
            layer = prefix + name.removesuffix("weight")
            state[layer + "lora_right_weight"] = torch.ones(tensor.shape[1], 2)
            state[layer + "lora_left_weight"] = torch.ones(2, tensor.shape[0])
    torch.save(state, folder / "pytorch_model.bin")
    config = SIZES[stage]
    sizes = {name: getattr(config, name) for name in config.__dataclass_fields__}
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("wrap", "prefix"), [(".0", ""), ("", "module.")])
def test_one_tuned_stage_by_file_and_by_folder(
    tmp_path: Path, stage: str, wrap: str, prefix: str
) -> None:
    folder = tuned(tmp_path, stage, wrap, prefix)
    file = folder / "pytorch_model.bin"
    assert same_network(load_stage(file, stage), network(stage))
    assert same_network(load_stage(folder, stage), network(stage))
    for name in (file, folder, str(file)):
        assert same_network(find_model(name).load(stage), network(stage))


def test_the_folder_that_holds_all_three_is_a_model(tmp_path: Path) -> None:
    for stage in STAGES:
        tuned(tmp_path / "work", stage)
    add_codec(tmp_path / "work")
    found = find_model(tmp_path / "work")
    assert all(same_network(found.load(stage), network(stage)) for stage in STAGES)
    converted = convert(tmp_path / "work", tmp_path / "suno", "suno")
    assert all(same_network(load_stage(converted, stage), network(stage)) for stage in STAGES)


def test_stages_that_were_not_tuned_are_sunos_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    suno = suno_folder(tmp_path / "cache" / "suno" / "bark_v0")
    tuned(tmp_path / "work", "coarse")
    found = find_model(tmp_path / "work")
    assert found.path("coarse") == tmp_path / "work" / "coarse_output" / "pytorch_model.bin"
    assert found.path("fine") == suno / "fine_2.pt"


def test_a_stage_tuned_alone_is_no_other_stage(tmp_path: Path) -> None:
    folder = tuned(tmp_path, "semantic")
    with pytest.raises(CheckpointError, match="has no coarse model.*large with semantic="):
        find_model(folder).load("coarse")
    with pytest.raises(CheckpointError, match="not a fine model of Bark: got semantic or coarse"):
        load_stage(folder / "pytorch_model.bin", "fine")


def test_checkpoints_on_the_way_hold_adapters_that_are_not_merged(tmp_path: Path) -> None:
    folder = tuned(tmp_path, "coarse")
    (folder / "optimizer.bin").touch()
    with pytest.raises(CheckpointError, match="LoRA adapters that were not merged.*lora_left_wei"):
        load_stage(folder / "pytorch_model.bin", "coarse")
