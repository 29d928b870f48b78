"""How unlike two voices are, as a loss: `hubert.likeness`'s speaker encoder with gradients."""

import torch
from torch import Tensor, nn

from bark.codec.mel import MelAutoencoder
from bark.codec.spectra import SAMPLE_RATE, overlap, unit, waveform
from hubert.likeness import FRAME, HOP, PART, QUIET, RATE, Embedder


class DifferentiableEmbedder(nn.Module):
    """Speaker embeddings as of `hubert.likeness`, of audio at 24 kHz, with gradients."""

    def __init__(self) -> None:
        super().__init__()
        ears = Embedder()
        self.network = ears.network.requires_grad_(False)
        self.register_buffer("filters", ears.filters)
        # the same stretches of time at 24 kHz have the same frequencies: nothing is resampled
        self.frame, self.hop = FRAME * SAMPLE_RATE // RATE, HOP * SAMPLE_RATE // RATE
        self.filters: Tensor

    def forward(self, audio: Tensor) -> Tensor:
        """Audio (B, N) at 24 kHz, of which the first 1.6 s are heard → unit embeddings (B, 256)."""
        level = 10 * audio.square().mean(1).clamp(min=1e-12).log10()  # dBFS
        gain = 10 ** ((QUIET - level).clamp(min=0) / 20)
        window = torch.hann_window(self.frame, device=audio.device)
        spectra = torch.stft(
            audio * gain[:, None], self.frame, self.hop, window=window, pad_mode="constant",
            return_complex=True,
        )  # fmt: skip
        # longer windows add up more samples
        power = (spectra.abs() * (RATE / SAMPLE_RATE)).square().mT
        heard: Tensor = self.network(power[:, :PART, : len(self.filters)] @ self.filters)
        return heard


def voice_distance(
    codec: MelAutoencoder, embedder: DifferentiableEmbedder, output: Tensor, whole: Tensor
) -> Tensor:
    """Return 1 minus the cosine of the voice in ``(B, T, bands)`` frames, sounding with the phases
    of the recording's spectra ``(B, T, 513)``, and the voice in these.
    """
    weight = overlap(whole)
    spoken = waveform(codec.magnitude(output) * unit(whole), weight)
    with torch.no_grad():
        theirs = embedder(waveform(whole, weight))
    return 1 - (embedder(spoken) * theirs).sum(1).mean()
