"""Log-mel spectra to phones: the small convolutional network that teaches HuBERT-nano.

It learns from flite's own phone alignments in about a CPU-minute, and then labels speech that has none.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .crops import RATE, Crops
from .synthesis import PHONES

logger = logging.getLogger(__name__)

MELS = 40
WINDOW = 400  # samples at 16 kHz, HuBERT's own frame
HOP = 320  # samples
FLOOR = 3e-3  # added to mel magnitudes before the logarithm
WIDTH = 256
BOTTLENECK = 96


def mel_filters(count: int, low: float = 60.0, high: float = 7600.0) -> torch.Tensor:
    """Return area-normalised triangles on the mel scale: (bins, count)."""
    frequencies = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    mel = 2595 * np.log10(1 + frequencies / 700)
    first, last = (2595 * math.log10(1 + hertz / 700) for hertz in (low, high))
    centers = np.interp(np.linspace(first, last, count + 2), mel, frequencies)
    rise = (frequencies[:, None] - centers[:-2]) / np.diff(centers)[:-1]
    fall = (centers[2:] - frequencies[:, None]) / np.diff(centers)[1:]
    filters = np.clip(np.minimum(rise, fall), 0, None)
    return torch.tensor(filters / np.maximum(filters.sum(0), 1e-6), dtype=torch.float32)


class Teacher(nn.Module):
    """Waveforms (B, N) at 16 kHz → bottleneck (B, S, 96) and phone logits (B, S, 41) on HuBERT's frames."""

    filters: torch.Tensor  # (bins, 40)
    window: torch.Tensor  # (400,)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(MELS), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        sizes = (MELS, WIDTH, WIDTH, WIDTH, BOTTLENECK)
        layers: list[nn.Module] = []
        for index, (inner, outer) in enumerate(zip(sizes, sizes[1:], strict=False)):
            layers += [nn.GELU()] if index else []
            layers.append(nn.Conv1d(inner, outer, 5, padding=2))
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(BOTTLENECK, len(PHONES))

    def spectrum(self, waves: torch.Tensor) -> torch.Tensor:
        """Return log-mel spectra (B, S, 40), each band normalised over its own time."""
        frames = waves.unfold(1, WINDOW, HOP) * self.window
        mel = torch.log(torch.fft.rfft(frames).abs() @ self.filters + FLOOR)
        return (mel - mel.mean(1, keepdim=True)) / (mel.std(1, keepdim=True) + 0.1)

    def forward(self, waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return bottleneck and logits."""
        with torch.autocast(waves.device.type, enabled=False):
            spectrum = self.spectrum(waves.float())
        bottleneck = self.body(spectrum.transpose(1, 2)).transpose(1, 2)
        return bottleneck, self.head(functional.gelu(bottleneck))


def train_teacher(
    crops: Crops, *, steps: int = 1600, batch: int = 16, units: int = 100, seed: int = 0
) -> Teacher:
    """Train by phone labels alone; AdamW, learning rate 2e-3 falling to nothing along a cosine."""
    torch.manual_seed(seed)
    teacher = Teacher()
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=2e-3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-5 + 2e-3 * (1 + math.cos(math.pi * step / steps)) / 2
        waves, phones = crops.draw(batch, units)
        with torch.autocast("cpu", torch.bfloat16):
            _, logits = teacher(crops.augment(waves))
        loss = functional.cross_entropy(logits.float().flatten(0, 1), phones.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 200 == 0:
            logger.info("teacher step %d loss %.3f", step, loss.item())
    return teacher.eval().requires_grad_(False)
