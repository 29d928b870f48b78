"""Units: information on known cases, k-means on separate clouds, and a tiny HuBERT-nano from end to end."""

import math

import numpy as np
import pytest
import torch

from training.nano.hubert.network import (
    BANDS,
    KERNELS,
    PHASES,
    STRIDES,
    Student,
    _sinusoids,
    new_hubert,
)
from training.nano.hubert.teacher import Teacher
from training.nano.hubert.units import assign, kmeans, normalised_information, purity


def test_information_on_known_cases() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    assert normalised_information(labels + 3, labels) == pytest.approx(1.0)
    assert normalised_information(np.zeros(8, int), labels) == pytest.approx(0.0)
    assert normalised_information(labels // 2, labels) == pytest.approx(0.5)  # one bit of two
    assert normalised_information(np.arange(8) % 2, labels) == pytest.approx(0.0)
    assert normalised_information(labels, np.zeros(8, int)) == 0.0


def test_purity_on_known_cases() -> None:
    assert purity(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2])) == 1.0
    assert purity(np.array([0, 0, 0, 0]), np.array([1, 1, 1, 2])) == 0.75


def test_kmeans_finds_separate_clouds() -> None:
    generator = torch.Generator().manual_seed(0)
    clouds = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    features = (clouds[:, None] + 0.1 * torch.randn(3, 50, 2, generator=generator)).reshape(-1, 2)
    centers = kmeans(features, 3, generator=generator)
    spread = [assign(features[start : start + 50], centers).unique() for start in (0, 50, 100)]
    assert all(len(units) == 1 for units in spread) and len(torch.cat(spread).unique()) == 3


def test_mel_filters_cover_the_band_and_have_unit_area() -> None:
    filters = Teacher().filters
    assert filters.shape == (201, 40) and torch.allclose(filters.sum(0), torch.ones(40))


def test_front_end_keeps_huberts_grid() -> None:
    assert math.prod(STRIDES) == 320 and KERNELS[0] + (KERNELS[1] - 1) * STRIDES[0] == 400
    hubert = new_hubert().eval()
    with torch.inference_mode():
        assert hubert(torch.randn(1, 16_000) * 0.1).last_hidden_state.shape == (1, 49, 192)


def test_front_end_is_a_filter_bank_with_rising_frequencies() -> None:
    filters = _sinusoids()[: BANDS * PHASES].reshape(BANDS, PHASES, -1)
    assert filters.sum(1).abs().max() < 1e-4, "each phase comes with its opposite"
    peaks = torch.fft.rfft(filters[:, 0], 4096).abs().argmax(1) * 16_000 / 4096
    assert (peaks.diff() > 0).all() and peaks[0] < 150 and peaks[-1] > 7000


def test_front_end_hears_alike_at_any_loudness() -> None:
    front = new_hubert().eval().feature_extractor
    speechlike = torch.randn(1, 16_000) * torch.linspace(0.02, 0.1, 16_000)
    with torch.inference_mode():
        loud, quiet = front(speechlike), front(speechlike / 10)
    assert (loud - quiet).abs().mean() < 0.1 * loud.abs().mean()


def test_teacher_and_student_hear_the_same_frames() -> None:
    waves = torch.randn(2, 30 * 320 + 80) * 0.1
    bottleneck, logits = Teacher()(waves)
    features, phones, guess = Student(new_hubert())(waves)
    assert bottleneck.shape == guess.shape == (2, 30, 96)
    assert logits.shape == phones.shape == (2, 30, 41) and features.shape == (2, 30, 192)
