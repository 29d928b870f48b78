"""The fine stage equals Suno's: golden codes and windows, batches, every refusal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bark.errors import SettingError, VoiceError
from bark.stages.fine import FineStage, fine_windows
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.tokens import TokenLayout
from tests.stages import Case, Chooser, message, read_checkpoint

SMALL = TokenLayout(codebook_size=16, fine_books=4, fine_window=24, fine_history=10, fine_hop=8)
NAMES = """len1 len100 len512 len1023 len1024 len1025 len1300 len2100 hist600_len300 hist600_len700 hist37_len100
    hist37_len1000 hist512_len512 ncoarse1_len80 ncoarse5_len80 ncoarse7_len80 t05_icdf_len40""".split()


@pytest.fixture(scope="module")
def suno(golden: Path) -> FineGPT:
    model = read_checkpoint(golden / "A_suno_checkpoints" / "fine.pt")
    assert isinstance(model, FineGPT)
    return model


def small_stage() -> FineStage:
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 24, "n_codes_total": 4}
    model = FineGPT(FineGPTConfig(**sizes, input_vocab_size=17, output_vocab_size=17)).eval()  # type: ignore[arg-type]
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return FineStage(model, SMALL)


def codes(books: int, frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(16, size=(books, frames))


class WindowRecorder(FineGPT):
    """Records what the network is shown when a window is begun."""

    begun: list[np.ndarray]
    begin: int

    def forward(self, book: int, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        if book == self.begin:
            self.begun.append(codes[0].numpy().copy())
        return super().forward(book, codes, first)


@pytest.mark.parametrize("name", NAMES)
def test_golden_codes_and_windows(golden: Path, suno: FineGPT, name: str) -> None:
    case = Case.read(golden / "B_suno_expected" / f"fine_{name}.npz")
    model = WindowRecorder(suno.config).eval()
    model.load_state_dict(suno.state_dict())
    model.begun, model.begin = [], len(case.arrays["x_coarse"])
    fine = FineStage(model, draw=Chooser.of(case)).generate(
        case.arrays["x_coarse"],
        None if case.voice is None else case.voice.fine,
        temperature=case.params["temp"],
    )
    np.testing.assert_array_equal(fine, case.expected)
    assert fine.dtype == np.int64
    for key in case.arrays:
        if key.startswith("window") and key.endswith("_input"):
            np.testing.assert_array_equal(model.begun[int(key[6:-6])], case.arrays[key])


@torch.inference_mode()
def test_golden_logits(golden: Path, suno: FineGPT) -> None:
    with np.load(golden / "B_suno_expected" / "logits_fine.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    for book, wanted in zip(arrays["pred_idx"], arrays["logits"], strict=True):
        torch.testing.assert_close(suno(int(book), arrays["codes"])[0], wanted, atol=1e-4, rtol=0)
    for book, wanted in zip(arrays["full_pred_idx"], arrays["full_logits"], strict=True):
        logits = suno(int(book), arrays["full_codes"])[0, arrays["full_rows"]]
        torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(suno(3, arrays["codes"], 5), suno(3, arrays["codes"])[:, 5:])


@pytest.mark.parametrize("temperature", [None, 0])
def test_no_temperature_takes_the_most_likely(
    golden: Path, suno: FineGPT, temperature: float | None
) -> None:
    case = Case.read(golden / "B_suno_expected" / "fine_hist37_len100.npz")
    fine = FineStage(suno).generate(
        case.arrays["x_coarse"], case.voice.fine, temperature=temperature
    )
    np.testing.assert_array_equal(fine, case.expected)


def test_first_distributions(golden: Path, suno: FineGPT) -> None:
    case = Case.read(golden / "B_suno_expected" / "fine_t05_icdf_len40.npz")
    chooser = Chooser.of(case)
    FineStage(suno, draw=chooser).generate(case.arrays["x_coarse"], temperature=0.5)
    wanted = case.arrays["codebook2_first8rows_probs"]
    np.testing.assert_allclose(chooser.seen[0][0, :8].numpy(), wanted, rtol=1e-4, atol=1e-7)


def test_all_golden_cases_are_covered(golden: Path) -> None:
    files = {path.stem for path in (golden / "B_suno_expected").glob("fine_*.npz")}
    assert files == {f"fine_{name}" for name in NAMES}


@pytest.mark.parametrize("history", [0, 1, 7, 10])
def test_windows_cover_every_frame_once_begun(history: int) -> None:
    for frames in range(1, 90):
        windows = fine_windows(frames, history, SMALL)
        total = max(frames + history, 24)
        filled = history
        for start, first in windows:
            assert 0 <= start <= first <= filled and start + 24 <= total
            filled = start + 24
        assert filled == total


@pytest.mark.parametrize("shortest", [1, 20, 1024])
def test_batch_equals_single_with_own_history_and_generator(shortest: int) -> None:
    stage = FineStage(small_stage().model, replace(SMALL, fine_shortest=shortest))
    items = [codes(2, 60), codes(2, 5, 1), codes(1, 30, 2), codes(3, 25, 3)]
    voices = [None, codes(4, 50, 4), codes(4, 3, 5), None]

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(10 + i) for i in range(len(items))]

    batch = stage.generate_batch(items, voices, temperature=1.0, generators=generators())
    for fine, item, voice, generator in zip(batch, items, voices, generators(), strict=True):
        assert fine.shape == (4, item.shape[1])
        np.testing.assert_array_equal(fine[: len(item)], item)
        np.testing.assert_array_equal(
            fine, stage.generate(item, voice, temperature=1.0, generator=generator)
        )
    assert fine.max() < 16
    assert stage.generate_batch([]) == []


def test_what_is_short_is_padded_to_the_shortest() -> None:
    for shortest, wanted in ((1, 9), (12, 12), (1024, 24)):
        model = WindowRecorder(small_stage().model.config).eval()
        model.begun, model.begin = [], 2
        FineStage(model, replace(SMALL, fine_shortest=shortest)).generate(codes(2, 9))
        assert [len(window) for window in model.begun] == [wanted]
        assert (model.begun[0][9:] == 16).all()


def test_same_seed_same_codes() -> None:
    stage = small_stage()

    def fine(seed: int) -> list[int]:
        return stage.generate(codes(2, 9), generator=torch.Generator().manual_seed(seed)).tolist()

    assert fine(1) == fine(1) != fine(2)


def test_only_the_last_frames_of_a_voice_are_heard() -> None:
    stage, voice = small_stage(), codes(4, 50)
    np.testing.assert_array_equal(
        stage.generate(codes(2, 9, 1), voice, temperature=None),
        stage.generate(codes(2, 9, 1), voice[:, -10:], temperature=None),
    )


def test_inputs_are_not_changed_and_floats_are_truncated() -> None:
    stage, coarse = small_stage(), codes(2, 9)
    before = coarse.copy()
    fine = stage.generate(coarse, temperature=0)
    np.testing.assert_array_equal(coarse, before)
    np.testing.assert_array_equal(stage.generate(coarse.astype(float), temperature=0), fine)


def test_refusals() -> None:
    stage, ok = small_stage(), codes(2, 9)
    assert "got a list" in message(lambda: stage.generate([[1], [2]]), SettingError)  # type: ignore[arg-type]
    assert "shape (2, 0)" in message(lambda: stage.generate(ok[:, :0]), SettingError)
    assert "shape (9,)" in message(lambda: stage.generate(ok[0]), SettingError)
    assert "codebooks: got 4; allowed: 1 … 3" in message(
        lambda: stage.generate(codes(4, 9)), SettingError
    )
    assert "values 16 … 16; allowed: 0 … 15" in message(
        lambda: stage.generate(np.full((2, 3), 16)), SettingError
    )
    assert "temperature: got -1" in message(
        lambda: stage.generate(ok, temperature=-1.0), SettingError
    )
    voice = "fine_prompt of the voice"
    assert f"{voice}: codebooks: got 3; allowed: 4" in message(
        lambda: stage.generate(ok, codes(3, 9)), VoiceError
    )
    assert f"{voice}: got shape (4, 0)" in message(
        lambda: stage.generate(ok, codes(4, 9)[:, :0]), VoiceError
    )
    assert "block_size: got 24; allowed: 25" in message(
        lambda: FineStage(stage.model, replace(SMALL, fine_window=25)), SettingError
    )
    assert "each at most" in message(
        lambda: FineStage(stage.model, replace(SMALL, fine_hop=13)), SettingError
    )
    assert "codebooks: got 4; allowed: 8" in message(
        lambda: FineStage(stage.model, replace(SMALL, fine_books=8)), SettingError
    )
    assert "input_vocab_size: got 17; allowed: 18" in message(
        lambda: FineStage(stage.model, replace(SMALL, codebook_size=17)), SettingError
    )
