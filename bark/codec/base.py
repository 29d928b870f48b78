"""What every codec can do, whatever network is behind it."""

from typing import Protocol, Self

import numpy as np
import torch

from bark.errors import AudioError


class Codec(Protocol):
    """What every audio codec of this house offers."""

    family: str  # what its codes mean: "encodec", "mel"
    sample_rate: int  # Hz
    hop_length: int  # samples a frame
    codebook_size: int
    num_codebooks: int
    lookahead: int | None  # frames after a sample that it depends on; None: all of them
    # Frames to each side that a frame's samples depend on; None: all of them. A piece decoded with
    # so many more on each side has the samples of the whole.
    context_frames: int | None

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """(N,) float32 → (num_codebooks, ceil(N / hop_length)) int64."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(K, T) integers → (hop_length * T,) float32."""

    def to(self, device: str | torch.device) -> Self:
        """Move to a device."""


class CheckedCodec:
    """The two ways of a codec, whose networks see only what they can take."""

    codebook_size: int
    num_codebooks: int

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Encode mono audio.

        Parameters
        ----------
        audio : (N,) float32 at 24 kHz, nominally in [-1, 1].

        Returns
        -------
        (8, T) int64 codes in [0, 1024), ``T = ceil(N / 320)``.

        Raises
        ------
        AudioError
            If the array is not one-dimensional or not finite.
        """
        samples = check_samples(audio)
        if samples.size == 0:
            return np.zeros((self.num_codebooks, 0), dtype=np.int64)
        with torch.inference_mode():
            return self._encode(np.ascontiguousarray(samples)).cpu().numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decode the first ``K`` rows of codes; nothing is trimmed.

        Parameters
        ----------
        codes : (K, T) integers of any width in [0, 1024), ``1 <= K <= 8``; fewer rows sound
            rougher. Those of a piece with `context_frames` more on each side give the samples of
            the whole.

        Returns
        -------
        (320 T,) float32 at 24 kHz; but for nano's codec a peak may pass 1.

        Raises
        ------
        AudioError
            If the shape, the type or a code is out of bounds.
        """
        codes = check_codes(codes, self)
        if codes.size == 0:
            return np.zeros(0, dtype=np.float32)
        with torch.inference_mode():
            return self._decode(torch.from_numpy(codes)).float().cpu().numpy()

    def _encode(self, samples: np.ndarray) -> torch.Tensor:
        raise NotImplementedError

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def check_samples(audio: np.ndarray) -> np.ndarray:
    """Return what a codec is to encode as (N,) float32; refuse another shape, NaN and infinity."""
    samples = np.asarray(audio, dtype=np.float32)
    if samples.ndim != 1:
        raise AudioError(
            "codec input has the wrong shape", got=samples.shape, allowed="(N,) mono samples"
        )
    if not np.isfinite(samples).all():
        raise AudioError("codec input", got="NaN or infinite samples", allowed="finite samples")
    return samples


def check_codes(codes: np.ndarray, codec: Codec | CheckedCodec) -> np.ndarray:
    """Return what `codec` is to decode as (K, T) int64; refuse another shape, type or range.

    int64, since torch has no embedding for the uint16 of old presets.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or not 1 <= codes.shape[0] <= codec.num_codebooks:
        allowed = f"(K, T) with K from 1 to {codec.num_codebooks}"
        raise AudioError("codes have the wrong shape", got=codes.shape, allowed=allowed)
    if not np.issubdtype(codes.dtype, np.integer):
        raise AudioError("codes have the wrong type", got=codes.dtype, allowed="integers")
    if codes.size and (codes.min() < 0 or codes.max() >= codec.codebook_size):
        allowed = f"0 to {codec.codebook_size - 1}"
        raise AudioError(
            "codes out of range", got=f"{codes.min()} to {codes.max()}", allowed=allowed
        )
    return codes.astype(np.int64)
