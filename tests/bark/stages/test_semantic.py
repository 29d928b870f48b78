"""The semantic stage equals Suno's: golden cases with and without cache, limits, batches, every refusal."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bark.errors import SettingError, TextError, VoiceError
from bark.stages.gpt import GPT
from bark.stages.progress import Watch
from bark.stages.sampling import Sampling
from bark.stages.semantic import SemanticStage, semantic_prompt, token_limit
from bark.tokens import TokenLayout
from tests.stages import Case, Chooser, message, random_gpt, read_checkpoint

SMALL = TokenLayout(
    semantic_rate=50.0, semantic_vocab=40, text_offset=48, text_pad=78, semantic_infer=79, text_window=8,
    max_semantic=24,
)  # fmt: skip
NAMES = """greedy_eos min_eos_p_stop min_eos_p_high min_eos_p_zero min_eos_p_none no_early_stop_dur dur_zero full_768
    history_long history_short_text300 history_preset empty_text_ids topk50_icdf topp90_icdf topk5_last topp50_last
    topk40_topp60_icdf plain_t07_icdf""".split()


@pytest.fixture(scope="module")
def suno(golden: Path) -> GPT:
    model = read_checkpoint(golden / "A_suno_checkpoints" / "text.pt")
    assert isinstance(model, GPT)
    return model


def small_stage(seed: int = 0) -> SemanticStage:
    return SemanticStage(random_gpt(seed, input_vocab_size=80, output_vocab_size=48), SMALL)


def speak(case: Case, model: GPT, use_kv_caching: bool) -> tuple[np.ndarray, Chooser]:
    chooser = Chooser.of(case)
    stage = SemanticStage(model, draw=chooser, use_cache=use_kv_caching)
    spoken = stage.generate(
        case.arrays["text_ids"],
        None if case.voice is None else case.voice.semantic,
        sampling=case.sampling,
        min_eos_p=case.params.get("min_eos_p", 0.2),
        max_duration_s=case.params.get("max_gen_duration_s"),
        allow_early_stop=case.params.get("allow_early_stop", True),
    )
    return spoken, chooser


@pytest.mark.parametrize("name", NAMES)
def test_golden_tokens_prompt_and_distributions(golden: Path, suno: GPT, name: str) -> None:
    case = Case.read(golden / "B_suno_expected" / f"semantic_{name}.npz")
    history = None if case.voice is None else case.voice.semantic
    prompt = semantic_prompt(case.arrays["text_ids"], history)
    np.testing.assert_array_equal(prompt, case.arrays["prefill_ids"])
    spoken, chooser = speak(case, suno, use_kv_caching=True)
    np.testing.assert_array_equal(spoken, case.expected)
    assert spoken.dtype == np.int64 and case.expected.dtype == np.int64
    for step in range(3):
        if f"step{step}_probs" in case.arrays:
            support = case.arrays[f"step{step}_support"]
            probs = chooser.seen[step][0].numpy()
            np.testing.assert_allclose(
                probs[support], case.arrays[f"step{step}_probs"], rtol=1e-4, atol=1e-7
            )
            np.testing.assert_array_equal(np.flatnonzero(probs), np.sort(support))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "full_768"])
def test_golden_tokens_without_cache(golden: Path, suno: GPT, name: str) -> None:
    case = Case.read(golden / "B_suno_expected" / f"semantic_{name}.npz")
    np.testing.assert_array_equal(speak(case, suno, use_kv_caching=False)[0], case.expected)


@pytest.mark.usefixtures("static")
@pytest.mark.parametrize("name", ["greedy_eos", "history_long", "topk40_topp60_icdf"])
def test_golden_tokens_with_the_steps_of_a_gpu(golden: Path, suno: GPT, name: str) -> None:
    case = Case.read(golden / "B_suno_expected" / f"semantic_{name}.npz")
    np.testing.assert_array_equal(speak(case, suno, use_kv_caching=True)[0], case.expected)


@pytest.mark.slow
def test_golden_full_length_without_cache(golden: Path, suno: GPT) -> None:
    case = Case.read(golden / "B_suno_expected" / "semantic_full_768.npz")
    np.testing.assert_array_equal(speak(case, suno, use_kv_caching=False)[0], case.expected)


def test_all_golden_cases_are_covered(golden: Path) -> None:
    files = {path.stem for path in (golden / "B_suno_expected").glob("semantic_*.npz")}
    assert files == {f"semantic_{name}" for name in NAMES} | {"semantic_duration_table"}


def test_durations_are_those_of_sunos_accumulator(golden: Path) -> None:
    with np.load(golden / "B_suno_expected" / "semantic_duration_table.npz") as table:
        pairs = list(zip(table["max_gen_duration_s"], table["n_tokens"], strict=True))
    assert len(pairs) > 20
    assert [token_limit(float(seconds)) for seconds, _ in pairs] == [count for _, count in pairs]


def test_batch_equals_single_with_own_history_and_generator() -> None:
    stage = small_stage()
    texts = [[1, 2, 3], [4], [], list(range(20))]
    histories = [None, np.arange(5), np.arange(30), np.array([7])]
    sampling = Sampling(temperature=1.0, top_k=20)

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(10 + i) for i in range(len(texts))]

    batch = stage.generate_batch(texts, histories, sampling=sampling, generators=generators())
    singles = [
        stage.generate(text, history, sampling=sampling, generator=generator)
        for text, history, generator in zip(texts, histories, generators(), strict=True)
    ]
    assert len({len(row) for row in batch}) > 1, "the rows should end at different steps"
    for row, single in zip(batch, singles, strict=True):
        np.testing.assert_array_equal(row, single)
    uncached = SemanticStage(stage.model, stage.layout, use_cache=False)
    slow = uncached.generate_batch(texts, histories, sampling=sampling, generators=generators())
    for row, other in zip(batch, slow, strict=True):
        np.testing.assert_array_equal(row, other)
    assert stage.generate_batch([]) == []


def test_same_seed_same_tokens_and_temperature_zero_is_greedy() -> None:
    stage = small_stage()

    def spoken(seed: int, temperature: float) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        sampling = Sampling(temperature=temperature)
        return stage.generate(
            [1, 2], sampling=sampling, generator=generator, allow_early_stop=False
        ).tolist()

    assert spoken(1, 1.0) == spoken(1, 1.0) != spoken(2, 1.0)
    assert spoken(1, 0.0) == spoken(2, 0.0)
    torch.manual_seed(5)
    first = stage.generate([1, 2], allow_early_stop=False)
    torch.manual_seed(5)
    np.testing.assert_array_equal(first, stage.generate([1, 2], allow_early_stop=False))


def test_only_the_last_window_of_history_and_the_first_of_text_are_read() -> None:
    history, text = np.arange(30), list(range(12))
    np.testing.assert_array_equal(
        semantic_prompt(text, history, SMALL), semantic_prompt(text[:8], history[-8:], SMALL)
    )


def test_progress_bar_is_opt_in(capsys: pytest.CaptureFixture[str]) -> None:
    small_stage().generate([1], max_duration_s=0.1)
    assert capsys.readouterr().err == ""
    small_stage().generate([1], max_duration_s=0.1, watch=Watch(bars=True))
    assert "semantic" in capsys.readouterr().err


def test_refusals() -> None:
    stage = small_stage()
    assert (
        message(lambda: stage.generate([-1]), TextError)
        == "text tokens: got values -1 … -1; allowed: 0 … 29"
    )
    assert "0 … 29" in message(lambda: stage.generate([30]), TextError)
    assert "float64" in message(lambda: stage.generate([0.5]), TextError)  # type: ignore[list-item]
    assert "shape (1, 1)" in message(lambda: stage.generate(np.zeros((1, 1), int)), TextError)
    too_high, voice = np.array([40]), "semantic_prompt of the voice"
    assert message(lambda: stage.generate([1], too_high), VoiceError).startswith(
        f"{voice}: got values 40 … 40"
    )
    assert "shape (0,)" in message(lambda: stage.generate([1], np.array([], int)), VoiceError)
    assert "nan" in message(lambda: stage.generate([1], np.array([np.nan])), VoiceError)
    assert "type bool" in message(lambda: stage.generate([1], np.array([True])), VoiceError)
    assert "max_duration_s: got -1" in message(
        lambda: stage.generate([1], max_duration_s=-1), SettingError
    )
    assert "max_duration_s: got nan" in message(
        lambda: stage.generate([1], max_duration_s=float("nan")), SettingError
    )
    assert "min_eos_p: got -0.1" in message(
        lambda: stage.generate([1], min_eos_p=-0.1), SettingError
    )
    assert "2 of them" in message(lambda: stage.generate_batch([[1]], [None, None]), SettingError)
    small = random_gpt(input_vocab_size=79, output_vocab_size=48)
    assert "input_vocab_size: got 79; allowed: 80" in message(
        lambda: SemanticStage(small, SMALL), SettingError
    )
    short = random_gpt(input_vocab_size=80, output_vocab_size=48, block_size=31)
    assert "block_size: got 31; allowed: " in message(
        lambda: SemanticStage(short, SMALL), SettingError
    )
