"""gitmylo's HuBERT: a waveform tensor in, the features that his quantizers read out."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from bark.audio.read import resample
from bark.errors import SettingError

from .features import LAYER, SAMPLE_RATE, HubertFeatures

RESAMPLERS = ("sinc", "soxr")
ZEROS = 6  # of the sinc on each side
ROLLOFF = 0.99  # of the lower Nyquist frequency


def sinc_resample(wave: Tensor, rate: int, target: int) -> Tensor:
    """Resample (N,) by a sinc under a squared-cosine window, torchaudio's default kernel.

    Output sample n is the sum over k of x[k] h(n / target - k / rate); h depends on n only through
    its phase, so that one strided convolution with a kernel for each phase gives all of them."""
    step, phases = (n // math.gcd(rate, target) for n in (rate, target))
    cutoff = ROLLOFF * min(step, phases)
    width = math.ceil(ZEROS * step / cutoff)
    taps = torch.arange(-width, width + step, dtype=torch.float64) / step
    at = (taps - torch.arange(phases, dtype=torch.float64)[:, None] / phases) * cutoff
    at = at.clamp(-ZEROS, ZEROS)  # the window is zero there
    kernel = torch.sinc(at) * torch.cos(at * (math.pi / 2 / ZEROS)) ** 2 * (cutoff / step)
    padded = functional.pad(wave, (width, width + step))[None, None]
    blocks = functional.conv1d(padded, kernel.to(wave)[:, None], stride=step)  # (1, phases, blocks)
    return blocks[0].T.reshape(-1)[: math.ceil(phases * len(wave) / step)]


class CustomHubert(nn.Module):
    """HuBERT up to one layer, called as gitmylo's class of this name.

    Parameters
    ----------
    resampler : "sinc", which gives his tokens at every rate, or "soxr", which the cloner uses.
    """

    def __init__(
        self,
        checkpoint_path: str | Path,
        target_sample_hz: int = SAMPLE_RATE,
        seq_len_multiple_of: int | None = None,
        output_layer: int = LAYER,
        device: str | torch.device | None = None,
        resampler: str = "sinc",
    ) -> None:
        super().__init__()
        if resampler not in RESAMPLERS:
            raise SettingError("resampler", repr(resampler), " or ".join(RESAMPLERS))
        self.resampler = resampler
        self.target_sample_hz = target_sample_hz
        self.seq_len_multiple_of = seq_len_multiple_of
        self.output_layer = output_layer
        self.features = HubertFeatures.from_pretrained(
            checkpoint_path, output_layer, device=device or "cpu"
        )
        self.model = self.features.network

    @property
    def groups(self) -> int:
        """One row of features for each frame."""
        return 1

    @torch.no_grad()
    def forward(
        self, wav_input: Tensor, flatten: bool = True, input_sample_hz: int | None = None
    ) -> Tensor:
        """Return the features of one clip.

        Parameters
        ----------
        wav_input : (N,) or (channels, N).
        flatten : return (S, D); else (1, S, D).
        input_sample_hz : rate of `wav_input`; 16 kHz if not given.
        """
        mono = wav_input.detach().float().cpu().reshape(-1, wav_input.shape[-1]).mean(0)
        if input_sample_hz in (None, self.target_sample_hz):
            wave = mono.numpy()
        elif self.resampler == "sinc":
            wave = sinc_resample(mono, int(input_sample_hz), self.target_sample_hz).numpy()
        else:
            wave = resample(mono.numpy(), int(input_sample_hz), self.target_sample_hz)
        if self.seq_len_multiple_of:
            wave = wave[: len(wave) // self.seq_len_multiple_of * self.seq_len_multiple_of]
        features = torch.from_numpy(self.features(wave)).to(wav_input.device)
        return features if flatten else features[None]
