"""Measures how a stretch of speech sounds: background, room, hum, bandwidth, distortion."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bark.audio.mel import mel_filters

from .speech import RATE

HOP = 160  # samples at 16 kHz, 10 ms
SIZE = 512  # samples of a short spectrum, 32 ms
LINES = 8192  # samples of a spectrum that shows single tones, 0.5 s
MAINS = (50.0, 60.0)  # Hz
FALL = 3  # frames over which a fall of level is measured, 30 ms
GUARD = 3  # frames next to speech that are not taken for background
PLATEAU = 0.99  # of the window's peak, from which a sample counts as cut off
QUIETEST = 5  # % of the frames, that stand in for pauses where there are none
FLOOR_DB = 65.0  # below the strongest band, where a spectrum counts as ended


@dataclass(frozen=True)
class Measures:
    """What was measured in a window; see the functions below."""

    level_db: float  # dBFS, RMS of the speech
    peak_db: float  # dBFS
    snr_db: float  # speech over the background of its pauses, or of its quietest moments
    clipped: float  # share of samples at the peak, as clipping leaves them
    bandwidth: float  # Hz, up to which the spectrum reaches; at most 12 000
    treble_db: float  # 4.5 to 7 kHz against 0.5 to 3 kHz
    fall_db: float  # in 30 ms, the steepest falls of level; a room makes them shallow
    spread_db: float  # between loud and soft moments in each band; noise fills it
    hum_db: float  # tones of the mains over their surroundings
    hum_hz: float  # which mains
    tones_db: float  # steady tones over their surroundings
    noisiness: float  # of the background: 0 is noise, the lower the more tonal
    overlap: float  # evidence of two speakers at once, in nats
    turns: float  # evidence of two speakers in turns, in nats
    alike: float | None = None  # voices of two groups of moments; None without a speaker encoder

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain numbers, rounded."""
        return {
            name: None if value is None else round(float(value), 4)
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Spectra:
    """Short spectra of a window at 16 kHz, and which of its frames hold what."""

    audio: np.ndarray  # (N,)
    speech: np.ndarray  # (F,) bool, louder than the pauses
    voiced: np.ndarray  # (F,) bool, inside the spans of speech, short pauses included
    cells: np.ndarray  # (F, 257) power
    bands: np.ndarray  # (F, 24) dB in mel bands, 0 being the mean of the speech
    power: np.ndarray  # (F,) mean square of 10 ms

    @classmethod
    def of(cls, audio: np.ndarray, speech: np.ndarray, voiced: np.ndarray) -> "Spectra":
        """Cut (N,) samples into frames of 10 ms."""
        count = min(len(speech), len(audio) // HOP)
        speech, voiced = speech[:count], voiced[:count]
        if not speech.any():
            speech = np.ones(count, bool)
        if not voiced.any():
            voiced = speech
        padded = np.pad(audio, ((SIZE - HOP) // 2, SIZE))
        frames = np.lib.stride_tricks.sliding_window_view(padded, SIZE)[::HOP][:count]
        cells = np.abs(np.fft.rfft(frames * np.hanning(SIZE).astype(np.float32), axis=1)) ** 2
        mel = cells @ mel_filters(24, 100, 7600, SIZE // 2 + 1, RATE).T
        bands = decibels(mel / (mel[speech].mean() + 1e-20))
        power = audio[: count * HOP].reshape(-1, HOP).var(axis=1)
        return cls(audio, speech, voiced, cells, bands, power)

    @property
    def pauses(self) -> np.ndarray:
        """(F,) bool: background, a little away from speech."""
        near = np.convolve(self.voiced, np.ones(2 * GUARD + 1), mode="same") > 0
        return ~near if (~near).sum() >= 10 else ~self.voiced


def decibels(power: Any) -> np.ndarray:
    """Power as decibels."""
    return 10 * np.log10(np.asarray(power, np.float64) + 1e-12)


def signal_to_noise(spectra: Spectra, background: float | None = None) -> float:
    """Return the speech's mean level over the background's, in dB, at most 80.

    Parameters
    ----------
    background : power of the recording's pauses, for a window that has hardly any. Where there are
        none the quietest moments of the speech stand in for them: before "p", "t" and "k" it stops.
    """
    pauses = spectra.power[spectra.pauses]
    if len(pauses) >= 20:
        background = float(pauses.mean())
    elif background is None:
        smooth = np.convolve(spectra.power, np.ones(3) / 3, mode="same")
        background = float(np.percentile(smooth, QUIETEST))
    speech = spectra.power[spectra.speech].mean()
    return float(min(80.0, decibels(speech) - decibels(background)))


def steepest_fall(spectra: Spectra) -> float:
    """Return how much the level of a band falls in 30 ms at its steepest 20th, mean of the bands.

    Dry speech falls by 15 to 25 dB; in a room the tail keeps it from falling, as noise does.
    """
    levels, loud = spectra.bands, np.percentile(spectra.bands[spectra.voiced], 90, axis=0)
    change = levels[FALL:] - levels[:-FALL]
    begins = (levels[:-FALL] > loud - 15) & spectra.voiced[:-FALL, None]
    falls = [
        np.percentile(change[begins[:, band], band], 5)
        for band in range(2, 20)
        if begins[:, band].sum() > 10
    ]
    return float(-np.mean(falls)) if falls else 0.0


def spread(spectra: Spectra) -> float:
    """Return the decibels between the loudest tenth and the softest fifth of each band's frames."""
    high, low = np.percentile(spectra.bands[spectra.voiced], [90, 20], axis=0)
    return float(np.mean(high - low))


def treble(spectra: Spectra) -> float:
    """Return the level of 4.5 to 7 kHz against that of 0.5 to 3 kHz in speech, in dB."""
    mean = spectra.cells[spectra.speech].mean(axis=0)
    high, low = (mean[round(a / 31.25) : round(b / 31.25)] for a, b in ((4500, 7000), (500, 3000)))
    return float(decibels(high.mean()) - decibels(low.mean()))


def steady_tones(audio: np.ndarray) -> tuple[float, float, float]:
    """Find tones that never stop: mains hum, and the twenty strongest lines of up to 3 kHz.

    A bin counts with what it holds in its quietest fifth of the time, which is little for a voice.

    Returns
    -------
    decibels of hum over its surroundings, the mains frequency, decibels of the lines.
    """
    if len(audio) < LINES:
        audio = np.resize(audio, LINES)
    cells = np.lib.stride_tricks.sliding_window_view(audio, LINES)[:: LINES // 4]
    power = np.abs(np.fft.rfft(cells * np.hanning(LINES).astype(np.float32), axis=1)) ** 2
    steady = decibels(np.percentile(power, 20, axis=0))
    width = RATE / LINES  # Hz
    around = np.lib.stride_tricks.sliding_window_view(np.pad(steady, 20, mode="edge"), 41)
    above = steady - np.median(around, axis=1)
    found = []
    for mains in MAINS:
        lines = []
        for place in np.rint(mains * np.arange(1, 9) / width).astype(int):
            beside = np.r_[steady[max(1, place - 12) : place - 4], steady[place + 5 : place + 13]]
            lines.append(steady[place - 1 : place + 2].max() - np.median(beside))
        found.append((float(np.mean(np.sort(lines)[-3:])), mains))
    hum, mains = max(found)
    lines_db = np.sort(above[round(60 / width) : round(3000 / width)])[-20:].mean()
    return hum, mains, float(lines_db)


def noisiness(spectra: Spectra) -> float:
    """Return the log flatness of the pauses' spectra from 80 Hz to 3.5 kHz: noise about -1 to -3,
    tones below."""
    pauses = spectra.pauses
    if pauses.sum() < 10:
        return 0.0
    cells = spectra.cells[pauses][:, 3:112] + 1e-15
    return float(np.mean(np.log(cells).mean(axis=1) - np.log(cells.mean(axis=1))))


def clipped_share(samples: np.ndarray) -> float:
    """Return the share of samples (N,) or (N, channels) within 1 % of the peak, of the worst
    channel: speech hardly stays there, clipping makes plateaus, also when turned down later."""
    columns = samples.reshape(len(samples), -1)
    loud = np.abs(columns)
    return float((loud >= PLATEAU * (loud.max(axis=0) + 1e-9)).mean(axis=0).max())


def bandwidth(audio: np.ndarray, sample_rate: int) -> float:
    """Return the frequency up to which the mean spectrum stays within 65 dB of its strongest band,
    in Hz.
    """
    size = 1024
    if len(audio) < size:
        return 0.0
    cells = np.lib.stride_tricks.sliding_window_view(audio, size)[:: size // 2] * np.hanning(size)
    spectrum = (np.abs(np.fft.rfft(cells, axis=1)) ** 2).mean(axis=0)  # (513,)
    bands = np.convolve(spectrum, np.ones(9) / 9, mode="same")
    strong = np.flatnonzero(bands >= bands.max() * 10 ** (-FLOOR_DB / 10))
    return float(strong[-1] * sample_rate / size)
