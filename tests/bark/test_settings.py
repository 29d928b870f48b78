"""Settings have one name here; other systems' names are taken or answered with it."""

import pytest
import torch

from bark.errors import SettingError
from bark.pipeline import Bark
from bark.settings import INSTEAD, OPTIONS, OTHER_NAMES, Settings
from booth.cli.options import parse_options


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("do_sample", "semantic_temperature 0"),
        ("voice_preset", "Say voice"),
        ("history_prompt", "Say voice"),
        ("max_new_tokens", "max_duration_s"),
        ("output_full", "Generation"),
    ],
)
def test_names_of_other_systems_are_answered_with_ours(name: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Settings().changed({name: 1})


def test_a_name_is_either_taken_or_answered() -> None:
    assert not set(INSTEAD) & ({option.name for option in OPTIONS} | set(OTHER_NAMES))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"torch_dtype": torch.float16}, "Say dtype"),
        ({"device_map": "auto"}, "Say device"),
        ({"use_small": True}, "Load the model"),
    ],
)
def test_loading_answers_other_systems_arguments(given: dict, said: str) -> None:
    with pytest.raises(SettingError, match=f"unknown argument: got .*{said}"):
        Bark.from_pretrained("nano", **given)


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bf16", "bfloat16"])
def test_a_dtype_may_be_torchs_or_short(dtype: object) -> None:
    bark = Bark.from_pretrained("nano", dtype=dtype)
    assert bark.source["dtype"] == "bfloat16"
    assert next(bark.semantic.model.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("flag", ["--hoarder_mode", "--do_sample", "--hoarder-mode"])
def test_flags_of_other_systems_are_answered(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--text", "Hello.", flag])
    told = capsys.readouterr().err
    assert INSTEAD[flag[2:].replace("-", "_")] in told and told.count("\n") == 1


def test_hugging_faces_voice_preset_is_a_voice() -> None:
    assert parse_options(["--text", "a", "--voice_preset", "alba"]).history_prompt == "alba"
