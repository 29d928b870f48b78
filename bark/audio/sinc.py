"""torchaudio's default resampler, for code that must get the tokens it got with torchaudio."""

import math

import torch
from torch import Tensor
from torch.nn import functional

ZEROS = 6  # of the sinc on each side
ROLLOFF = 0.99  # of the lower Nyquist frequency


def sinc_resample(wave: Tensor, rate: int, target: int) -> Tensor:
    """Resample (..., N) by a sinc under a squared-cosine window.

    Output sample n is the sum over k of x[k] h(n / target - k / rate); h depends on n only through
    its phase, so that one strided convolution with a kernel for each phase gives all of them."""
    if rate == target:
        return wave
    step, phases = (n // math.gcd(rate, target) for n in (rate, target))
    cutoff = ROLLOFF * min(step, phases)
    width = math.ceil(ZEROS * step / cutoff)
    taps = torch.arange(-width, width + step, dtype=torch.float64) / step
    at = (taps - torch.arange(phases, dtype=torch.float64)[:, None] / phases) * cutoff
    at = at.clamp(-ZEROS, ZEROS)  # the window is zero there
    kernel = torch.sinc(at) * torch.cos(at * (math.pi / 2 / ZEROS)) ** 2 * (cutoff / step)
    rows = functional.pad(wave.reshape(-1, 1, wave.shape[-1]), (width, width + step))
    blocks = functional.conv1d(rows, kernel.to(wave)[:, None], stride=step)  # (B, phases, blocks)
    made = blocks.transpose(1, 2).reshape(*wave.shape[:-1], -1)
    return made[..., : math.ceil(phases * wave.shape[-1] / step)]
