"""A model converted to another layout is the same model, and a failed conversion leaves nothing behind."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bark.checkpoints.find import find_model, read_torch_file
from bark.checkpoints.formats import FORMATS, STAGES, read_stage
from bark.convert import convert
from bark.errors import CheckpointError, MissingFileError, SettingError, StorageError
from bark.storage.locks import lock
from booth.cli.convert import main
from tests.suno_files import add_codec, network, same_network, suno_folder
from tests.tiny import make_tiny_model


@pytest.fixture(scope="module")
def suno(tmp_path_factory):
    folder = add_codec(suno_folder(tmp_path_factory.mktemp("model") / "suno", ""))
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.txt").write_text("[UNK]\nhello\n")
    (folder / "voices").mkdir()
    (folder / "voices" / "ann.npz").write_bytes(b"a voice")
    return folder


@pytest.fixture(scope="module")
def converted(suno, tmp_path_factory):
    """The same model in all three layouts, each made from the one before."""
    root = tmp_path_factory.mktemp("converted")
    folders = {"hf": convert(suno, root / "hf", "hf")}
    folders["ours"] = convert(folders["hf"], root / "ours", "ours")
    folders["suno"] = convert(folders["ours"], root / "suno", "suno")
    folders["ours from suno"] = convert(suno, root / "ours2", "ours")  # and the other way round
    folders["hf from ours"] = convert(folders["ours from suno"], root / "hf2", "hf")
    folders["suno from hf"] = convert(folders["hf from ours"], root / "suno2", "suno")
    return folders


@pytest.mark.parametrize("to", [*FORMATS, "ours from suno", "hf from ours", "suno from hf"])
def test_every_layout_holds_the_same_model_in_all_six_directions(converted, to):
    found = find_model(converted[to])
    for stage in STAGES:
        assert same_network(found.load(stage), network(stage))
    codes = np.arange(8 * 5).reshape(8, 5)
    first = find_model(converted["hf"]).load_codec().decode(codes)
    assert np.array_equal(found.load_codec().decode(codes), first)
    assert found.load_tokenizer().encode("hello") == [1]
    assert (found.voices / "ann.npz").read_bytes() == b"a voice"


def test_files_may_be_read_by_others(converted):
    mask = os.umask(0)
    os.umask(mask)
    for folder in converted.values():
        assert folder.stat().st_mode & 0o777 == 0o777 & ~mask
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()} == {
            0o666 & ~mask
        }


def test_sunos_files_are_as_sunos_code_wants_them(converted, suno):
    for file in ("text.pt", "coarse.pt", "fine.pt"):
        ours, original = read_torch_file(converted["suno"] / file), read_torch_file(suno / file)
        assert set(ours) == set(original)
        assert ours["model_args"] == original["model_args"]
        assert set(ours["model"]) == set(original["model"])
        assert all(
            torch.equal(ours["model"][name], original["model"][name]) for name in ours["model"]
        )
        assert ours["best_val_loss"].item() == 0
    fine = read_torch_file(converted["suno"] / "fine.pt")["model"]
    head, table = fine["_orig_mod.lm_heads.0.weight"], fine["_orig_mod.transformer.wtes.1.weight"]
    assert head.data_ptr() == table.data_ptr()


def test_hugging_face_folder_loads_in_transformers(converted):
    from transformers import BarkModel

    model, report = BarkModel.from_pretrained(converted["hf"], output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    ids = torch.randint(0, 10_000, (1, 20), generator=torch.Generator().manual_seed(0))
    codes = torch.randint(0, 1024, (1, 20, 8), generator=torch.Generator().manual_seed(0))
    found = find_model(converted["hf"])
    with torch.inference_mode():
        for stage, theirs in (("semantic", model.semantic), ("coarse", model.coarse_acoustics)):
            logits = theirs(ids).logits
            assert torch.allclose(found.load(stage)(ids)[:, -logits.shape[1] :], logits, atol=1e-4)
        logits = model.fine_acoustics(3, codes).logits
        assert torch.allclose(found.load("fine")(3, codes), logits, atol=1e-4)
    settings = model.generation_config
    assert settings.semantic_config["temperature"] == 0.7
    assert settings.fine_acoustics_config["temperature"] == 0.5
    codes = np.arange(8 * 5).reshape(8, 5)
    audio = model.codec_decode(torch.from_numpy(codes)[None])  # (1, 8, T)
    assert np.allclose(audio[0].detach().numpy(), found.load_codec().decode(codes), atol=1e-5)


def test_golden_files_survive_a_round_trip(golden, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("text", "coarse", "fine"):
        (source / f"{name}.pt").symlink_to(golden / f"A_suno_checkpoints/{name}.pt")
    (source / "encodec_24khz.th").symlink_to(golden / "F_encodec/encodec_24khz_tiny-76c38443.th")
    hf = convert(source, tmp_path / "hf", "hf")
    reference = load_file(golden / "C_hf_bark/model.safetensors")
    ours = load_file(hf / "model.safetensors")
    wanted = {name for name in reference if not name.endswith(".attn.bias")}
    assert wanted <= set(ours)
    unused = ("inited", "cluster_size", "embed_avg")
    assert all(
        torch.equal(ours[name], reference[name]) for name in wanted if not name.endswith(unused)
    )
    back = convert(convert(hf, tmp_path / "ours", "ours"), tmp_path / "suno", "suno")
    for stage in STAGES:
        config, weights = read_stage(back, stage)
        original_config, original = read_stage(source, stage)
        assert config == original_config
        assert weights.keys() == original.keys()
        assert all(torch.equal(weights[name], original[name]) for name in weights)


def test_half_precision_stays_half(suno, tmp_path):
    folder = convert(suno, tmp_path / "half", "ours")
    from safetensors.torch import save_file

    half = {
        name: tensor.half() for name, tensor in load_file(folder / "coarse.safetensors").items()
    }
    save_file(half, folder / "coarse.safetensors")
    for to in FORMATS:
        _, weights = read_stage(convert(folder, tmp_path / to, to), "coarse")
        assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
        assert all(torch.equal(weights[name], half[name]) for name in half)


def test_nanos_layout_fits_only_our_format(tmp_path):
    tiny = make_tiny_model(tmp_path / "tiny")
    copy = convert(tiny, tmp_path / "copy", "ours")
    assert find_model(copy).layout == find_model(tiny).layout
    assert find_model(copy).defaults == find_model(tiny).defaults
    assert find_model(copy).load_codec()
    for to in ("suno", "hf"):
        with pytest.raises(
            CheckpointError, match=f"cannot be written as {to}: got codec mel, tokenizer phones"
        ):
            convert(tiny, tmp_path / to, to)
        assert not (tmp_path / to).exists()


def test_another_layout_goes_to_hugging_face_but_not_to_suno(suno, tmp_path):
    folder = convert(suno, tmp_path / "ours", "ours")
    config = json.loads((folder / "config.json").read_text())
    config["layout"]["max_semantic"] = 500
    (folder / "config.json").write_text(json.dumps(config))
    assert find_model(convert(folder, tmp_path / "hf", "hf")).layout.max_semantic == 500
    with pytest.raises(CheckpointError, match=r"its token layout has max_semantic 500 \(not 768\)"):
        convert(folder, tmp_path / "suno", "suno")
    config["layout"]["fine_hop"] = 256
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"fine_hop 256 \(not 512\)"):
        convert(folder, tmp_path / "hf2", "hf")


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_nothing_is_overwritten(suno, tmp_path, kind):
    target = tmp_path / "there"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="exists already. Name a new folder"):
        convert(suno, target, "ours")
    assert os.listdir(tmp_path) == ["there"]


def test_a_second_conversion_to_one_folder_says_who_is_writing(suno, tmp_path):
    with (
        lock(tmp_path / ".out.lock"),
        pytest.raises(StorageError, match=r"another process is writing .*out: got process \d+ on"),
    ):
        convert(suno, tmp_path / "out", "ours")
    assert os.listdir(tmp_path) == []


def test_a_failed_conversion_leaves_nothing(suno, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bark.convert.save_file", full)
    with pytest.raises(StorageError, match="cannot write .*: got No space left on device"):
        convert(suno, tmp_path / "out", "ours")
    assert os.listdir(tmp_path) == []


def test_a_broken_source_leaves_nothing(suno, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("text.pt", "coarse.pt", "codec.safetensors"):
        (source / name).symlink_to(suno / name)
    with pytest.raises(MissingFileError, match=r"no file .*fine_2\.pt"):
        convert(source, tmp_path / "out", "hf")
    (source / "fine.pt").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="damaged"):
        convert(source, tmp_path / "out", "hf")
    assert os.listdir(tmp_path) == ["source"]


def test_hugging_faces_voices_and_a_hubert_of_its_own_go_along(suno, tmp_path):
    source = shutil.copytree(suno, tmp_path / "source")
    shutil.rmtree(source / "voices")
    (source / "speaker_embeddings" / "v2").mkdir(parents=True)
    (source / "speaker_embeddings" / "v2" / "me_fine_prompt.npy").write_bytes(b"codes")
    (source / "speaker_embeddings_path.json").write_text("{}")
    made = convert(convert(source, tmp_path / "hf", "hf"), tmp_path / "ours", "ours")
    assert find_model(made).voices == made / "speaker_embeddings"
    assert (made / "speaker_embeddings/v2/me_fine_prompt.npy").read_bytes() == b"codes"
    assert (made / "speaker_embeddings_path.json").is_file()
    (made / "hubert").mkdir()
    (made / "hubert" / "encoder.json").write_text("{}")
    assert (convert(made, tmp_path / "again", "ours") / "hubert" / "encoder.json").is_file()


def test_command_line(suno, tmp_path, capsys):
    assert main([str(suno), str(tmp_path / "a"), "--to", "ours"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "a")
    assert main([str(suno), str(tmp_path / "a"), "--to", "ours"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("convert: ")
    assert error.count("\n") == 1
    for words, said in (
        (["--to", "onnx"], "--to: got 'onnx'; allowed: suno, hf, ours"), ([], "--to"), (["--to"], "--to")
    ):  # fmt: skip
        assert main([str(suno), str(tmp_path / "b"), *words]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert main(["absent-model", str(tmp_path / "b"), "--to", "hf"]) == 2
    with pytest.raises(SettingError, match="--to: got 'onnx'; allowed: suno, hf, ours"):
        convert(suno, tmp_path / "b", "onnx")


def test_an_int8_folder_is_small_and_says_the_same_without_the_original(tmp_path):
    """As the model itself does when it is quantised while it is loaded, and on from folder to folder."""
    from bark import Bark

    source = make_tiny_model(tmp_path / "tiny")
    wanted = Bark.from_pretrained(source, device="cpu", dtype="int8").generate("a b", seed=1)
    small = convert(source, tmp_path / "small", "ours", "int8")
    again = convert(small, tmp_path / "again", "ours")
    floats = (source / "coarse.safetensors").stat().st_size
    shutil.rmtree(source)
    assert (small / "coarse.safetensors").stat().st_size < floats / 2
    for folder in (small, again):
        bark = Bark.from_pretrained(folder, device="cpu")
        assert bark.coarse.model.lm_head.codes.dtype == torch.int8
        found = bark.generate("a b", seed=1)
        assert np.array_equal(found.tokens.fine, wanted.tokens.fine)
        np.testing.assert_array_equal(found.audio, wanted.audio)


def test_an_int8_folder_loads_as_floats_too(suno, tmp_path):
    small = convert(suno, tmp_path / "small", "ours", "int8")
    floats = convert(small, tmp_path / "suno", "suno")
    for stage in STAGES:
        exact, rounded = network(stage), find_model(small).load(stage)
        assert same_network(find_model(floats).load(stage), rounded)
        for name, weight in exact.state_dict().items():
            off = (rounded.state_dict()[name] - weight).abs().max()
            assert off <= weight.abs().max() / 250, name


def test_only_ours_holds_int8(suno, tmp_path):
    with pytest.raises(SettingError, match=r"--dtype with --to hf: got 'int8'.*our own layout"):
        convert(suno, tmp_path / "a", "hf", "int8")
    assert not (tmp_path / "a").exists()


def test_int8_weights_without_their_scales_are_refused(suno, tmp_path):
    from safetensors.torch import save_file

    small = convert(suno, tmp_path / "small", "ours", "int8")
    name, file = "transformer.h.0.mlp.c_fc.weight", small / "coarse.safetensors"
    weights = load_file(file)
    for faulty, said in ((None, "not floats"), (weights[f"{name}_scale"][:-1], "a scale for each")):
        weights.pop(f"{name}_scale", None)
        if faulty is not None:
            weights[f"{name}_scale"] = faulty.contiguous()
        save_file(weights, file)
        with pytest.raises(CheckpointError, match=said):
            find_model(small).load("coarse", torch.int8)
