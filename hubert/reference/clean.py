"""Takes out of a recording what makes a clone worse and can be taken out: rumble, hum, a low level.

Only what was found is treated, and nothing that filters cannot mend (a room, a second voice). A
denoiser is a step of another package, named as in `bark.audio.postprocess`."""

from dataclasses import dataclass

import numpy as np

from bark.audio.limiter import limited
from bark.audio.postprocess import AnyStep, postprocessed, step_of
from bark.audio.read import resample

from .findings import HUM_DB
from .measures import Measures, decibels

RUMBLE = 60.0  # Hz; no voice reaches below
RUMBLE_DB = -10.0  # power below it beside that above, from which it is taken out
ORDER = 4  # of the high-pass, which runs forth and back
HIGHEST = 1_000.0  # Hz, up to which hum has multiples worth taking out
SLOW = 4_000  # Hz, the rate at which hum is measured
OFF = np.linspace(-0.002, 0.002, 81)  # of the mains' frequency, relative
BLOCK = 2.0  # s over which hum keeps its strength and phase
LEVEL_DB, LOW_DB = -23.0, -30.0  # dBFS of the speech: what it is raised to, where it is below
NOISY_DB = 25.0  # speech over background, from which there is nothing for a denoiser


@dataclass(frozen=True)
class Cleaned:
    """A cleaned recording, and what was done to it."""

    audio: np.ndarray  # (N,) float32
    done: tuple[str, ...]


def cleaned(
    audio: np.ndarray, sample_rate: int, measures: Measures, denoiser: AnyStep | None = None
) -> Cleaned:
    """Clean the window of a recording.

    Parameters
    ----------
    audio : (N,) of the window.
    measures : what the doctor measured in it.
    denoiser : applied where the speech is less than 25 dB over its background.
    """
    from scipy import signal

    done = []
    audio, hums = np.asarray(audio, np.float64), measures.hum_db > HUM_DB
    if hums or rumble_db(audio, sample_rate) > RUMBLE_DB:
        sections = signal.butter(ORDER, RUMBLE, "highpass", fs=sample_rate, output="sos")
        audio = signal.sosfiltfilt(sections, audio)
        done.append(f"high-pass {RUMBLE:g} Hz")
    if hums:
        audio = audio - hum_of(audio, sample_rate, measures.hum_hz)
        done.append(f"hum {measures.hum_hz:g} Hz")
    audio = audio.astype(np.float32)
    if denoiser is not None and measures.snr_db < NOISY_DB:
        audio = postprocessed(audio, sample_rate, [denoiser])
        done.append(step_of(denoiser).name)
    if measures.level_db < LOW_DB:
        gain = LEVEL_DB - measures.level_db
        audio = limited(audio * np.float32(10 ** (gain / 20)), sample_rate)[0]
        done.append(f"level {gain:+.0f} dB")
    return Cleaned(audio, tuple(done))


def rumble_db(audio: np.ndarray, sample_rate: int) -> float:
    """Return the power of (N,) samples below every voice, in dB beside that of the rest."""
    power = np.square(np.abs(np.fft.rfft(audio)))
    low = int(RUMBLE * len(audio) / sample_rate)
    return float(decibels(power[:low].sum() / (power[low:].sum() + 1e-12)))


def hum_of(audio: np.ndarray, sample_rate: int, mains: float) -> np.ndarray:
    """Return the hum in (N,) samples: a sum of the mains' multiples.

    Filters would take the voice's own harmonics with it. So the tones are fitted to the quiet
    moments, where there is nothing else, and every moment weighs the more the quieter it is.
    """
    slow = resample(audio.astype(np.float32), sample_rate, SLOW).astype(np.float64)
    smooth = np.convolve(np.square(slow), np.ones(SLOW // 10) / (SLOW // 10), mode="same")
    weights = 1 / (smooth + 1e-3 * smooth.max() + 1e-12)
    lowest = 5 * mains  # enough to find the frequency by
    fits = [_fitted(slow, weights, mains * (1 + off), lowest)[1] for off in OFF]
    exact = mains * (1 + OFF[int(np.argmax(fits))])
    size = min(len(slow), round(BLOCK * SLOW))
    hum, total = np.zeros(len(audio)), np.full(len(audio), 1e-9)
    for first in [*range(0, len(slow) - size, size // 2), len(slow) - size]:
        block = slice(first, first + size)
        strengths, _ = _fitted(slow[block], weights[block], exact)
        start, count = first * sample_rate // SLOW, size * sample_rate // SLOW
        fade = np.hanning(count + 2)[1:-1][: len(audio) - start]
        late = start - first * sample_rate / SLOW  # samples, by rounding
        tones = _tones(len(fade), sample_rate, exact, late) @ strengths
        hum[start : start + len(fade)] += fade * tones
        total[start : start + len(fade)] += fade
    return hum / total


def _fitted(
    audio: np.ndarray, weights: np.ndarray, mains: float, highest: float = HIGHEST
) -> tuple[np.ndarray, float]:
    """Return the tones' strengths (2 K,) that fit (N,) samples best, and what they explain."""
    tones = _tones(len(audio), SLOW, mains, highest=highest)
    weighted = tones * weights[:, None]
    product = weighted.T @ audio
    strengths = np.linalg.solve(weighted.T @ tones, product)
    return strengths, float(strengths @ product)


def _tones(
    count: int, sample_rate: int, mains: float, late: float = 0.0, highest: float = HIGHEST
) -> np.ndarray:
    """Return cosine and sine of each multiple of the mains: (count, 2 K)."""
    multiples = np.arange(1, int(highest / mains * 1.01) + 1) * 2 * np.pi * mains / sample_rate
    phase = (np.arange(count)[:, None] + late) * multiples
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
