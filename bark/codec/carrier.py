"""Decode nano's codes with a small Vocos that starts from pulses at the pitch of the voice.

The codec keeps mel magnitudes and no phase. A convolutional network can tell from them how a
voice's spectrum is filled, but not where its next pulse falls: that depends on where the one before
fell. So the pulses are laid first, at the pitch that the magnitudes show, and noise where they show
none. Their spectrum is the carrier, and `bark.codec.vocos.Vocos` says for each frame and frequency
how far the magnitude and the phase are from it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from bark.errors import CheckpointError

from .base import Codec
from .mel import NUM_CODEBOOKS, MelCodec
from .spectra import (
    FFT_LENGTH,
    HOP_LENGTH,
    SAMPLE_RATE,
    griffin_lim,
    overlap,
    spectrum,
    unit,
    waveform,
)
from .vocos import Vocos, VocosCodec, VocosConfig, bandwidth_index

PITCHES = (62.0, 420.0)  # Hz
PITCH_BAND = 1_500.0  # Hz: harmonics below it tell the pitch
OCTAVE_COST = 0.03  # of correlation, so that of equal peaks the higher pitch wins
VOICED = (0.3, 0.6)  # correlation of a frame without pitch, and of one that is nothing but pulses
BREATH = 0.1  # noise beside full pulses
NOISE_SECONDS = 4  # of noise, again and again
FLOOR = 1e-3  # of the magnitudes: below hearing, and enough to multiply
ROUNDS = 3  # of Griffin-Lim, which makes the pulses fit the magnitudes
MOMENTUM = 0.99
# Frames of magnitudes after one that its samples need: 5 for the pitch, 2 for each transform to
# spectra or back, of which there are two in each round and six around them.
CARRIER_FRAMES = 5 + 2 * (2 * ROUNDS + 6)


class CarrierCodec(VocosCodec):
    """nano's codec, decoding with `Vocos` on a carrier instead of with Griffin-Lim."""

    def __init__(self, base: MelCodec, network: Vocos) -> None:
        super().__init__(base, network)
        self.mel = base.network
        self.context_frames = None  # where a pulse falls depends on all pulses before it
        frames = 2 + 3 * base.network.config.decoder_blocks  # after one, that its magnitudes need
        self.lookahead = frames + max(CARRIER_FRAMES, network.context_frames)

    def _check(self, base: Codec, config: VocosConfig) -> None:
        """Refuse a network for other frames than this codec's."""
        bands = base.network.config.bands if isinstance(base, MelCodec) else 0
        found = (config.codebooks, config.inputs, config.fft_length)
        if found != (0, bands, FFT_LENGTH) or config.conditions <= bandwidth_index(NUM_CODEBOOKS):
            raise CheckpointError(
                "decoder for nano's codec: codebooks, inputs, window and conditions",
                got=f"{found} and {config.conditions}",
                allowed=f"{(0, bands, FFT_LENGTH)} and 3 or more",
            )

    def _audio(self, codes: Tensor, condition: Tensor) -> Tensor:
        frames = self.mel.decoder(self.mel.dequantize(codes)[None])
        hidden = self.network.backbone(frames, condition)
        audio: Tensor = self.network.head(hidden, carrier(self.mel.magnitude(frames)))
        return audio.clamp(-1, 1)


def carrier(magnitude: Tensor) -> Tensor:
    """Return the spectrum of pulses and noise that have ``(B, T, 513)`` magnitudes, complex."""
    magnitude = magnitude.clamp(min=FLOOR)
    pitch, correlation = pitch_of(magnitude)
    low, high = VOICED
    voiced = ((correlation - low) / (high - low)).clamp(0, 1)[..., None]
    sources = spectrum(pulses(pitch)) * voiced
    sources = sources + spectrum(noise_like(pitch)) * (1 - (1 - BREATH) * voiced)
    # sources × magnitude, not the phases alone: what is loud then tells its neighbours' phases
    start = unit(spectrum(waveform(sources * magnitude, overlap(magnitude))))
    return magnitude * unit(spectrum(griffin_lim(magnitude, ROUNDS, MOMENTUM, start)))


def pitch_of(magnitude: Tensor) -> tuple[Tensor, Tensor]:
    """Read the pitch off ``(B, T, 513)`` magnitudes by the autocorrelation of each frame.

    Boersma's method (1993): the autocorrelation is that of the squared magnitudes, divided by the
    window's.

    Returns
    -------
    pitch in Hz, smoothed, also where there is none; and how strong it is, 0 to 1; ``(B, T)`` each.
    """
    device = magnitude.device
    frequencies = torch.linspace(0, SAMPLE_RATE / 2, magnitude.shape[-1], device=device)
    fade = ((PITCH_BAND + 200 - frequencies) / 400).clamp(0, 1)
    window = torch.fft.rfft(torch.hann_window(FFT_LENGTH, device=device)).abs()
    own = torch.fft.irfft(window.square(), FFT_LENGTH)
    correlation = torch.fft.irfft(magnitude.square() * fade, FFT_LENGTH)
    correlation = correlation / correlation[..., :1].clamp(min=1e-9) / (own / own[0])
    first, last = int(SAMPLE_RATE / PITCHES[1]), int(SAMPLE_RATE / PITCHES[0]) + 1
    before, here, after = (
        correlation[..., first + step : last + 1 + step] for step in (-1, 0, 1)
    )  # one lag of all from `first` to `last`
    lags = torch.arange(first, last + 1, device=device)
    peaks = (here >= before) & (here > after)
    score = torch.where(peaks, here - OCTAVE_COST * (lags / first).log2(), -1.0)
    strength, best = score.max(-1)
    left, middle, right = (
        part.gather(-1, best[..., None])[..., 0] for part in (before, here, after)
    )
    shift = (left - right) / (2 * (left - 2 * middle + right) - 1e-9)  # the top of a parabola
    pitch = SAMPLE_RATE / (first + best + shift.clamp(-0.5, 0.5))
    strength = strength.clamp(0.02, 1)
    return _smoothed(pitch.log(), strength.pow(4)).exp(), strength


def _smoothed(values: Tensor, weights: Tensor) -> Tensor:
    """Return the median of five frames, then a weighted mean over five: ``(B, T)`` → ``(B, T)``."""
    padded = F.pad(values[:, None], (2, 2), mode="replicate")[:, 0]
    middle = padded.unfold(-1, 5, 1).median(-1).values
    kernel = values.new_tensor([[[0.25, 0.5, 1.0, 0.5, 0.25]]])

    def spread(series: Tensor) -> Tensor:
        return F.conv1d(F.pad(series[:, None], (2, 2), mode="replicate"), kernel)[:, 0]

    return spread(weights * middle) / spread(weights)


def pulses(pitch: Tensor) -> Tensor:
    """Sum cosines of equal size at all multiples of ``(B, T)`` Hz up to 12 kHz: ``(B, 320 T)``.

    A cosine's peak in a frame's magnitude is 1. The sum over k ≤ K of cos(k a) is
    sin((K + 1/2) a) / 2 sin(a / 2) - 1/2; the next harmonic fades in as the pitch falls.
    """
    logarithm = F.interpolate(pitch.log()[:, None], scale_factor=HOP_LENGTH, mode="linear")[:, 0]
    hertz = logarithm.exp()
    # float32 would lose the phase within a minute, and not every device has float64
    turns = (hertz.cpu().double() / SAMPLE_RATE).cumsum(-1)
    angle = (2 * torch.pi * (turns - turns.floor())).float().to(pitch.device)
    harmonics = 0.99 * SAMPLE_RATE / 2 / hertz
    whole = harmonics.floor()
    half = (angle / 2).sin()
    near = half.abs() < 1e-4  # at a pulse's very top
    total = ((2 * whole + 1) * angle / 2).sin() / torch.where(near, 1.0, half) / 2 - 0.5
    total = torch.where(near, whole, total) + (harmonics - whole) * ((whole + 1) * angle).cos()
    return total / (FFT_LENGTH / 4)


def noise_like(pitch: Tensor) -> Tensor:
    """Return the same noise for each item, of mean magnitude 1: ``(B, T)`` → ``(B, 320 T)``."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(NOISE_SECONDS * SAMPLE_RATE, generator=generator)
    noise = noise / (0.886 * (0.375 * FFT_LENGTH) ** 0.5)  # Rayleigh's mean; the window's energy
    samples = pitch.shape[1] * HOP_LENGTH
    looped = noise.repeat(samples // len(noise) + 1)[:samples]
    return looped.to(pitch.device).expand(len(pitch), -1)
