"""gitmylo's HuBERT: a waveform tensor in, the features that his quantizers read out."""

from pathlib import Path

import torch
from torch import Tensor, nn

from bark.audio.read import resample
from bark.audio.sinc import sinc_resample
from bark.errors import SettingError

from .features import LAYER, SAMPLE_RATE, HubertFeatures

RESAMPLERS = ("sinc", "soxr")


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
