"""Decode codes with Vocos: a ConvNeXt stack whose last layer is an inverse Fourier transform.

Vocos (Siuzdak, arXiv 2306.00814) replaces a codec's decoder and leaves its codes as they are. Each
frame's codebook entries are summed, blocks of convolutions look a few frames to each side, and the
last layer gives a magnitude and a phase for each frequency of each frame. The names and sizes are
those of ``charactr/vocos-encodec-24khz``, whose weights fit as they are published; a narrower one
decodes for nano (`bark.codec.carrier`).

There is no recurrence, so a frame's samples depend on `Vocos.context_frames` frames to each side
and on no others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from bark.errors import CheckpointError
from bark.storage.atomic import atomic_write

from .base import CheckedCodec, Codec
from .spectra import overlap_add

KERNEL = 7  # frames, of every convolution
EPSILON = 1e-6  # of the normalisations
MAX_MAGNITUDE = 100.0
# A file may carry EnCodec, for encoding, and the window; the codec and the sizes give both.
_UNUSED = re.compile(r"feature_extractor\.encodec\.|head\.istft\.")


@dataclass(frozen=True)
class VocosConfig:
    """Sizes of the network; all of them can be read off its weights."""

    codebooks: int = 8  # 0: it is given the features of frames, not codes
    codebook_size: int = 1024
    inputs: int = 64  # width of a codebook entry
    width: int = 256
    inner: int = 768  # width inside a block
    blocks: int = 6
    conditions: int = 3  # bandwidths: up to 2, 4, 8, ... codebooks
    fft_length: int = 1280  # samples
    hop_length: int = 320  # samples; the one size that no tensor has


class AdaptiveNorm(nn.Module):
    """Layer normalisation with a scale and a shift for each bandwidth."""

    def __init__(self, conditions: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Embedding(conditions, width)
        self.shift = nn.Embedding(conditions, width)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """Map ``(B, T, D)`` under conditions ``(B,)`` to ``(B, T, D)``."""
        hidden = F.layer_norm(hidden, hidden.shape[-1:], eps=EPSILON)
        return hidden * self.scale(condition)[:, None] + self.shift(condition)[:, None]


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution over time, then two layers within each frame, with a skip."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        width = config.width
        self.dwconv = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = AdaptiveNorm(config.conditions, width)
        self.pwconv1 = nn.Linear(width, config.inner)
        self.pwconv2 = nn.Linear(config.inner, width)
        self.gamma = nn.Parameter(torch.full((width,), 1 / config.blocks))

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """Map ``(B, T, D)`` to ``(B, T, D)``."""
        mixed = self.dwconv(hidden.transpose(1, 2)).transpose(1, 2)
        update = self.pwconv2(F.gelu(self.pwconv1(self.norm(mixed, condition))))
        return hidden + self.gamma * update


class Features(nn.Module):
    """The sum of the codebook entries that a frame's codes name."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.codebook_size = config.codebook_size
        entries = torch.zeros(config.codebooks * config.codebook_size, config.inputs)
        self.codebook_weights = nn.Parameter(entries)

    def forward(self, codes: Tensor) -> Tensor:
        """Look up ``(B, K, T)`` codes: ``(B, T, inputs)``."""
        first = torch.arange(codes.shape[1], device=codes.device) * self.codebook_size
        return F.embedding(codes + first[:, None], self.codebook_weights).sum(1)


class Backbone(nn.Module):
    """A convolution in, the blocks, a normalisation."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.embed = nn.Conv1d(config.inputs, config.width, KERNEL, padding=KERNEL // 2)
        self.norm = AdaptiveNorm(config.conditions, config.width)
        self.convnext = nn.ModuleList([ConvNeXtBlock(config) for _ in range(config.blocks)])
        self.final_layer_norm = nn.LayerNorm(config.width, eps=EPSILON)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map ``(B, T, inputs)`` to ``(B, T, D)``."""
        hidden = self.embed(features.transpose(1, 2)).transpose(1, 2)
        hidden = self.norm(hidden, condition)
        for block in self.convnext:
            hidden = block(hidden, condition)
        return self.final_layer_norm(hidden)


class SpectrumHead(nn.Module):
    """A log magnitude and a phase for each frequency, and the audio that they stand for."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.fft_length, self.hop_length = config.fft_length, config.hop_length
        self.out = nn.Linear(config.width, config.fft_length + 2)
        window = torch.hann_window(config.fft_length)
        self.register_buffer("window", window, persistent=False)
        self.window: Tensor

    def forward(self, hidden: Tensor, carrier: Tensor | None = None) -> Tensor:
        """Map ``(B, T, D)`` to audio ``(B, hop * T)``.

        Magnitude and phase are relative to a `carrier`, ``(B, T, fft / 2 + 1)`` complex, if given.
        """
        level, phase = self.out(hidden).float().chunk(2, dim=-1)  # (B, T, fft / 2 + 1) each
        spectra = torch.polar(level.exp().clamp(max=MAX_MAGNITUDE), phase)
        if carrier is not None:
            spectra = spectra * carrier
        frames = torch.fft.irfft(spectra, self.fft_length) * self.window
        squares = self.window.square().expand(1, frames.shape[1], -1)
        weight = overlap_add(squares, self.hop_length)
        return overlap_add(frames, self.hop_length) / weight


class Vocos(nn.Module):
    """Codes to audio; the names of its parts are those in the published files."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        reach = config.fft_length - config.hop_length
        if reach < 0 or reach % 2:
            raise CheckpointError(
                f"a window of {config.fft_length} samples",
                allowed=f"{config.hop_length} and an even number more, to overlap",
            )
        self.config = config
        if config.codebooks:
            self.feature_extractor = Features(config)
        self.backbone = Backbone(config)
        self.head = SpectrumHead(config)

    def forward(self, codes: Tensor, condition: Tensor) -> Tensor:
        """Decode ``(B, K, T)`` codes under bandwidth indices ``(B,)``: ``(B, hop * T)``."""
        return self.head(self.backbone(self.feature_extractor(codes), condition))

    @property
    def context_frames(self) -> int:
        """Frames to each side that a frame's samples depend on."""
        reach = (self.config.fft_length + self.config.hop_length) // 2 - 1  # samples of a window
        convolutions = 1 + self.config.blocks
        return convolutions * (KERNEL // 2) + reach // self.config.hop_length


def bandwidth_index(books: int) -> int:
    """Return which bandwidth so many codebooks belong to: 2, 4, 8, 16 are 0, 1, 2, 3."""
    return max(0, (books - 1).bit_length() - 1)


class VocosCodec(CheckedCodec):
    """A codec that decodes with Vocos; it encodes as the codec that it was made from."""

    def __init__(self, base: Codec, network: Vocos) -> None:
        self._check(base, network.config)
        self.base: Codec = base
        self.network = network.eval().requires_grad_(False)
        self.family = base.family
        self.sample_rate, self.hop_length = base.sample_rate, base.hop_length
        self.codebook_size, self.num_codebooks = base.codebook_size, base.num_codebooks
        self.context_frames: int | None = network.context_frames
        self.lookahead: int | None = network.context_frames

    def _check(self, base: Codec, config: VocosConfig) -> None:
        """Refuse a network for fewer codes than the codec has."""
        most = bandwidth_index(base.num_codebooks)
        if config.codebooks < base.num_codebooks or config.conditions <= most:
            raise CheckpointError(
                "the decoder's codebooks and bandwidths",
                got=f"{config.codebooks} and {config.conditions}",
                allowed=f"at least {base.num_codebooks} and {most + 1} for this codec",
            )

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Encode mono audio as the base codec does: ``(N,)`` → ``(8, T)``."""
        return self.base.encode(audio)

    def _decode(self, codes: Tensor) -> Tensor:
        device = self.network.head.window.device
        condition = torch.tensor([bandwidth_index(len(codes))], device=device)
        return self._audio(codes.to(device), condition)[0]

    def _audio(self, codes: Tensor, condition: Tensor) -> Tensor:
        """Decode ``(K, T)`` codes: ``(1, 320 T)``."""
        audio: Tensor = self.network(codes[None], condition)
        return audio

    def to(self, device: str | torch.device) -> Self:
        """Move both networks to a device and return the codec itself."""
        self.base.to(device)
        self.network.to(device)
        return self


def vocos_from(
    state: Mapping[str, Tensor], codebook_size: int, hop_length: int, where: str = "the weights"
) -> Vocos:
    """Build the network from weights under the published names; sizes are read off the tensors.

    Parameters
    ----------
    codebook_size, hop_length : of the codec, which no tensor tells.
    where : the file's name, for messages.
    """
    weights = {name: tensor.float() for name, tensor in state.items() if not _UNUSED.match(name)}
    entries = weights.get("feature_extractor.codebook_weights", torch.zeros(0)).shape[0]
    try:
        conditions, width = weights["backbone.norm.scale.weight"].shape
        config = VocosConfig(
            codebooks=entries // codebook_size,
            codebook_size=codebook_size,
            inputs=weights["backbone.embed.weight"].shape[1],
            width=width,
            inner=weights["backbone.convnext.0.pwconv1.weight"].shape[0],
            blocks=sum(name.endswith(".gamma") for name in weights),
            conditions=conditions,
            fft_length=weights["head.out.bias"].shape[0] - 2,
            hop_length=hop_length,
        )
        network = Vocos(config)
        network.load_state_dict(weights)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{where} holds no Vocos for EnCodec's codes", got=error) from error
    return network


def save_vocos(network: Vocos, path: Path) -> None:
    """Write the weights as float16 safetensors, for `bark.codec.decoder.with_decoder`."""
    weights = {name: t.half().cpu().contiguous() for name, t in network.state_dict().items()}
    with atomic_write(path) as temporary:
        save_file(weights, temporary)
