"""Samples of every kind mean the same through every door."""

import numpy as np
import pytest
import torch

from bark.audio import encode_audio, load_audio, samples_of, save_audio
from bark.errors import AudioError
from tests.bark.audio.test_audio import tone

RATE = 24_000
WIDE = np.stack([tone(), 0.5 * tone()], axis=1)  # (N, 2)


def whole(audio: np.ndarray, kind: str) -> np.ndarray:
    """Return ±1 as integers of a type."""
    info = np.iinfo(kind)
    half = float(info.max // 2 + 1 if info.min == 0 else info.max)
    return (audio.astype(np.float64) * half + (half if info.min == 0 else 0)).astype(kind)


KINDS = {
    "float32": tone(),
    "float64": tone().astype(np.float64),
    "float16": tone().astype(np.float16),
    "int8": whole(tone(), "int8"),
    "uint8": whole(tone(), "uint8"),
    "int16": whole(tone(), "int16"),
    "uint16": whole(tone(), "uint16"),
    "int32": whole(tone(), "int32"),
    "list": tone().tolist(),
    "(N, 1)": tone()[:, None],
    "(1, N)": tone()[None],
    "(N, 2)": np.stack([tone(), tone()], axis=1),
    "big-endian": whole(tone(), "int16").astype(">i2"),
    "tensor": torch.from_numpy(tone()),
    "tensor (1, N)": torch.from_numpy(tone())[None],
    "tensor (2, N)": torch.from_numpy(np.stack([tone(), tone()])),
    "tensor (N, 2)": torch.from_numpy(np.stack([tone(), tone()], axis=1)),
    "tensor int16": torch.from_numpy(whole(tone(), "int16")),
    "tensor bfloat16": torch.from_numpy(tone()).to(torch.bfloat16),
    "tensor with gradients": torch.from_numpy(tone()).requires_grad_(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pair", [False, True])
def test_every_kind_through_every_door(tmp_path, kind, pair):
    source, rate = ((RATE, KINDS[kind]), None) if pair else (KINDS[kind], RATE)
    close = 2e-2 if "int8" in kind else 2e-3
    mono, found = samples_of(source, rate)
    assert mono.dtype == np.float32 and mono.shape == (RATE,) and found == RATE
    np.testing.assert_allclose(mono, tone(), atol=close)
    np.testing.assert_allclose(load_audio(source, RATE, source_rate=rate), tone(), atol=close)
    save_audio(tmp_path / "a.wav", source, rate)
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav", RATE), tone(), atol=close)
    assert encode_audio(source, rate) == (tmp_path / "a.wav").read_bytes()


def test_a_saved_pair_has_its_own_rate_and_channels(tmp_path):
    save_audio(tmp_path / "a.wav", (16_000, whole(WIDE, "int16")))
    import soundfile

    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == 16_000 and samples.shape == (RATE, 2)
    np.testing.assert_allclose(samples, WIDE, atol=1e-4)


@pytest.mark.parametrize(
    "source, rate, message",
    [
        ((RATE, tone()), 16_000, "the pair names another sample rate: got 24000 and 16000 Hz"),
        ((3, tone()), None, "sample rate: got 3; allowed: 4000 to 384000 Hz"),
        (tone(), "24000", "sample rate: got 24000"),
        ((RATE, np.zeros((2, 3, 4))), None, r"wrong shape or type: got \(2, 3, 4\) float64"),
        (np.zeros((40, 40)), RATE, r"wrong shape or type: got \(40, 40\)"),
        (np.zeros(9, complex), RATE, r"wrong shape or type: got \(9,\) complex128"),
        (np.zeros(9, bool), RATE, "wrong shape or type"),
        (np.array(["a"]), RATE, "wrong shape or type"),
        (None, RATE, "wrong shape or type"),
        ([[1.0], [1.0, 2.0]], RATE, "wrong shape or type: got list"),
        (torch.zeros(1, 1, 9), RATE, r"wrong shape or type: got \(1, 1, 9\)"),
        (np.full(9, np.nan), RATE, "holds NaN or infinity: got 9 such samples"),
    ],
)
def test_anything_else_is_one_error_at_every_door(tmp_path, source, rate, message):
    for door in (
        lambda: samples_of(source, rate),
        lambda: load_audio(source, RATE, source_rate=rate),
        lambda: save_audio(tmp_path / "a.wav", source, rate),
    ):
        with pytest.raises(AudioError, match=message):
            door()


def test_samples_to_load_need_a_rate():
    for door in (samples_of, lambda source: load_audio(source, RATE)):
        with pytest.raises(AudioError, match="samples need their source_rate"):
            door(tone())
