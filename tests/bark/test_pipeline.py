"""Text and voice in, speech out: seeds, batches, mixing of stages, offload."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bark import Bark, Voice
from bark.checkpoints.find import find_model
from bark.checkpoints.load import check_same_layout
from bark.errors import SettingError, TextError
from bark.settings import Settings
from bark.stages.coarse import CoarseStage
from bark.stages.fine import FineStage
from bark.stages.seeds import MAX_SEED
from bark.stages.semantic import SemanticStage
from bark.text.reading import Reading


@pytest.fixture(scope="module")
def bark(tiny_bark: Path) -> Bark:
    return Bark.from_pretrained(tiny_bark, device="cpu")


def same_tokens(a: Voice, b: Voice) -> bool:
    pairs = [(a.semantic, b.semantic), (a.coarse, b.coarse), (a.fine, b.fine)]
    return all(np.array_equal(x, y) for x, y in pairs)


def test_a_generation_is_whole(bark: Bark) -> None:
    take = bark.generate("two words", seed=5)
    tokens, frames = take.tokens, take.tokens.fine.shape[1]
    assert take.audio.dtype == np.float32 and len(take.audio) == 320 * frames
    assert tokens.coarse.shape == (2, frames) and np.array_equal(tokens.fine[:2], tokens.coarse)
    assert take.seed == 5 and take.text == "two words" and take.duration == frames / 75
    assert set(take.timings) == {"semantic", "coarse", "fine", "codec"}
    assert take.settings.max_duration_s == 1.0  # the model's own default


def test_same_seed_same_tokens_and_another_seed_others(bark: Bark) -> None:
    first, second = (bark.generate("hello there", seed=11) for _ in range(2))
    assert same_tokens(first.tokens, second.tokens) and np.array_equal(first.audio, second.audio)
    assert not same_tokens(first.tokens, bark.generate("hello there", seed=12).tokens)


def test_a_take_without_seed_records_the_one_it_drew(bark: Bark) -> None:
    take = bark.generate("hello there")
    assert same_tokens(take.tokens, bark.generate("hello there", seed=take.seed).tokens)


def test_the_global_generator_is_left_alone_by_a_seeded_take(bark: Bark) -> None:
    state = torch.get_rng_state()
    bark.generate("hello", seed=1)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("voiced", [False, True])
def test_batch_equals_single(bark: Bark, voiced: bool) -> None:
    voice = bark.generate("a voice to speak with", seed=0).voice if voiced else None
    texts, seeds = ["one", "two and three", "a somewhat longer sentence"], [1, 2, 3]
    batch = bark.generate_batch(texts, voice, seeds=seeds)
    for text, seed, take in zip(texts, seeds, batch, strict=True):
        assert same_tokens(take.tokens, bark.generate(text, voice, seed=seed).tokens)


def test_a_take_is_a_voice_for_the_next(bark: Bark, tmp_path: Path) -> None:
    voice = bark.generate("the first", seed=2).voice
    voice.save(tmp_path / "first.npz")
    assert Voice.load(tmp_path / "first.npz").info["model"] == bark.name
    spoken = [
        bark.generate("the next", v, seed=3)
        for v in (voice, tmp_path / "first.npz", voice.to_dict())
    ]
    assert same_tokens(spoken[0].tokens, spoken[1].tokens) and same_tokens(
        spoken[0].tokens, spoken[2].tokens
    )


def test_offload_changes_nothing_but_places(tiny_bark: Path, bark: Bark) -> None:
    offloaded = Bark.from_pretrained(tiny_bark, device="cpu", offload=True)
    assert same_tokens(offloaded.generate("hi", seed=4).tokens, bark.generate("hi", seed=4).tokens)


def test_a_stage_of_another_family_is_refused(bark: Bark, tiny_bark: Path) -> None:
    with pytest.raises(SettingError, match="another token layout"):
        check_same_layout(bark.layout, replace(bark.layout, semantic_vocab=65), "coarse")


def test_a_torch_device_is_a_device(tiny_bark: Path, bark: Bark) -> None:
    given = Bark.from_pretrained(tiny_bark, device=torch.device("cpu"))
    take, other = given.generate("hi", seed=4), bark.generate("hi", seed=4)
    assert same_tokens(take.tokens, other.tokens) and take != other and len({take, other}) == 2


def test_temperature_zero_is_deterministic(bark: Bark) -> None:
    cold = {"semantic_temperature": 0, "coarse_temperature": 0, "fine_temperature": 0}
    first, second = (bark.generate("hello", seed=seed, **cold) for seed in (1, 2))
    assert same_tokens(first.tokens, second.tokens)


def test_wrong_arguments_say_what_is_allowed(bark: Bark) -> None:
    with pytest.raises(
        SettingError, match="unknown setting: got temperature; allowed: semantic_temperature"
    ):
        bark.generate("hello", temperature=1)
    for name, value in (
        ("semantic_temperature", None), ("coarse_top_k", -1), ("coarse_top_p", "most"), ("fine_temperature", -1),
        ("min_eos_p", -1), ("max_duration_s", "2"), ("sliding_window_len", -1), ("max_coarse_history", True),
    ):  # fmt: skip
        with pytest.raises(
            SettingError, match=f"{name.removeprefix('semantic_').partition('_')[2]}.*: got"
        ):
            bark.check({name: value})
        with pytest.raises(SettingError):
            bark.generate("...", **{name: value})  # before the text, which is no good either
    with pytest.raises(
        SettingError, match=f"seed: got -1; allowed: a whole number from 0 to {MAX_SEED}"
    ):
        bark.generate("hello", seed=-1)
    with pytest.raises(SettingError, match="seeds: got 1 for 2 texts"):
        bark.generate_batch(["a", "b"], seeds=[1])
    with pytest.raises(TextError):
        bark.generate("   ")
    with pytest.raises(
        TextError, match="too long for one utterance: got .* tokens; allowed: up to 64"
    ):
        bark.generate("a great many words " * 20)
    with pytest.raises(SettingError, match="nothing was spoken for 'hello'"):
        bark.generate("hello", min_eos_p=0.0, seed=1)
    assert bark.generate_batch([]) == []


def test_speech_that_fills_the_longest_utterance_is_told(
    bark: Bark, caplog: pytest.LogCaptureFixture
) -> None:
    takes = bark.generate_batch(["hello"] * 8, seeds=range(8), min_eos_p=None, max_duration_s=None)
    unfinished = sum(len(take.tokens.semantic) == bark.layout.max_semantic for take in takes)
    assert 0 < unfinished == caplog.text.count("'hello' was not finished after 2.0 s")
    caplog.clear()
    bark.generate("hello", seed=1, allow_early_stop=False)
    assert not caplog.text  # it was to last so long


def test_settings_are_sunos_by_default() -> None:
    settings = Settings()
    stages = (settings.semantic, settings.coarse, settings.fine)
    assert [stage.temperature for stage in stages] == [0.7, 0.7, 0.5]
    assert settings.min_eos_p == 0.2 and settings.semantic.top_k is None
    assert Settings().changed(settings.to_dict()) == settings


class GivenIds:
    """A tokenizer whose answer is known: the references start from token ids."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids

    def encode(self, text: str) -> list[int]:
        return self.ids

    def normalize(self, text: str) -> str:
        return text

    def read(self, text: str) -> Reading:
        return Reading(text)

    def encode_reading(self, reading: Reading) -> list[int]:
        return self.ids


@pytest.mark.parametrize("case", ["nohist", "preset"])
@pytest.mark.parametrize("source", ["A_suno_checkpoints", "C_hf_bark"])
def test_the_whole_chain_equals_sunos(golden: Path, case: str, source: str) -> None:
    """text ids → semantic → coarse → fine → audio, greedy, from Suno's files and from Hugging Face's."""
    expected = np.load(golden / "C_hf_bark" / f"pipeline_greedy_{case}.npz", allow_pickle=False)
    files = find_model(golden / source)
    codec = find_model(golden / "C_hf_bark").load_codec()
    keys = ("history_semantic_prompt", "history_coarse_prompt", "history_fine_prompt")
    voice = Voice(*(expected[key] for key in keys)) if case == "preset" else None
    bark = Bark(
        SemanticStage(files.load("semantic"), files.layout),
        CoarseStage(files.load("coarse"), files.layout),
        FineStage(files.load("fine"), files.layout),
        codec,
        GivenIds(expected["text_ids"].tolist()),
        files.layout,
    )
    cold = {"semantic_temperature": 1e-6, "coarse_temperature": 1e-6, "fine_temperature": 1e-6}
    take = bark.generate("as given", voice, seed=0, max_duration_s=60 / 49.9 - 1e-3, **cold)
    assert np.array_equal(take.tokens.semantic, expected["semantic"])
    assert np.array_equal(take.tokens.coarse, expected["coarse"])
    assert np.array_equal(take.tokens.fine, expected["fine"])
    assert np.abs(take.audio - expected["audio"]).max() < 1e-5
