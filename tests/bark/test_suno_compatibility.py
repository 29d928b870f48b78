"""Code written for suno-ai/bark finds every name, argument, default and result where it left them."""

import inspect
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import bark
from bark import api, generation
from bark.checkpoints.find import ModelFiles
from bark.errors import MissingFileError

# read in suno-ai/bark at commit f4f32d4; our further arguments may only follow. Where Suno has a number
# that suits its own weights, ours is None or MODEL_DEFAULT: the loaded model's own, which for Suno's is that.
SIGNATURES = {
    generation.load_model: [("use_gpu", True), ("use_small", False), ("force_reload", False), ("model_type", "text")],
    generation.load_codec_model: [("use_gpu", True), ("force_reload", False)],
    generation.preload_models: [
        ("text_use_gpu", True), ("text_use_small", False), ("coarse_use_gpu", True), ("coarse_use_small", False),
        ("fine_use_gpu", True), ("fine_use_small", False), ("codec_use_gpu", True), ("force_reload", False),
    ],
    generation.clean_models: [("model_key", None)],
    generation.generate_text_semantic: [
        ("text", inspect.Parameter.empty), ("history_prompt", None), ("temp", None), ("top_k", None), ("top_p", None),
        ("silent", False), ("min_eos_p", generation.MODEL_DEFAULT), ("max_gen_duration_s", None), ("allow_early_stop", True),
        ("use_kv_caching", False),
    ],
    generation.generate_coarse: [
        ("x_semantic", inspect.Parameter.empty), ("history_prompt", None), ("temp", None), ("top_k", None),
        ("top_p", None), ("silent", False), ("max_coarse_history", None), ("sliding_window_len", None),
        ("use_kv_caching", False),
    ],
    generation.generate_fine: [
        ("x_coarse_gen", inspect.Parameter.empty), ("history_prompt", None), ("temp", generation.MODEL_DEFAULT), ("silent", True),
    ],
    generation.codec_decode: [("fine_tokens", inspect.Parameter.empty)],
    api.text_to_semantic: [
        ("text", inspect.Parameter.empty), ("history_prompt", None), ("temp", None), ("silent", False),
    ],
    api.semantic_to_waveform: [
        ("semantic_tokens", inspect.Parameter.empty), ("history_prompt", None), ("temp", None), ("silent", False),
        ("output_full", False),
    ],
    api.save_as_prompt: [("filepath", inspect.Parameter.empty), ("full_generation", inspect.Parameter.empty)],
    api.generate_audio: [
        ("text", inspect.Parameter.empty), ("history_prompt", None), ("text_temp", None), ("waveform_temp", None),
        ("silent", False), ("output_full", False),
    ],
}  # fmt: skip
CONSTANTS = {
    "CONTEXT_WINDOW_SIZE": 1024, "SEMANTIC_RATE_HZ": 49.9, "SEMANTIC_VOCAB_SIZE": 10_000, "CODEBOOK_SIZE": 1024,
    "N_COARSE_CODEBOOKS": 2, "N_FINE_CODEBOOKS": 8, "COARSE_RATE_HZ": 75, "SAMPLE_RATE": 24_000,
    "TEXT_ENCODING_OFFSET": 10_048, "SEMANTIC_PAD_TOKEN": 10_000, "TEXT_PAD_TOKEN": 129_595,
    "SEMANTIC_INFER_TOKEN": 129_599, "COARSE_SEMANTIC_PAD_TOKEN": 12_048, "COARSE_INFER_TOKEN": 12_050,
}  # fmt: skip


@pytest.fixture(autouse=True)
def clean() -> None:
    generation.clean_models()


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda f: f.__name__)
def test_names_order_and_defaults(function) -> None:
    ours = [(p.name, p.default) for p in inspect.signature(function).parameters.values()]
    theirs = SIGNATURES[function]
    assert ours[: len(theirs)] == theirs
    assert all(default is None for _, default in ours[len(theirs) :])


def test_constants_and_prompts() -> None:
    assert {name: getattr(generation, name) for name in CONSTANTS} == CONSTANTS
    assert ("German", "de") in generation.SUPPORTED_LANGS and len(generation.SUPPORTED_LANGS) == 13
    assert {"announcer", "en_speaker_9", "v2/zh_speaker_0"} <= generation.ALLOWED_PROMPTS
    assert len(generation.ALLOWED_PROMPTS) == 1 + 2 * 130


def test_top_level_names() -> None:
    for name in (
        "SAMPLE_RATE",
        "generate_audio",
        "preload_models",
        "text_to_semantic",
        "semantic_to_waveform",
    ):
        assert getattr(bark, name) is not None
    assert bark.save_as_prompt is api.save_as_prompt


def test_the_whole_chain_on_a_tiny_model(tiny_bark: Path, tmp_path: Path) -> None:
    bark.preload_models(path=tiny_bark)
    whole, audio = bark.generate_audio("two words", silent=True, output_full=True, seed=1)
    assert audio.dtype == np.float32 and audio.ndim == 1
    assert whole["semantic_prompt"].dtype == np.int64
    assert whole["coarse_prompt"].dtype == whole["fine_prompt"].dtype == np.int32
    assert len(audio) == 320 * whole["fine_prompt"].shape[1]

    semantic = bark.text_to_semantic("two words", silent=True, seed=1)
    assert np.array_equal(semantic, whole["semantic_prompt"])
    assert np.array_equal(bark.semantic_to_waveform(semantic, silent=True, seed=1), audio)

    bark.save_as_prompt(tmp_path / "take.npz", whole)
    again = bark.generate_audio(
        "two words", history_prompt=str(tmp_path / "take.npz"), silent=True, seed=1
    )
    assert again.shape[0] > 0 and not np.array_equal(again, audio)


def test_a_reload_in_one_thread_leaves_the_others_what_they_had(tiny_bark: Path) -> None:
    bark.preload_models(path=tiny_bark)
    alone = generation.generate_text_semantic("two words", silent=True, seed=1)
    reloads = iter(range(5))

    def reload_or_speak(number: int) -> np.ndarray | None:
        if number:
            return generation.generate_text_semantic("two words", silent=True, seed=1)
        for _ in reloads:
            bark.preload_models(path=tiny_bark, force_reload=True)
        return None

    with ThreadPoolExecutor(4) as pool:
        spoken = list(pool.map(reload_or_speak, range(24)))[1:]
    assert next(reloads, None) is None
    assert all(np.array_equal(tokens, alone) for tokens in spoken if tokens is not None)


def test_the_codec_is_loaded_alone(tiny_bark: Path) -> None:
    generation.load_codec_model(path=tiny_bark)
    generation.codec_decode(np.zeros((8, 3), np.int32))
    assert set(generation.models) == {"codec"}


def test_global_seed_works_as_with_suno(tiny_bark: Path) -> None:
    import torch

    bark.preload_models(path=tiny_bark)
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        runs.append(generation.generate_text_semantic("hello there", silent=True))
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


def test_wrong_arguments_say_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model_type: got 'codec'; allowed: text, coarse, fine"):
        generation.load_model(model_type="codec")
    with pytest.raises(ValueError, match=r"a name ending in \.npz"):
        bark.save_as_prompt(tmp_path / "voice.wav", {})


def test_a_copy_of_a_model_is_another_model(tiny_bark: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bark, tmp_path / "copy")  # of the same name
    first = generation.load_model(path=tiny_bark)
    assert generation.load_model(path=tiny_bark) is first and generation.load_model() is first
    assert generation.load_model(path=copy) is not first


def test_a_load_that_fails_half_way_leaves_nothing(
    tiny_bark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(files: ModelFiles) -> None:
        raise MissingFileError("no tokenizer")

    with monkeypatch.context() as patched:
        patched.setattr(ModelFiles, "load_tokenizer", missing)
        for _ in range(2):
            with pytest.raises(MissingFileError, match="no tokenizer"):
                generation.load_model(path=tiny_bark)
    assert generation.load_model(path=tiny_bark)["tokenizer"]
