"""Objects handed out under Suno's names answer as Suno's and encodec's do; malformed calls too."""

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bark import api, generation
from bark.checkpoints.formats import load_stage
from bark.errors import AudioError, BarkError, SettingError, TextError, VoiceError
from bark.generation import generate_coarse, generate_fine, generate_text_semantic
from bark.suno import SunoCodec, SunoGPT, convert_audio, load
from bark.voice.voice import Voice
from tests.bark.codec.test_encodec import HERE, TH_FILE
from tests.made_voices import VOICES, make
from tests.suno_files import suno_folder

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", ".", "♪")
BRIEF = {"silent": True, "max_gen_duration_s": 0.1}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Suno's three files of random weights, encodec's tiny file and a small vocabulary."""
    folder = suno_folder(tmp_path_factory.mktemp("models"))
    (folder / "encodec_24khz-tiny.th").write_bytes(TH_FILE.read_bytes())
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture(autouse=True)
def clean() -> None:
    generation.clean_models()


@pytest.fixture
def codec(weights: Path) -> SunoCodec:
    return generation.load_codec_model(use_gpu=False, path=weights)


# ---- the codec -------------------------------------------------------------------------------------------


def test_the_codec_encodes_and_decodes_as_encodecs_does(codec: SunoCodec) -> None:
    assert (codec.sample_rate, codec.channels, codec.bandwidth) == (24_000, 1, 6.0)
    assert (codec.quantizer.bins, codec.quantizer.n_q, codec.frame_rate) == (1024, 8, 75)
    codec.eval()
    for parameter in codec.parameters():
        parameter.requires_grad = False
    assert codec.to("cpu") is codec and next(codec.parameters()).device.type == "cpu"
    codec.set_target_bandwidth(6.0)
    with np.load(HERE / "encodec_639.npz") as expected:
        wave = torch.from_numpy(expected["audio"])[None, None]
        (codes, scale), *more = codec.encode(wave)
        assert not more and scale is None
        assert codes.dtype == torch.int64 and codes.shape == (1, 8, 2)
        assert np.array_equal(codes[0].numpy(), expected["codes"])
        audio = codec.decode([(codes, None)])
        assert audio.shape == (1, 1, 640)
        assert np.abs(audio[0, 0].numpy() - expected["decoded"]).max() < 1e-5
        # what Suno's codec_decode and the scripts around vocoders do by hand
        emb = codec.quantizer.decode(codes.transpose(0, 1))
        assert torch.allclose(codec.decoder(emb), audio, atol=1e-6)
    twice = codec.encode(torch.cat([wave, -wave]))[0][0]
    assert twice.shape == (2, 8, 2) and torch.equal(twice[:1], codes)
    assert torch.equal(codec.decode([(twice, torch.tensor([[1.0], [2.0]]))])[:1], audio)
    assert codec(wave).shape == wave.shape


def test_the_codec_refuses_what_encodecs_refuses(codec: SunoCodec) -> None:
    for wave in (torch.zeros(100), torch.zeros(1, 100), torch.zeros(1, 2, 100)):
        with pytest.raises(AudioError, match=r"allowed: \(batch, 1, samples\)"):
            codec.encode(wave)
    with pytest.raises(SettingError, match="encoded frames: got 2"):
        codec.decode([(torch.zeros(1, 8, 2), None)] * 2)
    with pytest.raises(SettingError, match="bandwidth: got 12"):
        codec.set_target_bandwidth(12)
    nano = generation.load_codec_model(path="nano")
    codes, _ = nano.encode(torch.zeros(1, 1, 640))[0]
    assert codes.shape == (1, 8, 2) and nano.decode([(codes, None)]).shape == (1, 1, 640)
    with pytest.raises(SettingError, match="no EnCodec network: got mel"):
        nano.quantizer.decode(codes.transpose(0, 1))


def test_audio_is_read_and_converted_as_with_torchaudio_and_encodec(tmp_path: Path) -> None:
    import soundfile

    stereo = np.random.default_rng(0).normal(0, 0.1, (4410, 2))
    soundfile.write(tmp_path / "a.wav", stereo, 44_100, subtype="FLOAT")
    wav, rate = load(tmp_path / "a.wav")
    assert rate == 44_100 and wav.shape == (1, 4410)
    assert np.allclose(wav[0].numpy(), stereo.mean(1), atol=1e-7)
    mono = convert_audio(torch.from_numpy(stereo.T), rate, 24_000, 1)
    assert mono.shape == (1, 2400) and mono.dtype == torch.float64
    assert torch.allclose(
        mono, convert_audio(mono.new_tensor(stereo.mean(1))[None], rate, 24_000, 1)
    )
    assert convert_audio(wav, rate, rate, 2).shape == (2, 4410)
    with pytest.raises(AudioError, match="1 or 2, N"):
        convert_audio(torch.zeros(3, 10), 24_000, 24_000, 1)


# ---- networks and tokenizer ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text", "coarse"])
def test_networks_answer_as_sunos(golden: Path, name: str) -> None:
    """Suno's own logits, with its cache handed back and forth, and without."""
    stage = {"text": "semantic", "coarse": "coarse"}[name]
    network = SunoGPT(load_stage(golden / f"A_suno_checkpoints/{name}.pt", stage))  # type: ignore[arg-type]
    expected = np.load(golden / f"B_suno_expected/logits_{name}.npz")
    case = "" if name == "text" else "ctx630_"
    ids = torch.from_numpy(expected[f"{case}prefill_ids"].astype(np.int64))
    forced, wanted = expected[f"{case}forced_tokens"], expected[f"{case}logits"]
    merge = name == "text"
    with torch.inference_mode():
        logits, cache = network(ids, merge_context=merge, use_cache=True)
        got = [logits]
        for token in forced[: len(wanted) - 1]:
            step = torch.tensor([[int(token)]])
            logits, cache = network(step, merge_context=merge, past_kv=cache, use_cache=True)
            got.append(logits)
            ids = torch.cat([ids, step], 1)
        plain, none = network(ids, merge_context=merge)
    assert none is None and plain.shape == (1, 1, network.config.output_vocab_size)
    assert np.abs(torch.cat(got)[:, 0].numpy() - wanted).max() < 1e-4
    assert torch.allclose(plain, got[-1], atol=1e-4)
    length = ids.shape[1] - (256 if merge else 0)
    heads = network.config.n_head
    assert len(cache) == network.config.n_layer
    assert (
        cache[0][0].shape == cache[0][1].shape == (1, heads, length, network.config.n_embd // heads)
    )
    with pytest.raises(SettingError, match="ids beside past_kv: got 2; allowed: one"):
        network(ids[:, :2], past_kv=cache)


def test_a_network_has_sunos_names_and_weights(weights: Path) -> None:
    loaded = generation.load_model(use_gpu=False, model_type="coarse", path=weights)
    inner = load_stage(weights, "coarse")
    assert loaded.state_dict().keys() == inner.state_dict().keys()
    assert not loaded.training and next(loaded.parameters()).device.type == "cpu"
    tables = (inner.config.input_vocab_size + inner.config.block_size) * inner.config.n_embd
    everything = sum(tensor.numel() for tensor in inner.parameters())
    assert loaded.get_num_params() == everything - tables
    assert loaded.get_num_params(non_embedding=False) == everything
    with pytest.raises(SettingError, match="positions: got 1025; allowed: up to 1024"):
        loaded(torch.zeros(1, 1025, dtype=torch.long))
    with pytest.raises(SettingError, match="ids to merge: got 512"):
        loaded(torch.zeros(1, 512, dtype=torch.long), merge_context=True)
    fine = generation.load_model(use_gpu=False, model_type="fine", path=weights)
    assert fine(3, torch.zeros(1, 5, 8, dtype=torch.long)).shape == (1, 5, 1056)


def test_the_tokenizer_answers_as_transformers_does(weights: Path) -> None:
    from transformers import BertTokenizer

    ours = generation.load_model(use_gpu=False, path=weights)["tokenizer"]
    theirs = BertTokenizer(vocab=str(weights / "vocab.txt"), do_lower_case=False)
    for text in ("hello world.", "  hello\n there ♪ ", "..."):
        for special in (False, True):
            assert ours.encode(text, add_special_tokens=special) == theirs.encode(
                text, add_special_tokens=special
            )
        ids = ours.encode(text)
        assert ids[0] == 2 and ids[-1] == 3
        assert ours.decode(ids) == theirs.decode(ids)
    assert len(ours) == len(WORDS)
    nano = generation.load_model(path="nano")["tokenizer"]
    assert nano.encode("hello", add_special_tokens=False)


# ---- what Suno checks, where it checks it ----------------------------------------------------------------


def takes(stage: str, voice: Path) -> bool:
    """Say whether our function of a stage speaks with a file."""
    calls = {
        "semantic": lambda: generate_text_semantic("hello", voice, **BRIEF),
        "coarse": lambda: generate_coarse(np.array([1, 2]), voice, silent=True),
        "fine": lambda: generate_fine(np.zeros((2, 4), int), voice),
    }
    try:
        calls[stage]()
    except BarkError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("missing_fine_prompt", "semantic coarse"), ("coarse_not_prefix_of_fine", "semantic coarse fine"),
     ("float_dtype", "semantic coarse fine"), ("ratio_far", "semantic fine"),
     ("fine_length_differs", "semantic coarse fine"), ("semantic_2d", "fine"), ("empty_all", "")],
)  # fmt: skip
def test_each_function_takes_the_voices_that_sunos_takes(
    weights: Path, name: str, accepted: str
) -> None:
    generation.preload_models(path=weights)
    path = VOICES / "malformed" / f"{name}.npz"
    assert [s for s in ("semantic", "coarse", "fine") if takes(s, path)] == accepted.split()


def test_a_mixed_voice_speaks_and_warns_once(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generation.preload_models(path=weights)
    semantic = np.arange(1, 9)
    api.semantic_to_waveform(
        semantic, VOICES / "malformed" / "coarse_not_prefix_of_fine.npz", silent=True, seed=1
    )
    assert sum("a mixed voice may change while it speaks" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("text", ["...", "♪♪♪", "😂"])
def test_text_without_words_is_spoken_with_a_warning(
    weights: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    generation.load_model(path=weights)
    assert generate_text_semantic(text, seed=1, **BRIEF).dtype == np.int64
    assert "has no words" in caplog.text
    with pytest.raises(TextError, match="nothing to speak"):
        generate_text_semantic(" \n ")


def test_top_p_above_one_keeps_every_token(weights: Path) -> None:
    generation.preload_models(path=weights)
    for top_p in (1.5, 100):
        assert np.array_equal(
            generate_text_semantic("hello", top_p=top_p, seed=3, **BRIEF),
            generate_text_semantic("hello", seed=3, **BRIEF),
        )
    coarse = generate_coarse(np.array([1, 2, 3, 4]), top_p=2, seed=3, silent=True)
    assert np.array_equal(coarse, generate_coarse(np.array([1, 2, 3, 4]), seed=3, silent=True))


def test_a_greedy_fine_stage_draws_nothing(weights: Path) -> None:
    generation.load_model(model_type="fine", path=weights)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    codes = generate_fine(np.zeros((2, 6), int), temp=None)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(generate_fine(np.zeros((2, 6), int), temp=None), codes)
    generate_fine(np.zeros((2, 6), int), temp=0.5)
    assert not torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("tokens", [1, 3, 40])
def test_generations_of_any_length_are_saved(
    tmp_path: Path, tokens: int, caplog: pytest.LogCaptureFixture
) -> None:
    frames = math.floor(tokens * 75 / 49.9)
    full = dict(make(max(tokens, 2), frames).to_dict())
    full["semantic_prompt"] = full["semantic_prompt"][:tokens]
    api.save_as_prompt(tmp_path / "take.npz", full)
    with np.load(tmp_path / "take.npz") as saved:
        assert all(np.array_equal(saved[key], full[key]) for key in full)
    assert ("nothing can be spoken with it" in caplog.text) is (tokens < 10)
    with pytest.raises(VoiceError, match="not full: got no fine_prompt"):
        api.save_as_prompt(tmp_path / "part.npz", {k: full[k] for k in list(full)[:2]})


def test_what_is_saved_says_whose_tokens_it_holds(weights: Path, tmp_path: Path) -> None:
    generation.preload_models(path=weights)
    full, _ = api.semantic_to_waveform(np.arange(1, 21), silent=True, output_full=True, seed=1)
    api.save_as_prompt(tmp_path / "take.npz", full)
    assert Voice.load(tmp_path / "take.npz").info["tokens"].startswith("encodec 8x1024 at 75 Hz")
    generation.clean_models()
    generation.load_model(path="nano")
    with pytest.raises(VoiceError, match="nano understands other tokens"):
        generate_text_semantic("hello", tmp_path / "take.npz")


# ---- names of the module, and serp-ai's ------------------------------------------------------------------


def test_names_that_scripts_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("SUNO_ENABLE_MPS", "1")
    assert Path(generation.CACHE_DIR) == Path("cache/suno/bark_v0")
    assert generation.GLOBAL_ENABLE_MPS is True
    assert generation.REMOTE_MODEL_PATHS["text"] == {
        "repo_id": "suno/bark",
        "file_name": "text_2.pt",
    }
    assert generation.REMOTE_MODEL_PATHS["fine_small"]["file_name"] == "fine.pt"
    assert len(generation.REMOTE_MODEL_PATHS) == 6
    generation.clear_cuda_cache()
    with pytest.raises(AttributeError, match="no attribute 'CACHE'"):
        generation.CACHE  # noqa: B018


def test_serp_ais_preload_takes_a_tuned_file_for_each_stage(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.bark.checkpoints.test_variants import tuned

    monkeypatch.chdir(tmp_path)
    for stage in ("semantic", "coarse"):
        tuned(tmp_path, stage)
    (tmp_path / "semantic_output" / "vocab.txt").write_text("[UNK]\n")
    generation.preload_models(
        text_use_gpu=False,
        text_model_path="semantic_output/pytorch_model.bin",
        coarse_model_path=tmp_path / "coarse_output",
        fine_model_path=weights / "fine_2.pt",
        path=weights,
    )
    sources = {
        key: files.path(generation.STAGES.get(key, key))
        for key, files in generation._sources.items()
    }
    assert sources["text"] == Path("semantic_output/pytorch_model.bin")
    assert sources["coarse"] == tmp_path / "coarse_output" / "pytorch_model.bin"
    assert sources["fine"] == weights / "fine_2.pt"
    audio = api.semantic_to_waveform(np.arange(1, 9), silent=True, seed=1)
    assert audio.dtype == np.float32 and len(audio) == 320 * 12


def test_serp_ais_folder_of_downloads_may_be_empty(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their notebooks say ``path="models"``, where their code puts Suno's files when it has fetched them."""
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "suno").mkdir(parents=True)
    (tmp_path / "cache" / "suno" / "bark_v0").symlink_to(weights)
    network = generation.load_model(model_type="coarse", path="models")
    assert generation._sources["coarse"].name == "large"
    (tmp_path / "models").symlink_to(weights)
    other = generation.load_model(model_type="coarse", path="models")
    assert generation._sources["coarse"].name == "models" and other is not network
