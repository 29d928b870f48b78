"""training.nano.likeness: the speaker encoder of hubert.likeness, with gradients, and the loss by it."""

import numpy as np
import pytest
import soxr
import torch

pytest.importorskip("accelerate", reason="the training extra is not installed")

from bark.codec.mel import MelAutoencoder
from bark.codec.spectra import spectrum
from hubert.likeness import Embedder
from tests.judges import skip_without_judges
from tests.training.nano.test_codec import CONFIG
from training.nano.likeness import DifferentiableEmbedder, voice_distance


@pytest.fixture(autouse=True)
def weights() -> None:
    skip_without_judges()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Coloured noise (40960,) at 24 kHz, 1.7 s."""
    random = np.random.default_rng(0)
    speech = np.cumsum(random.normal(size=40_960))
    speech -= np.convolve(speech, np.ones(200) / 200, "same")
    return (0.02 * speech).astype(np.float32)


def test_the_embedder_hears_audio_as_likeness_does(speech: np.ndarray) -> None:
    heard = DifferentiableEmbedder()(torch.from_numpy(speech)[None])[0]
    theirs = Embedder().stretches(soxr.resample(speech, 24_000, 16_000)[:26_000])[0]
    assert float(heard @ torch.from_numpy(theirs)) > 0.999


def test_the_distance_is_small_for_the_same_frames_and_falls_along_its_gradient(
    speech: np.ndarray,
) -> None:
    codec, audio = MelAutoencoder(CONFIG), torch.from_numpy(speech)[None]
    whole, frames = spectrum(audio), codec.normalise(codec.mel(audio))
    embedder = DifferentiableEmbedder()
    same = voice_distance(codec, embedder, frames, whole)
    tilted = (frames + torch.linspace(-1, 1, CONFIG.bands)).requires_grad_()
    other = voice_distance(codec, embedder, tilted, whole)
    assert same < 0.5 * other
    (slope,) = torch.autograd.grad(other, tilted)
    nearer = voice_distance(codec, embedder, tilted - 0.5 * slope / slope.norm(), whole)
    assert nearer < other
