"""Names, folders and hub ids resolve to the right files; what is missing is listed at once."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bark.checkpoints import find as checkpoints
from bark.checkpoints.find import find_model
from bark.checkpoints.formats import STAGES
from bark.errors import CheckpointError, MissingFileError, SettingError
from bark.tokens import BARK
from tests.suno_files import SIZES, network, same_network, suno_folder
from tests.tiny import LAYOUT, make_tiny_model


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """No model is cached, and there is no network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def in_hub_cache(cache: Path, repo: str, files: dict[str, bytes]) -> Path:
    """Lay files out as huggingface_hub does."""
    folder = cache / "huggingface" / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    for name, content in files.items():
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_bytes(content)
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_suno_folder(tmp_path):
    found = find_model(suno_folder(tmp_path / "suno"))
    assert found.layout == BARK
    assert found.voices is None
    for stage in STAGES:
        assert same_network(found.load(stage), network(stage))
    assert next(found.load("fine", torch.float16).parameters()).dtype == torch.float16


def test_large_and_small_come_from_sunos_own_cache(empty_caches):
    suno_folder(empty_caches / "suno" / "bark_v0", "_2")
    assert same_network(find_model("large").load("coarse"), network("coarse"))
    with pytest.raises(MissingFileError, match=r"suno/bark: coarse\.pt, text\.pt, fine\.pt"):
        find_model("small").load("coarse")
    suno_folder(empty_caches / "suno" / "bark_v0", "")
    assert find_model("small").path("semantic").name == "text.pt"


def test_large_comes_from_the_hubs_cache(empty_caches, tmp_path):
    files = suno_folder(tmp_path / "suno")
    content = {path.name: path.read_bytes() for path in files.iterdir()}
    snapshot = in_hub_cache(empty_caches, "suno/bark", content)
    assert find_model("large").path("fine") == snapshot / "fine_2.pt"
    assert same_network(find_model("large").load("semantic"), network("semantic"))


def test_offline_error_lists_every_missing_file_and_the_commands(empty_caches):
    suno = empty_caches / "suno" / "bark_v0"
    suno_folder(suno)
    (suno / "fine_2.pt").unlink()
    found = find_model("large")
    assert found.load("coarse")  # what is here loads, whatever else is missing
    with pytest.raises(MissingFileError) as caught:
        found.load("fine")
    text = str(caught.value)
    assert (
        "missing files of suno/bark: fine_2.pt; facebook/encodec_24khz: model.safetensors; bert-base"
        in text
    )
    assert str(suno) in text
    assert str(empty_caches / "huggingface" / "hub") in text
    assert "HF_HUB_OFFLINE" in text
    assert (
        "hf download suno/bark fine_2.pt && hf download facebook/encodec_24khz model.safetensors"
        in text
    )
    assert "\n" not in text


def test_environment_is_read_at_each_call(empty_caches, tmp_path, monkeypatch):
    files = suno_folder(tmp_path / "other" / "suno" / "bark_v0")
    with pytest.raises(MissingFileError):
        find_model("large").path("fine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert find_model("large").path("fine") == files / "fine_2.pt"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(MissingFileError, match="looked in .*hf.hub"):
        find_model("large").path("tokenizer")


def test_codec_is_found_beside_the_weights_and_in_torchs_cache(empty_caches, tmp_path, golden):
    content = (golden / "F_encodec/encodec_24khz_tiny-76c38443.th").read_bytes()
    folder = suno_folder(tmp_path / "suno")
    with pytest.raises(MissingFileError, match="facebook/encodec_24khz"):
        find_model(folder).load_codec()
    torch_cache = empty_caches / "torch" / "hub" / "checkpoints"
    torch_cache.mkdir(parents=True)
    (torch_cache / "encodec_24khz-d7cc33bc.th").write_bytes(content)
    assert find_model(folder).load_codec().hop_length == 320
    (folder / "encodec_24khz-0.th").write_bytes(content)
    assert find_model(folder).path("codec") == folder / "encodec_24khz-0.th"


@pytest.mark.parametrize("owner", ["", "google-bert/"])
@pytest.mark.parametrize("file", ["vocab.txt", "tokenizer.json"])
def test_tokenizer_is_found_beside_the_weights_or_in_the_hubs_cache(
    empty_caches, tmp_path, owner, file
):
    folder = suno_folder(tmp_path / "suno")
    with pytest.raises(MissingFileError, match=r"bert-base-multilingual-cased: vocab\.txt"):
        find_model(folder).load_tokenizer()
    snapshot = in_hub_cache(empty_caches, f"{owner}bert-base-multilingual-cased", {file: b"{}"})
    assert find_model(folder).path("tokenizer") == snapshot
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.txt").write_text("[UNK]\nhello\n")
    assert find_model(folder).path("tokenizer") == folder / "tokenizer"
    assert find_model(folder).load_tokenizer().encode("hello") == [1]


def test_hugging_face_folder(golden):
    found = find_model(golden / "C_hf_bark")
    assert found.layout == BARK
    for stage, name in (("semantic", "text"), ("coarse", "coarse"), ("fine", "fine")):
        suno = checkpoints.load_stage(golden / f"A_suno_checkpoints/{name}.pt", stage)
        assert same_network(found.load(stage), suno)
    assert found.load_codec().num_codebooks == 8


def test_hub_id_in_hugging_faces_layout(empty_caches, golden):
    names = ("config.json", "generation_config.json", "model.safetensors")
    content = {name: (golden / "C_hf_bark" / name).read_bytes() for name in names}
    in_hub_cache(empty_caches, "suno/bark-small", {"config.json": content["config.json"]})
    with pytest.raises(MissingFileError, match=r"suno/bark-small: model\.safetensors"):
        find_model("suno/bark-small")
    in_hub_cache(empty_caches, "suno/bark-small", content)
    found = find_model("suno/bark-small")
    assert found.name == "suno/bark-small"
    assert same_network(found.load("fine"), find_model(golden / "C_hf_bark").load("fine"))


def test_absent_hub_id_offline(empty_caches):
    message = r"missing files of a/b: config\.json.*hf download a/b --include"
    with pytest.raises(MissingFileError, match=message):
        find_model("a/b")


def test_hub_id_in_our_layout(empty_caches, tmp_path):
    folder = make_tiny_model(tmp_path / "tiny")
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    in_hub_cache(empty_caches, "me/tiny", files)
    found = find_model("me/tiny")
    assert found.layout == LAYOUT
    assert found.load("fine")
    assert found.load_codec()


def test_generation_config_gives_the_layout(golden, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(golden / "C_hf_bark" / name)
    config = json.loads((golden / "C_hf_bark/generation_config.json").read_text())
    config["semantic_config"]["max_new_tokens"] = 500
    config["fine_acoustics_config"]["max_fine_history_length"] = 256
    (tmp_path / "generation_config.json").write_text(json.dumps(config))
    layout = find_model(tmp_path).layout
    assert (layout.max_semantic, layout.fine_history) == (500, 256)
    config["semantic_config"]["max_new_tokens"] = -1
    (tmp_path / "generation_config.json").write_text(json.dumps(config))
    with pytest.raises(
        CheckpointError, match="token layout: max_semantic: got -1; allowed: int >= 1"
    ):
        find_model(tmp_path)


def test_our_folder(tmp_path):
    folder = make_tiny_model(tmp_path)
    (folder / "voices").mkdir()
    found = find_model(folder)
    assert found.layout == LAYOUT
    assert found.name == "tiny"
    assert found.voices == folder / "voices"
    assert {stage: type(found.load(stage)).__name__ for stage in STAGES} == {
        "semantic": "GPT", "coarse": "GPT", "fine": "FineGPT"
    }  # fmt: skip
    assert found.load_codec().sample_rate == 24_000
    assert found.load_tokenizer().encode("hello")


def test_a_name_may_be_a_string_or_a_path(tmp_path):
    folder = suno_folder(tmp_path / "suno")
    assert find_model(str(folder)).places == find_model(folder).places


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codec": {"type": "mp3"}}, r"type of codec: got 'mp3'; allowed: encodec or mel"),
        ({"codec": None}, "type of codec: got None"),
        ({"decoder": {"type": "gan"}}, "type of decoder: got 'gan'; allowed: vocos"),
        ({"codec": {"type": "encodec"}, "decoder": {"type": "vocos"}}, "'encodec'; allowed: mel"),
        ({"tokenizer": {}}, "type of tokenizer: got None; allowed: bert or phones"),
        ({"layout": {"semantic_vocab": 0}}, "semantic_vocab"),
        ({"layout": {"colour": 1}}, "token layout: got Object contains unknown field colour"),
        ({"layout": 3}, "layout: got int; allowed: object"),
        (
            {"layout": {"max_semantic": 2**40}},
            "max_semantic: got 1099511627776; allowed: int <= 65536",
        ),
        ({"defaults": [1]}, "defaults"),
        ({"defaults": {"min_eos_p": "low"}}, "defaults"),
        ({"format_version": 99}, "Install a newer version"),
    ],
)
def test_broken_config_of_our_folder(tmp_path, change, message):
    folder = make_tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(CheckpointError, match=message):
        find_model(folder)


def test_swapped_files_are_noticed(tmp_path):
    folder = suno_folder(tmp_path / "suno")
    (folder / "text_2.pt").write_bytes((folder / "coarse_2.pt").read_bytes())
    with pytest.raises(
        CheckpointError, match=r"semantic model's input_vocab_size: got 12096; allowed: 129600 or"
    ):
        find_model(folder).load("semantic")


def test_a_stage_of_another_layout_is_refused(tmp_path):
    folder = make_tiny_model(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    config["layout"]["fine_books"] = 6
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="fine model's codebooks: got 8; allowed: 6"):
        find_model(folder).load("fine")


def test_unknown_names(tmp_path):
    with pytest.raises(
        MissingFileError, match="no model 'huge'; allowed: large, small, nano, an existing folder"
    ):
        find_model("huge")
    with pytest.raises(MissingFileError, match="no model"):
        find_model(tmp_path / "a" / "b")
    (tmp_path / "file.pt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="is a file; allowed: the folder of a model"):
        find_model(tmp_path / "file.pt")
    with pytest.raises(SettingError, match="stage: got 'text'"):
        find_model("large").load("text")


def test_nano_is_shipped_or_said_to_be_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "package_files", lambda package: tmp_path)
    with pytest.raises(MissingFileError, match="'nano' is not part of this installation"):
        find_model("nano")
    make_tiny_model(tmp_path / "nano")
    assert find_model("nano").name == "nano"
    assert find_model("nano").load("coarse")


def test_only_one_stage_is_read_at_a_time(tmp_path):
    """A broken file hurts nobody before its stage is wanted."""
    folder = suno_folder(tmp_path / "suno")
    (folder / "fine_2.pt").write_bytes(b"broken")
    found = find_model(folder)
    assert found.load("coarse")
    with pytest.raises(CheckpointError, match="damaged"):
        found.load("fine")


def test_half_precision_of_our_folder_loads_as_float32(tmp_path):
    sizes = SIZES["coarse"]
    state = {name: tensor.half() for name, tensor in network("coarse").state_dict().items()}
    save_file(state, tmp_path / "coarse.safetensors")
    config = {"format": "bark", "format_version": 1, "coarse": asdict(sizes)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = checkpoints.load_stage(tmp_path, "coarse")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.allclose(loaded.lm_head.weight, network("coarse").lm_head.weight, atol=1e-3)
