"""The small convolutional network that names phones and so teaches HuBERT-nano.

It learns from flite's own phone alignments in about a CPU-minute, and then labels speech that has
none."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bark.audio.mel import mel_filters
from training.stages.alignment import PHONES

from .crops import RATE, Crops, augment

MELS = 40
WINDOW = 400  # samples at 16 kHz, HuBERT's own frame
HOP = 320  # samples
FLOOR = 3e-3  # added to mel magnitudes before the logarithm
WIDTH = 256
BOTTLENECK = 96


class Teacher(nn.Module):
    """Waveforms (B, N) at 16 kHz → bottleneck (B, S, 96) and phone logits (B, S, 41) on HuBERT's
    frames.
    """

    filters: Tensor  # (bins, 40)
    window: Tensor  # (400,)

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filters(MELS, 60, 7600, WINDOW // 2 + 1, RATE)
        filters /= np.maximum(filters.sum(1, keepdims=True), 1e-6)  # of one area
        self.register_buffer("filters", torch.tensor(filters.T).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        sizes = (MELS, WIDTH, WIDTH, WIDTH, BOTTLENECK)
        layers: list[nn.Module] = []
        for index, (inner, outer) in enumerate(zip(sizes, sizes[1:], strict=False)):
            layers += [nn.GELU()] if index else []
            layers.append(nn.Conv1d(inner, outer, 5, padding=2))
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(BOTTLENECK, len(PHONES))

    def spectrum(self, waves: Tensor) -> Tensor:
        """Return log-mel spectra (B, S, 40), each band normalised over its own time."""
        frames = waves.unfold(1, WINDOW, HOP) * self.window
        mel = torch.log(torch.fft.rfft(frames).abs() @ self.filters + FLOOR)
        return (mel - mel.mean(1, keepdim=True)) / (mel.std(1, keepdim=True) + 0.1)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Return bottleneck and logits."""
        with torch.autocast(waves.device.type, enabled=False):
            spectrum = self.spectrum(waves.float())
        bottleneck = self.body(spectrum.transpose(1, 2)).transpose(1, 2)
        return bottleneck, self.head(functional.gelu(bottleneck))


class TeacherObjective:
    """What the trainer asks of the teacher: augmented crops, and their loss by phone
    labels alone.
    """

    def __init__(
        self, crops: Crops, validation: Crops, *, batch: int = 16, units: int = 100
    ) -> None:
        self.crops, self.validation_crops = crops, validation
        self.sizes = (batch, units)

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        """Draw ``heard`` (B, N) and ``phones`` (B, S)."""
        waves, phones = self.crops.draw(*self.sizes, generator)
        return {"heard": augment(waves, generator), "phones": phones}

    def validation(self) -> Iterator[dict[str, Tensor]]:
        """Yield four fixed batches of held-out voices, clean."""
        generator = np.random.default_rng(2**31)
        for _ in range(4):
            waves, phones = self.validation_crops.draw(*self.sizes, generator)
            yield {"heard": waves, "phones": phones}

    def begin_step(self, network: Teacher, step: int, seed: int) -> None:
        """Do nothing."""

    def loss(
        self, network: Teacher, batch: dict[str, Tensor], step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the cross entropy of the phones, and the share of frames heard rightly."""
        _, logits = network(batch["heard"])
        return phone_loss(logits, batch["phones"])


def phone_loss(logits: Tensor, phones: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Return the cross entropy of labelled frames, logits (B, S, P) and phones (B, S), and their
    accuracy.
    """
    logits, phones = logits.float().flatten(0, 1), phones.flatten()
    if not (phones >= 0).any():
        return logits.sum() * 0.0, {"accuracy": 0.0}
    accuracy = (logits.detach().argmax(1) == phones)[phones >= 0].float().mean()
    return functional.cross_entropy(logits, phones, ignore_index=-100), {
        "accuracy": float(accuracy)
    }
