"""Short-time spectra on the frames of nano's codec, back to audio, and phases for magnitudes.

Frames are centred in the 320 samples they stand for.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .mel_config import FFT_LENGTH

SAMPLE_RATE = 24_000  # Hz
HOP_LENGTH = 320  # samples a frame: 75 frames a second
# samples of silence on each side, so that a frame is centred in its hop
EDGE = (FFT_LENGTH - HOP_LENGTH) // 2


def spectrum(audio: Tensor) -> Tensor:
    """Return the spectrum of whole frames: ``(B, N)``, N a multiple of 320, → ``(B, N / 320,
    513)``.
    """
    window = torch.hann_window(FFT_LENGTH, device=audio.device)
    frames = F.pad(audio, (EDGE, EDGE)).unfold(-1, FFT_LENGTH, HOP_LENGTH)
    return torch.fft.rfft(frames * window)


def waveform(spectra: Tensor, weight: Tensor) -> Tensor:
    """Return the audio whose windowed frames fit best: ``(B, T, 513)`` → ``(B, 320 T)``.

    `weight` is the `overlap` of so many frames.
    """
    window = torch.hann_window(FFT_LENGTH, device=spectra.device)
    frames = torch.fft.irfft(spectra, FFT_LENGTH) * window
    return overlap_add(frames, HOP_LENGTH) / weight


def overlap(spectra: Tensor) -> Tensor:
    """Return the sum of the squared windows over each sample of so many frames: ``(1, 320 T)``."""
    window = torch.hann_window(FFT_LENGTH, device=spectra.device)
    squares = (window * window).expand(1, spectra.shape[1], FFT_LENGTH)
    return overlap_add(squares, HOP_LENGTH).clamp(min=1e-3)


def unit(spectra: Tensor) -> Tensor:
    """Return the phases alone: complex numbers of size 1, or 0."""
    return spectra / (spectra.abs() + 1e-9)


def griffin_lim(
    magnitude: Tensor, iterations: int, momentum: float, phase: Tensor | None = None
) -> Tensor:
    """Find audio with a given magnitude spectrum.

    Fast Griffin-Lim (Perraudin, Balazs, Søndergaard, 2013).

    Parameters
    ----------
    magnitude : Tensor
        ``(B, T, 513)``, not negative.
    iterations : int
        Rounds of making the spectrum consistent.
    momentum : float
        0 is the plain algorithm; 0.99 gets further in as many rounds.
    phase : Tensor, optional
        Where to start, ``(B, T, 513)`` complex of size 1; without it from zero phase.

    Returns
    -------
    Tensor
        ``(B, 320 T)`` audio.
    """
    if phase is None:
        phase = torch.ones_like(magnitude, dtype=torch.complex64)
    previous = torch.zeros_like(phase)
    share, weight = momentum / (1 + momentum), overlap(magnitude)
    for _ in range(iterations):
        consistent = spectrum(waveform(magnitude * phase, weight))
        ahead = consistent - share * previous
        previous = consistent
        phase = unit(ahead)
    return waveform(magnitude * phase, weight)


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Add frames where they belong, each centred in its hop: ``(B, T, L)`` → ``(B, hop * T)``.

    ``L - hop`` must be even; what reaches over both ends is cut off.
    """
    batch, count, length = frames.shape
    hops = -(-length // hop)  # that a frame reaches over, the last one in part
    parts = F.pad(frames, (0, hops * hop - length)).unflatten(-1, (hops, hop))
    added = frames.new_zeros(batch, count + hops - 1, hop)
    for index in range(hops):
        added[:, index : index + count] += parts[:, :, index]
    edge = (length - hop) // 2
    return added.flatten(1)[:, edge : edge + count * hop]
