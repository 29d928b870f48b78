"""The coarse stage equals Suno's: golden tokens and windows, exact reuse of the cache, batches, every refusal."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bark.errors import SettingError, VoiceError
from bark.stages.coarse import CoarseStage, coarse_history, coarse_steps, coarse_window
from bark.stages.decoding import Decoder
from bark.stages.gpt import GPT
from bark.stages.sampling import Sampling
from bark.tokens import TokenLayout, flatten_codebooks
from tests.stages import Case, Chooser, message, random_gpt, read_checkpoint

SMALL = TokenLayout(
    semantic_rate=50.0, semantic_vocab=40, codebook_size=16, coarse_semantic_pad=72, coarse_infer=73,
    coarse_semantic_window=12, max_coarse_history=30, min_coarse_history=6, sliding_window=9,
    coarse_history_drop=0,
)  # fmt: skip
NAMES = """len1 len37 len40 len300 len499 history_400_601 history_101_152 history_60_90 history_2_3 window45_hist60
    window7_hist100 window138 history_preset history_announcer_uint16 topk20_icdf topp70_icdf topk3_last
    plain_t07_icdf""".split()
LONG = {"len300", "len499"}


@pytest.fixture(scope="module")
def suno(golden: Path) -> GPT:
    model = read_checkpoint(golden / "A_suno_checkpoints" / "coarse.pt")
    assert isinstance(model, GPT)
    return model


def small_stage(seed: int = 0) -> CoarseStage:
    return CoarseStage(random_gpt(seed, input_vocab_size=80, output_vocab_size=80), SMALL)


def voice(semantic: int, frames: int, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(16, size=(2, frames))
    return SimpleNamespace(semantic=generator.integers(40, size=semantic), coarse=coarse)


def uncached(stage: CoarseStage) -> CoarseStage:
    return CoarseStage(stage.model, stage.layout, stage.draw, use_cache=False)


def run(case: Case, model: GPT, use_kv_caching: bool) -> tuple[np.ndarray, Chooser]:
    chooser = Chooser.of(case)
    codes = CoarseStage(model, draw=chooser, use_cache=use_kv_caching).generate(
        case.arrays["x_semantic"],
        case.voice,
        sampling=case.sampling,
        max_coarse_history=case.params.get("max_coarse_history"),
        sliding_window_len=case.params.get("sliding_window_len"),
    )
    return codes, chooser


@pytest.mark.parametrize("name", NAMES)
def test_golden_codes_and_distributions(golden: Path, suno: GPT, name: str) -> None:
    case = Case.read(golden / "B_suno_expected" / f"coarse_{name}.npz")
    codes, chooser = run(case, suno, use_kv_caching=True)
    np.testing.assert_array_equal(codes, case.expected)
    assert codes.dtype == np.int64
    for step in range(3):
        if f"step{step}_probs" in case.arrays:
            support = case.arrays[f"step{step}_support"]
            probs = chooser.seen[step][0].numpy()
            np.testing.assert_allclose(
                probs[support], case.arrays[f"step{step}_probs"], rtol=1e-4, atol=1e-7
            )
            np.testing.assert_array_equal(np.flatnonzero(probs), np.sort(support))


@pytest.mark.usefixtures("static")
@pytest.mark.parametrize("name", ["len40", "history_101_152", "window45_hist60", "topp70_icdf"])
def test_golden_codes_with_the_steps_of_a_gpu(golden: Path, suno: GPT, name: str) -> None:
    case = Case.read(golden / "B_suno_expected" / f"coarse_{name}.npz")
    np.testing.assert_array_equal(run(case, suno, use_kv_caching=True)[0], case.expected)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in NAMES]
)
def test_golden_codes_without_cache(golden: Path, suno: GPT, name: str) -> None:
    case = Case.read(golden / "B_suno_expected" / f"coarse_{name}.npz")
    np.testing.assert_array_equal(run(case, suno, use_kv_caching=False)[0], case.expected)


@pytest.mark.parametrize("name", NAMES)
def test_golden_windows(golden: Path, name: str) -> None:
    case = Case.read(golden / "B_suno_expected" / f"coarse_{name}.npz")
    longest = case.params.get("max_coarse_history", 630)
    sliding = case.params.get("sliding_window_len", 60)
    heard = (np.empty(0, int), np.empty(0, int))
    if case.voice is not None:
        heard = coarse_history(case.voice.semantic, case.voice.coarse, longest)
    semantic = np.concatenate([heard[0], case.arrays["x_semantic"]])
    written = flatten_codebooks(case.expected) + 10_000
    assert len(written) == coarse_steps(len(case.arrays["x_semantic"]))
    assert case.arrays["n_windows"] == -(-len(written) // sliding)
    stored = [
        int(key[6:-6]) for key in case.arrays if key.startswith("window") and key.endswith("_input")
    ]
    assert stored
    for index in stored:
        step = index * sliding
        now = len(heard[0]) + round(step / (75 / 49.9 * 2))
        ids = coarse_window(semantic, np.concatenate([heard[1], written[:step]]), now, longest)
        np.testing.assert_array_equal(ids, case.arrays[f"window{index}_input"])


def test_all_golden_cases_are_covered(golden: Path) -> None:
    files = {path.stem for path in (golden / "B_suno_expected").glob("coarse_*.npz")}
    assert files == {f"coarse_{name}" for name in NAMES}


@pytest.mark.parametrize("heard", [None, (4, 6)], ids=["no voice", "short voice"])
def test_windows_reuse_the_cache_while_their_prefix_stands(
    monkeypatch: pytest.MonkeyPatch, heard: tuple[int, int] | None
) -> None:
    """Fewer prefills than windows, and the same codes as with every window read afresh."""
    counts = {"prefill": 0}
    original = Decoder.prefill

    def counted(self: Decoder, embeddings: torch.Tensor, rows: slice) -> torch.Tensor:
        counts["prefill"] += 1
        return original(self, embeddings, rows)

    monkeypatch.setattr(Decoder, "prefill", counted)
    stage, semantic = small_stage(), np.arange(25)
    history = None if heard is None else voice(*heard)
    generator = torch.Generator()
    reused = stage.generate(semantic, history, generator=generator.manual_seed(1))
    prefills, windows = counts["prefill"], -(-coarse_steps(25, SMALL) // 9)
    assert 1 < prefills < windows
    afresh = uncached(stage).generate(semantic, history, generator=generator.manual_seed(1))
    assert counts["prefill"] == prefills + windows
    np.testing.assert_array_equal(reused, afresh)


def test_batch_equals_single_with_own_history_and_generator() -> None:
    stage = small_stage()
    items = [np.arange(n) % 40 for n in (25, 3, 14, 25, 1)]
    voices = [voice(20, 30), voice(20, 30, seed=1), voice(20, 30), None, voice(6, 9)]

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(10 + i) for i in range(len(items))]

    singles = [
        stage.generate(item, history, generator=generator)
        for item, history, generator in zip(items, voices, generators(), strict=True)
    ]
    assert [codes.shape for codes in singles] == [(2, 37), (2, 4), (2, 21), (2, 37), (2, 1)]
    for each in (stage, uncached(stage)):
        batch = each.generate_batch(items, voices, generators=generators())
        for codes, single in zip(batch, singles, strict=True):
            np.testing.assert_array_equal(codes, single)
    assert stage.generate_batch([]) == []


def test_one_history_serves_a_whole_batch() -> None:
    stage, same = small_stage(), voice(20, 30)
    greedy = Sampling(temperature=0)
    batch = stage.generate_batch([np.arange(5), np.arange(9)], same, sampling=greedy)
    np.testing.assert_array_equal(batch[0], stage.generate(np.arange(5), same, sampling=greedy))
    np.testing.assert_array_equal(batch[1], stage.generate(np.arange(9), same, sampling=greedy))


def test_codes_stay_in_their_codebook() -> None:
    codes = small_stage().generate(np.arange(30), sampling=Sampling(temperature=5.0))
    assert codes.shape == (2, 45) and codes.min() >= 0 and codes.max() <= 15


@pytest.mark.parametrize(
    ("tokens", "frames", "longest", "heard"),
    [
        (400, 601, 630, (209, 626)),
        (101, 152, 630, (100, 299)),
        (60, 90, 630, (59, 175)),
        (2, 3, 630, (1, 1)),
    ],
)
def test_how_much_of_a_voice_is_heard(
    tokens: int, frames: int, longest: int, heard: tuple[int, int]
) -> None:
    semantic, coarse = coarse_history(np.zeros(tokens, int), np.ones((2, frames), int), longest)
    assert (len(semantic), len(coarse)) == heard
    assert coarse[-1] == 11_025, "the last token belongs to the second codebook"


def test_ratio_rule_is_sunos() -> None:
    for frames, fits in [(1449, False), (1450, False), (1451, True), (1549, True), (1550, False)]:
        if fits:
            coarse_history(np.zeros(1000, int), np.zeros((2, frames), int), 630)
        else:
            said = message(
                lambda n=frames: coarse_history(np.zeros(1000, int), np.zeros((2, n), int), 630),  # type: ignore[misc]
                VoiceError,
            )
            assert (
                f"{frames} frames of coarse_prompt do not fit 1000 tokens of semantic_prompt"
                in said
            )
            assert "1.5 when rounded" in said


def test_floats_are_truncated_as_suno_does() -> None:
    stage, greedy = small_stage(), Sampling(temperature=0)
    floats = np.array([1.7, 2.0])
    np.testing.assert_array_equal(
        stage.generate(floats, sampling=greedy), stage.generate(np.array([1, 2]), sampling=greedy)
    )


def test_refusals() -> None:
    stage, ok = small_stage(), np.arange(5)
    assert "got a list; allowed: a numpy array" in message(
        lambda: stage.generate([1, 2]), SettingError
    )  # type: ignore[arg-type]
    assert "shape (0,)" in message(lambda: stage.generate(ok[:0]), SettingError)
    assert "values 40 … 40; allowed: 0 … 39" in message(
        lambda: stage.generate(np.array([40])), SettingError
    )
    assert "max_coarse_history: got 5; allowed: a whole number, 6 … 30" in message(
        lambda: stage.generate(ok, max_coarse_history=5), SettingError
    )
    assert "got 31" in message(lambda: stage.generate(ok, max_coarse_history=31), SettingError)
    for length in (0, 23, 1.5):
        assert f"sliding_window_len: got {length}; allowed: a whole number, 1 … 22" in message(
            lambda n=length: stage.generate(ok, sliding_window_len=n),  # type: ignore[misc]
            SettingError,
        )
    stage.generate(ok, sliding_window_len=22)
    three = SimpleNamespace(semantic=np.zeros(6, int), coarse=np.zeros((3, 9), int))
    assert "3 codebooks; allowed: 2" in message(lambda: stage.generate(ok, three), VoiceError)  # type: ignore[arg-type]
    high = SimpleNamespace(semantic=np.zeros(6, int), coarse=np.full((2, 9), 16))
    assert "coarse_prompt of the voice: got values 16" in message(
        lambda: stage.generate(ok, high),  # type: ignore[arg-type]
        VoiceError,
    )
    assert "input_vocab_size: got 72; allowed: 74" in message(
        lambda: CoarseStage(random_gpt(input_vocab_size=72, output_vocab_size=80), SMALL),
        SettingError,
    )


def test_an_anchor_stays_in_front_when_the_rest_of_the_voice_has_slid_out() -> None:
    heard = np.arange(4), np.array([45, 61, 46, 62, 47, 63, 48, 64, 49, 65, 50, 66])
    anchor = heard[0][2:], heard[1][6:]
    for said in (0, 9, 24, 27, 54):
        semantic, coarse = np.arange(34), np.concatenate([heard[1], np.arange(100, 100 + said)])
        now = 4 + said // 3
        ids = coarse_window(semantic, coarse, now, 30, SMALL, anchor, len(heard[1]))
        if said <= 24:  # as without an anchor: at least its part of the voice is still there
            np.testing.assert_array_equal(ids, coarse_window(semantic, coarse, now, 30, SMALL))
        else:  # 24 coarse tokens go with 8 semantic
            np.testing.assert_array_equal(ids[:12], [2, 3, *range(now - 8, now + 2)])
            np.testing.assert_array_equal(ids[12:], [SMALL.coarse_infer, *anchor[1], *coarse[-24:]])


@pytest.mark.parametrize("length", [2, 7, 25])
def test_anchored_is_the_same_with_and_without_cache_and_in_a_batch(length: int) -> None:
    stage, generator = small_stage(), torch.Generator()
    texts = [np.arange(length), np.arange(30, 10, -1), np.arange(5)]
    voices = [voice(20, 30, 1), voice(20, 30, 2), voice(4, 6, 3)]
    alone = [
        stage.generate(text, own, coarse_anchor=18, generator=generator.manual_seed(seed))
        for seed, (text, own) in enumerate(zip(texts, voices, strict=True))
    ]
    afresh = uncached(stage).generate(
        texts[0], voices[0], coarse_anchor=18, generator=generator.manual_seed(0)
    )
    np.testing.assert_array_equal(alone[0], afresh)
    sources = [torch.Generator().manual_seed(seed) for seed in range(3)]
    together = stage.generate_batch(texts, voices, coarse_anchor=18, generators=sources)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_anchor_is_heard_to_the_end_and_changes_nothing_without_a_voice() -> None:
    stage, generator, text = small_stage(), torch.Generator(), np.arange(30)

    def codes(own: Any, anchor: int) -> np.ndarray:
        return stage.generate(text, own, coarse_anchor=anchor, generator=generator.manual_seed(5))

    np.testing.assert_array_equal(codes(None, 18), codes(None, 0))
    one, other = codes(voice(20, 30, 1), 18), codes(voice(20, 30, 1), 0)
    assert (one[:, -9:] != other[:, -9:]).any() and (one[:, :6] == other[:, :6]).all()
    for wrong in (-1, 25, 1.5, "much"):
        with pytest.raises(
            SettingError, match="coarse_anchor: got .*0 … 24 with max_coarse_history 30"
        ):
            codes(None, wrong)  # type: ignore[arg-type]


def test_an_anchor_in_sunos_own_layout(golden: Path, suno: GPT) -> None:
    """Suno leaves out the last two coarse tokens of a history; the anchor too."""
    case = Case.read(golden / "B_suno_expected" / "coarse_history_400_601.npz")
    stage, generator, text = (
        CoarseStage(suno),
        torch.Generator(),
        np.tile(case.arrays["x_semantic"], 3)[:110],
    )

    def codes(stage: CoarseStage = stage, **options: Any) -> np.ndarray:
        return stage.generate(text, case.voice, generator=generator.manual_seed(1), **options)

    anchored = codes(coarse_anchor=450)
    assert anchored.shape == (2, coarse_steps(len(text)) // 2) and (anchored != codes()).any()
    np.testing.assert_array_equal(anchored, codes(uncached(stage), coarse_anchor=450))
    np.testing.assert_array_equal(
        anchored, codes(coarse_anchor=449)
    )  # whole semantic tokens are kept
