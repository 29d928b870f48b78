"""Small networks that tell speech from what the decoder makes of its codes, and their losses.

Some look at the samples folded at a period, as in HiFi-GAN (arXiv 2010.05646), some at the
spectrum at one resolution, as in UnivNet (arXiv 2106.07889). Both are far narrower than theirs.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

PERIODS = (2, 3, 5, 7, 11)  # samples
PERIOD_WIDTHS = (16, 32, 64, 64)  # channels of each convolution, of which each takes every third
RESOLUTIONS = (512, 1024, 2048)  # samples of the transforms
SPECTRUM_WIDTHS = (8, 16, 16, 16)  # channels; each takes every second frequency
SLOPE = 0.1  # of the activation below zero
FLOOR = 1e-2  # added to a magnitude before the logarithm

Maps = list[Tensor]  # what each layer of one network makes of the audio; the last are the scores


class PeriodDiscriminator(nn.Module):
    """Judges samples that lie a period apart."""

    def __init__(self, period: int, widths: Sequence[int] = PERIOD_WIDTHS) -> None:
        super().__init__()
        self.period = period
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 1), (3, 1), (2, 0))
            for before, after in pairwise((1, *widths))
        )
        self.score = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, audio: Tensor) -> Maps:
        """Return the maps of ``(B, N)`` audio."""
        whole = audio[:, : audio.shape[1] // self.period * self.period]
        folded = whole.reshape(len(audio), 1, -1, self.period)
        return _maps(folded, self.layers, self.score)


class SpectrumDiscriminator(nn.Module):
    """Judges the logarithm of the magnitudes at one resolution."""

    window: Tensor

    def __init__(self, length: int, widths: Sequence[int] = SPECTRUM_WIDTHS) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 3), (2, 1), (2, 1))
            for before, after in pairwise((1, *widths))
        )
        self.score = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, audio: Tensor) -> Maps:
        """Return the maps of ``(B, N)`` audio."""
        with torch.autocast(audio.device.type, enabled=False):
            found = torch.stft(
                audio.float(),
                self.length,
                self.length // 4,
                window=self.window,
                return_complex=True,
            )
            power = found.real.square() + found.imag.square()
            logarithm = (power * (1024 / self.length) + FLOOR**2).log() / 2
        return _maps(logarithm[:, None], self.layers, self.score)


def _maps(start: Tensor, layers: nn.ModuleList, score: nn.Module) -> Maps:
    maps: Maps = []
    hidden = start
    for layer in layers:
        hidden = F.leaky_relu(layer(hidden), SLOPE)
        maps.append(hidden)
    return [*maps, score(hidden)]


class Discriminators(nn.Module):
    """All of them side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [
                *(PeriodDiscriminator(period) for period in PERIODS),
                *(SpectrumDiscriminator(length) for length in RESOLUTIONS),
            ]
        )

    def forward(self, audio: Tensor) -> list[Maps]:
        """Return the maps of each for ``(B, N)`` audio."""
        return [judge(audio) for judge in self.judges]


def adversarial_losses(
    discriminators: Discriminators, output: Tensor, target: Tensor
) -> dict[str, Tensor]:
    """Compare ``(B, N)`` audio that a generator made with the true audio.

    All three can be minimised in one step: the first moves the discriminators alone, the others the
    generator alone.

    Returns
    -------
    ``discriminator``, the hinge loss of telling both apart; ``adversarial``, that of being told
    apart; and ``features``, the distance of the maps over the size of those of the true audio.
    """
    real, fake = discriminators(target), discriminators(output.detach())
    fixed = {name: tensor.detach() for name, tensor in discriminators.named_parameters()}
    seen: list[Maps] = functional_call(discriminators, fixed, (output,))
    losses: dict[str, list[Tensor]] = {"discriminator": [], "adversarial": [], "features": []}
    for true, made, ours in zip(real, fake, seen, strict=True):
        told = F.relu(1 - true[-1].float()).mean() + F.relu(1 + made[-1].float()).mean()
        losses["discriminator"].append(told)
        losses["adversarial"].append(F.relu(1 - ours[-1].float()).mean())
        for wanted, got in zip(true[:-1], ours[:-1], strict=True):
            aim = wanted.detach().float()
            losses["features"].append((got.float() - aim).abs().mean() / (aim.abs().mean() + 1e-6))
    return {name: torch.stack(found).mean() for name, found in losses.items()}
