"""Builds HuBERT-nano: a narrow `HubertModel` whose front end begins as a filter bank.

HuBERT's grid is kept (a frame of 400 samples every 320), its seven small convolutions are not: in
minutes of training they never learn to see frequencies. Two do instead. The first holds windowed
sines and cosines, each with both signs, so that GELU rectifies them; the second sums them to
magnitudes over time. Both go on learning."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from transformers import HubertConfig, HubertModel

from training.stages.alignment import PHONES

from .crops import RATE
from .teacher import BOTTLENECK

BANDS = 60  # sinusoid frequencies, 80 to 7400 Hz on the mel scale
PHASES = 4  # cos, -cos, sin, -sin
STEADY = 16  # channels of a constant: with them, the layer norm that follows keeps loudness
KERNELS, STRIDES = (240, 2), (160, 2)  # together: 400 samples every 320
CHANNELS = (BANDS * PHASES + STEADY, 192)
# of the filters: the quietest band of quiet speech must stand above the norm's epsilon
LOUDNESS = 100.0
NORM_GAIN = 6.0  # makes GELU a rectifier for anything but the faintest sounds
WIDTH, LAYERS, HEADS, INNER = 192, 4, 4, 768


def nano_config() -> HubertConfig:
    """Return the shape of HuBERT-nano: 2.1 M parameters."""
    return HubertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        conv_dim=CHANNELS,
        conv_kernel=KERNELS,
        conv_stride=STRIDES,
        feat_extract_norm="group",
        conv_bias=False,
        num_conv_pos_embeddings=31,
        num_conv_pos_embedding_groups=12,
        do_stable_layer_norm=True,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        initializer_range=0.05,
        apply_spec_augment=False,
    )


def new_hubert(seed: int = 0) -> HubertModel:
    """Return an untrained HuBERT-nano with the filter bank in its front end."""
    torch.manual_seed(seed)
    model = HubertModel(nano_config())
    with torch.no_grad():
        first, second = (
            model.get_submodule(f"feature_extractor.conv_layers.{index}") for index in (0, 1)
        )
        first.get_parameter("conv.weight").copy_(_sinusoids()[:, None])
        first.get_parameter("layer_norm.weight").fill_(NORM_GAIN)
        first.get_parameter("layer_norm.bias").zero_()[BANDS * PHASES :] = 1.0
        second.get_parameter("conv.weight").copy_(_magnitudes())
    return model


def _sinusoids() -> torch.Tensor:
    """Return the first convolution's filters, (channels, 240): Hann-windowed, shorter for wide
    bands.
    """
    mel = np.linspace(2595 * math.log10(1 + 80 / 700), 2595 * math.log10(1 + 7400 / 700), BANDS)
    frequencies = 700 * (10 ** (mel / 2595) - 1)
    spacing = np.gradient(frequencies)
    time = (np.arange(KERNELS[0]) - (KERNELS[0] - 1) / 2) / RATE
    filters = np.zeros((CHANNELS[0], KERNELS[0]))
    for band, (frequency, width) in enumerate(zip(frequencies, spacing, strict=True)):
        length = float(
            np.clip(2 / width, 0.009, KERNELS[0] / RATE)
        )  # s: Hann's half main lobe is 2 / length
        window = np.where(
            np.abs(time) < length / 2, 0.5 + 0.5 * np.cos(2 * np.pi * time / length), 0.0
        )
        window /= window.sum()
        wave = (
            np.stack([np.cos(2 * np.pi * frequency * time), np.sin(2 * np.pi * frequency * time)])
            * window
        )
        filters[band * PHASES : (band + 1) * PHASES] = LOUDNESS * np.stack(
            [wave[0], -wave[0], wave[1], -wave[1]]
        )
    return torch.tensor(filters, dtype=torch.float32)


def _magnitudes() -> torch.Tensor:
    """Return the second convolution's weights, (192, channels, 2): each band's sum,
    rise and fall.
    """
    weight = torch.randn(CHANNELS[1], CHANNELS[0], 2) * 0.02
    for band in range(BANDS):
        rows = slice(band * PHASES, (band + 1) * PHASES)
        for kind, (early, late) in enumerate(((0.5, 0.5), (-1.0, 1.0), (1.0, -1.0))):
            weight[kind * BANDS + band, rows, 0] = early / PHASES
            weight[kind * BANDS + band, rows, 1] = late / PHASES
    constants = slice(BANDS * PHASES, CHANNELS[0])
    weight[3 * BANDS :] = 0.0
    weight[3 * BANDS :, constants] = 1.0 / (2 * STEADY)
    return weight


class Student(nn.Module):
    """HuBERT-nano with the two heads it is taught through: phones, and the teacher's bottleneck."""

    def __init__(self, hubert: HubertModel) -> None:
        super().__init__()
        self.hubert = hubert
        self.phones = nn.Linear(WIDTH, len(PHONES))
        self.bottleneck = nn.Linear(WIDTH, BOTTLENECK)

    def forward(self, waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Waveforms (B, 320 S + 80) → features (B, S, 192), phones (B, S, 41), bottleneck (B, S,
        96).
        """
        features = self.hubert(waves).last_hidden_state
        return features, self.phones(features), self.bottleneck(features)
