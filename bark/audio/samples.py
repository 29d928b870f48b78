"""Bring samples of every kind (numpy, torch, Gradio's pair) to float32, and mix channels to one."""

import logging
import sys
from typing import Any

import numpy as np

from bark.errors import AudioError

logger = logging.getLogger(__name__)

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz
MAX_CHANNELS = 32
LOUDEST = 8.0  # of full scale; a float file above it holds other units
LARGEST = float(np.finfo(np.float32).max)
SILENCE = 1e-3  # RMS of full scale, -60 dBFS
SPARSE = 7  # of so many samples one is enough to see whether channels cancel,
FEWEST = 128  # of such samples
CANCELLED = 0.1  # power of the mix : power of a mix of unrelated channels; correlation below -0.9
KINDS = "numbers (N,) or (N, channels), a torch tensor (N,) or (channels, N), or (rate, samples)"


def samples_of(source: Any, source_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Return samples of any kind as mono (N,) float32 in ±1, and their sample rate.

    Parameters
    ----------
    source : numpy (N,) or (N, channels), torch (N,) or (channels, N), or Gradio's pair
        ``(sample_rate, samples)``. Integers of any type are scaled by their full scale.
    source_rate : Hz; None where `source` is a pair.
    """
    samples, rate = channels_of(source, source_rate)
    if rate is None:
        raise AudioError("samples need their source_rate", None, f"{MIN_RATE} to {MAX_RATE} Hz")
    refuse_unusable(samples, "", rate=rate)
    return (Mixer("")(samples) if samples.ndim == 2 else samples), rate


def channels_of(
    source: Any, source_rate: int | None = None, where: str = ""
) -> tuple[np.ndarray, int | None]:
    """Return samples of any kind as finite (N,) or (N, channels) float32, and their rate if known.

    `where` begins the messages of the errors.
    """
    source, rate = _unpaired(source, source_rate)
    if rate is not None:
        check_rate(rate)
    array = _array(source)
    if array.dtype.kind in "iu":
        half = np.float32(2.0 ** (8 * array.dtype.itemsize - 1))
        scaled = array.astype(np.float32)
        return (scaled - half if array.dtype.kind == "u" else scaled) / half, rate
    if not np.isfinite(array).all():
        refuse_non_finite(array, where, 0, rate)
    if array.dtype.itemsize > 4:  # else a cast would overflow, with a warning
        array = np.clip(array, -LARGEST, LARGEST)
    return array.astype(np.float32), rate


def check_rate(rate: Any) -> None:
    """Refuse what is no sample rate in Hz."""
    if (
        isinstance(rate, bool)
        or not isinstance(rate, (int, np.integer))
        or not MIN_RATE <= rate <= MAX_RATE
    ):
        raise AudioError("sample rate", rate, f"{MIN_RATE} to {MAX_RATE} Hz")


def refuse_non_finite(samples: np.ndarray, where: str, before: int, rate: int | None) -> None:
    """Say how many samples (N,) or (N, channels) are not finite, and where the first one is."""
    bad = np.flatnonzero(~np.isfinite(samples.reshape(len(samples), -1)).all(axis=1))
    first = before + bad[0]
    place = f"at {first / rate:.4f} s" if rate else f"sample {first}"
    raise AudioError(
        f"{where}holds NaN or infinity",
        f"{len(bad)} such samples, the first {place}",
        "finite samples",
    )


def refuse_unusable(
    samples: np.ndarray, where: str, before: int = 0, rate: int | None = None
) -> None:
    """Refuse samples (N,) or (N, channels) that are not finite or cannot be meant as ±1."""
    if not samples.size:
        return
    peak = max(float(samples.max()), -float(samples.min()))  # NaN where one sample is
    if peak <= LOUDEST:
        return
    if not np.isfinite(samples).all():
        refuse_non_finite(samples, where, before, rate)
    raise AudioError(
        f"{where}samples reach far beyond full scale",
        f"{peak:g}",
        f"up to {LOUDEST:g}, normally 1",
        "Divide integers kept as floats by their full scale",
    )


class Mixer:
    """Mix blocks (n, channels) of one recording to (n,): their mean, until channels cancel.

    From the first block on in which they do, the louder channel of that block is taken alone.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.channel: int | None = None

    def __call__(self, block: np.ndarray) -> np.ndarray:
        channels = block.shape[1]
        if channels == 1:
            return block[:, 0]
        if self.channel is not None:
            return block[:, self.channel]
        mono = block.mean(axis=1, dtype=np.float32)
        few = block[::SPARSE]
        power = few.var(axis=0)
        if (
            len(few) >= FEWEST
            and power.max() > SILENCE**2
            and mono[::SPARSE].var() < CANCELLED * power.sum() / channels**2
        ):
            self.channel = int(power.argmax())
            logger.warning(
                "%sits channels are in opposite phase and cancel; channel %d of %d is taken alone",
                self.where,
                self.channel + 1,
                channels,
            )
            return block[:, self.channel]
        return mono


def _unpaired(source: Any, source_rate: int | None) -> tuple[Any, int | None]:
    """Split Gradio's pair; a rate given beside it must be the same."""
    if not (
        isinstance(source, tuple)
        and len(source) == 2
        and isinstance(source[0], (int, np.integer))
        and np.ndim(source[1])
    ):
        return source, source_rate
    rate = int(source[0])
    if source_rate not in (None, rate):
        raise AudioError("the pair names another sample rate", f"{rate} and {source_rate} Hz")
    return source[1], rate


def _array(source: Any) -> np.ndarray:
    """Return numbers (N,) or (N, channels) in their own type."""
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    if torch is not None and isinstance(source, torch.Tensor):
        tensor = source.detach().cpu()
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        turned = array.ndim == 2 and not (array.shape[0] > MAX_CHANNELS >= array.shape[1])
    else:
        try:
            array = np.asarray(source)
        except ValueError as error:  # lists of different lengths
            raise AudioError(
                "samples have the wrong shape or type", type(source).__name__, KINDS
            ) from error
        turned = array.ndim == 2 and array.shape[1] > MAX_CHANNELS >= array.shape[0]
    array = array.T if turned else array
    fits = array.ndim == 1 or (array.ndim == 2 and 1 <= array.shape[1] <= MAX_CHANNELS)
    if not fits or array.dtype.kind not in "iuf":
        raise AudioError(
            "samples have the wrong shape or type", f"{array.shape} {array.dtype}", KINDS
        )
    return array
