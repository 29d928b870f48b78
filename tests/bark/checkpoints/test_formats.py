"""The three layouts of Bark's weights: same numbers as Suno's code, and a sentence for whatever does not fit."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bark.checkpoints import build
from bark.checkpoints.build import in_int8
from bark.checkpoints.config import config_from
from bark.checkpoints.formats import (
    STAGES,
    from_hf_name,
    load_stage,
    read_stage,
    to_hf_name,
)
from bark.errors import CheckpointError, MissingFileError, SettingError
from bark.stages.int8 import install
from tests.suno_files import SIZES, checkpoint, network, same_network, suno_folder

TOLERANCE = 1e-4  # of the golden logits


def causal_logits(model, ids):
    with torch.inference_mode():
        return model(torch.from_numpy(np.asarray(ids, dtype=np.int64)))[0].numpy()


def check_semantic(model, expected):
    """The text model adds the embeddings of text and history, position by position."""
    ids = torch.from_numpy(expected["prefill_ids"].astype(np.int64))
    forced = torch.from_numpy(expected["forced_tokens"].astype(np.int64))[None]
    with torch.inference_mode():
        summed = model.embed(ids[:, :256]) + model.embed(ids[:, 256:512])
        rest = torch.cat([ids[:, 512:], forced], dim=1)
        hidden = model.hidden(torch.cat([summed, model.embed(rest)], dim=1))
        logits = model.lm_head(hidden)[0].numpy()
    wanted = expected["logits"]
    assert np.abs(logits[-len(wanted) :] - wanted).max() < TOLERANCE


def check_coarse(model, expected):
    for case in ("noctx", "ctx630"):
        wanted = expected[f"{case}_logits"]
        forced = expected[f"{case}_forced_tokens"][: len(wanted) - 1]
        logits = causal_logits(model, np.r_[expected[f"{case}_prefill_ids"][0], forced][None])
        assert np.abs(logits[-len(wanted) :] - wanted).max() < TOLERANCE


def check_fine(model, expected):
    codes = torch.from_numpy(expected["codes"].astype(np.int64))
    full = torch.from_numpy(expected["full_codes"].astype(np.int64))
    with torch.inference_mode():
        for book, wanted in zip(expected["pred_idx"], expected["logits"], strict=True):
            assert np.abs(model(int(book), codes)[0].numpy() - wanted).max() < TOLERANCE
        for book, wanted in zip(expected["full_pred_idx"], expected["full_logits"], strict=True):
            logits = model(int(book), full)[0, expected["full_rows"]].numpy()
            assert np.abs(logits - wanted).max() < TOLERANCE


@pytest.mark.parametrize(
    ("file", "stage", "check"),
    [
        ("text", "semantic", check_semantic),
        ("coarse", "coarse", check_coarse),
        ("coarse_bias", "coarse", check_coarse),
        ("fine", "fine", check_fine),
    ],
)
def test_suno_files_give_sunos_logits(golden, file, stage, check):
    model = load_stage(golden / f"A_suno_checkpoints/{file}.pt", stage)
    check(model, np.load(golden / f"B_suno_expected/logits_{file}.npz"))


def test_mask_buffers_are_ignored(golden):
    model = load_stage(golden / "A_suno_checkpoints/gpt_with_mask_buffers.pt", "coarse")
    expected = np.load(golden / "B_suno_expected/logits_gpt_with_mask_buffers.npz")
    with torch.inference_mode():
        logits = model(torch.from_numpy(expected["ids"].astype(np.int64)))[:, -1:].numpy()
    assert np.abs(logits - expected["logits"]).max() < TOLERANCE


def test_hugging_face_folder_gives_sunos_logits(golden):
    for stage, name, check in (
        ("semantic", "text", check_semantic),
        ("coarse", "coarse", check_coarse),
        ("fine", "fine", check_fine),
    ):
        model = load_stage(golden / "C_hf_bark", stage)
        check(model, np.load(golden / f"B_suno_expected/logits_{name}.npz"))
        assert same_network(model, load_stage(golden / f"A_suno_checkpoints/{name}.pt", stage))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod."])
def test_prefixes_make_no_difference(tmp_path, stage, prefix):
    torch.save(checkpoint(stage, prefix), tmp_path / "a.pt")
    assert same_network(load_stage(tmp_path / "a.pt", stage), network(stage))


def test_loading_leaves_the_seed_alone_and_returns_a_model_at_rest(tmp_path):
    folder = suno_folder(tmp_path)
    before = torch.random.get_rng_state()
    for stage in STAGES:
        model = load_stage(folder, stage)
        assert not model.training
        assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(before, torch.random.get_rng_state())


def test_one_vocab_size_stands_for_both(tmp_path):
    content = checkpoint("coarse")
    for name in ("input_vocab_size", "output_vocab_size"):
        del content["model_args"][name]
    content["model_args"]["vocab_size"] = 12_096
    torch.save(content, tmp_path / "a.pt")
    assert load_stage(tmp_path / "a.pt", "coarse").config == SIZES["coarse"]


def test_the_large_file_is_taken_if_both_are_there(tmp_path):
    folder = suno_folder(tmp_path)
    other = checkpoint("fine")
    other["model"] = {name: tensor + 1 for name, tensor in other["model"].items()}
    torch.save(other, folder / "fine.pt")
    assert same_network(load_stage(folder, "fine"), network("fine"))


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_are_float32_unless_asked(tmp_path, stored):
    content = checkpoint("fine")
    content["model"] = {name: tensor.to(stored) for name, tensor in content["model"].items()}
    torch.save(content, tmp_path / "a.pt")
    assert {p.dtype for p in load_stage(tmp_path / "a.pt", "fine").parameters()} == {torch.float32}
    half = load_stage(tmp_path / "a.pt", "fine", dtype=torch.float16)
    assert {p.dtype for p in half.parameters()} == {torch.float16}


def test_fine_heads_are_shared_with_the_tables(tmp_path):
    content = checkpoint("fine")
    torch.save(content, tmp_path / "a.pt")
    model = load_stage(tmp_path / "a.pt", "fine")
    for head, table in zip(model.lm_heads, model.transformer.wtes[1:], strict=True):
        assert head.weight is table.weight
    content["model"]["_orig_mod.lm_heads.2.weight"] = torch.zeros(1056, 4)
    torch.save(content, tmp_path / "b.pt")
    with pytest.raises(
        CheckpointError, match=r"lm_heads\.2\.weight differs from transformer\.wtes\.3\.weight"
    ):
        load_stage(tmp_path / "b.pt", "fine")


@pytest.mark.parametrize(
    "name",
    ["transformer.h.0.attn.c_attn.lora_A.weight", "transformer.h.0.mlp.c_fc.lora_right_weight",
     "transformer.h.0.attn.c_attn.base_layer.weight"],
)  # fmt: skip
def test_lora_leftovers_are_refused_by_name(tmp_path, name):
    content = checkpoint("coarse", lora_dim=16, lora_scaling=1.0)
    content["model"]["_orig_mod." + name] = torch.zeros(4, 4)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="LoRA adapters that were not merged") as caught:
        load_stage(tmp_path / "a.pt", "coarse")
    assert name in str(caught.value)
    assert "merge_and_unload" in str(caught.value)


def test_merged_lora_files_load(tmp_path):
    torch.save(checkpoint("coarse", lora_dim=16, lora_scaling=1.0), tmp_path / "a.pt")
    assert same_network(load_stage(tmp_path / "a.pt", "coarse"), network("coarse"))


def test_all_misfits_are_in_one_error(tmp_path):
    content = checkpoint("semantic", prefix="")
    state = content["model"]
    for name in [name for name in state if ".h.0." in name]:
        del state[name]
    state["transformer.h.7.ln_1.weight"] = torch.ones(4)
    state["lm_head.weight"] = torch.ones(10_048, 5)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        load_stage(tmp_path / "a.pt", "semantic")
    text = str(caught.value)
    assert "missing transformer.h.0.attn.c_attn.weight" in text
    assert ", … (6 in all)" in text
    assert "unknown transformer.h.7.ln_1.weight" in text
    assert "lm_head.weight (10048, 5) instead of (10048, 4)" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_weights_are_refused(tmp_path, value):
    content = checkpoint("fine")
    content["model"]["_orig_mod.transformer.wpe.weight"][3, 1] = value
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"transformer\.wpe\.weight holds NaN or infinity"):
        load_stage(tmp_path / "a.pt", "fine")


def test_integer_weights_are_refused(tmp_path):
    content = checkpoint("fine")
    content["model"]["_orig_mod.transformer.wpe.weight"] = torch.zeros(1024, 4, dtype=torch.int8)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"not floats transformer\.wpe\.weight torch\.int8"):
        load_stage(tmp_path / "a.pt", "fine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 10**6}, "n_layer: got 1000000; allowed: int <= 64"),
        ({"n_embd": 2**31}, "n_embd: got 2147483648"),
        ({"n_embd": 6, "n_head": 4}, "n_embd: got 6; allowed: a multiple of n_head, 4"),
        ({"n_head": 0}, "n_head: got 0"),
        ({"block_size": -1}, "block_size: got -1"),
        ({"n_layer": "12"}, "n_layer: got '12'"),
        ({"n_layer": True}, "n_layer: got True"),
        ({"n_layer": None}, "n_layer; allowed: int"),
        ({"bias": 1}, "bias: got 1; allowed: bool"),
        ({"dropout": float("nan")}, "dropout: got nan"),
        ({"rotary": True}, "unknown field rotary"),
        ({"n_codes_given": 8}, "n_codes_given: got 8; allowed: less than n_codes_total"),
    ],
)
def test_hostile_sizes_are_bounded(tmp_path, change, message):
    torch.save(checkpoint("fine", **change), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        load_stage(tmp_path / "a.pt", "fine")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers())
)
names = st.sampled_from(sorted(SIZES["fine"].__dataclass_fields__)) | st.text(max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, scalars, max_size=11))
def test_any_sizes_end_in_a_config_or_one_error(sizes):
    for stage in STAGES:
        try:
            config = config_from(sizes, stage, "x")
        except CheckpointError:
            continue
        assert config.n_embd % config.n_head == 0


def test_files_of_other_networks_are_named(golden):
    cases = {
        "E_quantizer/quantizer_v0.pth": r"not a coarse model of Bark: got a semantic quantizer",
        "E_quantizer/quantizer_v1.pth": r"got a semantic quantizer \(hubert\.LSTMQuantizer reads it\)",
        "D_hubert/hubert_tiny.pt": r"hubert\.HubertFeatures reads it",
        "F_encodec/encodec_24khz_tiny-76c38443.th": "got an EnCodec",
        "A_suno_checkpoints/fine.pt": "got fine",
    }
    for file, message in cases.items():
        with pytest.raises(CheckpointError, match=message):
            load_stage(golden / file, "coarse")
    with pytest.raises(CheckpointError, match="got semantic or coarse"):
        load_stage(golden / "A_suno_checkpoints/coarse.pt", "fine")
    with pytest.raises(CheckpointError, match="damaged, cut short or no file of torch.save"):
        load_stage(golden / "B_suno_expected/fine_len1.npz", "fine")


def test_weights_without_sizes(tmp_path):
    torch.save(network("coarse").state_dict(), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="has weights but no model_args"):
        load_stage(tmp_path / "a.pt", "coarse")
    with pytest.raises(SettingError, match="stage: got 'text'; allowed: semantic, coarse, fine"):
        load_stage(tmp_path / "a.pt", "text")


def test_names_go_to_hugging_face_and_back(golden):
    stored = json.loads((golden / "C_hf_bark/keys.json").read_text())["written_by_transformers"]
    parts = {"semantic": "semantic", "coarse": "coarse_acoustics", "fine": "fine_acoustics"}
    for stage, part in parts.items():
        _, weights = read_stage(golden / "C_hf_bark", stage)
        ours = {f"{part}.{to_hf_name(name)}" for name in weights}
        theirs = {
            name for name in stored if name.startswith(part) and not name.endswith(".attn.bias")
        }
        assert ours == theirs
        assert all(from_hf_name(to_hf_name(name)) == name for name in weights)


def hf_folder(folder, stage="coarse", part="coarse_acoustics"):
    config = SIZES[stage]
    sizes = {"num_layers": config.n_layer, "num_heads": config.n_head, "hidden_size": config.n_embd,
             "input_vocab_size": config.input_vocab_size, "output_vocab_size": config.output_vocab_size,
             "bias": config.bias, "model_type": part, "use_cache": True}  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"model_type": "bark", f"{part}_config": sizes}))
    return {f"{part}.{to_hf_name(name)}": t for name, t in network(stage).state_dict().items()}


@pytest.mark.parametrize("layout", ["safetensors", "bin", "shards"])
def test_hugging_face_files_of_each_kind(tmp_path, layout):
    weights = hf_folder(tmp_path)
    weights["coarse_acoustics.layers.0.attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    if layout == "safetensors":
        save_file(weights, tmp_path / "model.safetensors")
    elif layout == "bin":
        torch.save(weights, tmp_path / "pytorch_model.bin")
    else:
        where = {
            name: f"model-{index % 2}.safetensors" for index, name in enumerate(sorted(weights))
        }
        for file in set(where.values()):
            save_file(
                {name: weights[name] for name in weights if where[name] == file}, tmp_path / file
            )
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert same_network(load_stage(tmp_path, "coarse"), network("coarse"))


def test_hugging_face_folder_without_weights_or_stage(tmp_path):
    hf_folder(tmp_path)
    with pytest.raises(MissingFileError, match=r"no weights; allowed: model\.safetensors or"):
        load_stage(tmp_path, "coarse")
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"config\.json has no fine_acoustics_config"):
        load_stage(tmp_path, "fine")
    with pytest.raises(CheckpointError, match="missing lm_head.weight"):
        load_stage(tmp_path, "coarse")


def test_folders_of_other_things(tmp_path):
    with pytest.raises(MissingFileError, match="holds no Bark model"):
        load_stage(tmp_path, "fine")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="another kind of model: got bert; allowed: bark"):
        load_stage(tmp_path, "fine")
    (tmp_path / "config.json").write_text('{"format": "bark", "format_version": 2}')
    with pytest.raises(
        CheckpointError, match="format_version: got 2; allowed: 1. Install a newer version"
    ):
        load_stage(tmp_path, "fine")


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="needs Linux' list of mappings")
def test_a_layer_that_int8_has_packed_is_no_longer_mapped(tmp_path, monkeypatch):
    plain = network("semantic")
    state = in_int8(plain.state_dict(), plain)
    save_file(state, tmp_path / "semantic.safetensors")
    sizes = {"format": "bark", "format_version": 1, "dtype": "int8"}
    sizes["semantic"] = asdict(plain.config)
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    counts = []

    def installing(*arguments):
        counts.append(Path("/proc/self/maps").read_text().count(str(tmp_path)))
        install(*arguments)

    monkeypatch.setattr(build, "install", installing)
    load_stage(tmp_path, "semantic", torch.int8)
    layers = plain.config.n_layer
    assert counts[0] == layers + 1  # and the tables
    assert counts[-1] == 1
