"""Turns audio into pictures: waveform and mel spectrogram, one recording a row."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bark.errors import MissingFileError
from bark.storage.atomic import atomic_write

FRAME = 1024  # samples of one spectrum
HOP = 240  # samples between two, 10 ms at 24 kHz
BANDS = 80
FLOOR_DB = -80.0  # below the loudest cell


def mel_spectrogram(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return decibels below the loudest cell: (N,) float32 → (80, frames), floored at -80."""
    padded = np.pad(np.asarray(audio, np.float64), (FRAME // 2, FRAME // 2 + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME))) ** 2  # (frames, FRAME/2 + 1)
    decibels = 10 * np.log10(power @ _mel_filters(sample_rate).T + 1e-12).T
    return np.maximum(decibels - decibels.max(), FLOOR_DB)


def figure(recordings: Mapping[str, np.ndarray], sample_rate: int) -> Any:
    """Draw each recording's waveform and mel spectrogram under its title, all on one time scale.

    Parameters
    ----------
    recordings : title → audio (N,) at `sample_rate` Hz.

    Returns
    -------
    A matplotlib figure; a notebook shows it, `save_figure` writes it.
    """
    plt = _matplotlib()
    seconds = max(len(audio) for audio in recordings.values()) / sample_rate
    rows = 2 * len(recordings)
    drawing = plt.Figure(figsize=(10, 2.1 * rows), layout="constrained")
    axes = drawing.subplots(rows, 1, sharex=True, height_ratios=[1, 2] * len(recordings))
    for row, (title, audio) in enumerate(recordings.items()):
        wave, mel = axes[2 * row], axes[2 * row + 1]
        wave.plot(np.arange(len(audio)) / sample_rate, audio, linewidth=0.4)
        wave.set(title=title, ylim=(-1, 1), ylabel="amplitude", xlim=(0, seconds))
        length = len(audio) / sample_rate
        mel.imshow(
            mel_spectrogram(audio, sample_rate), origin="lower", aspect="auto", cmap="magma",
            extent=(0, length, 0, BANDS), vmin=FLOOR_DB, vmax=0,
        )  # fmt: skip
        mel.set(ylabel="mel band", xlim=(0, seconds))
    axes[-1].set_xlabel("seconds")
    return drawing


def save_figure(drawing: Any, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_write(path) as temporary:
        drawing.savefig(temporary, dpi=100, format="png")


def _mel_filters(sample_rate: int) -> np.ndarray:
    """Triangles evenly spaced on the mel scale 2595·log10(1 + f/700) → (80, FRAME/2 + 1)."""
    frequencies = np.linspace(0, sample_rate / 2, FRAME // 2 + 1)  # Hz
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)  # Hz
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)


def _matplotlib() -> Any:
    try:
        from matplotlib import figure as matplotlib_figure
    except ImportError as error:
        raise MissingFileError(
            "pictures need matplotlib, which is not installed",
            fix='pip install "bark-voice-booth[plot]"',
        ) from error
    return matplotlib_figure
