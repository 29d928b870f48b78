"""Pictures of audio: waveform, mel spectrogram, what the reference doctor found, how a voice was
refined.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bark.audio.mel import mel_filters
from bark.errors import MissingFileError
from bark.storage.atomic import atomic_write
from hubert.reference import Report

if TYPE_CHECKING:
    from hubert.refine import Refinement

FRAME = 1024  # samples of one spectrum
HOP = 240  # samples between two, 10 ms at 24 kHz
BANDS = 80
FLOOR_DB = -80.0  # below the loudest cell
COLUMNS = 2000  # of a waveform of any length
MEASURES = {"likeness": "", "clarity": "", "loudness": "LUFS", "speed": "", "pitch": "Hz"}
VERDICT_COLOURS = {"good": "C2", "usable": "C1", "unfit": "C3"}


def mel_spectrogram(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return decibels below the loudest cell: (N,) float32 → (80, frames), floored at -80."""
    padded = np.pad(np.asarray(audio, np.float64), (FRAME // 2, FRAME // 2 + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME))) ** 2  # (frames, FRAME/2 + 1)
    filters = mel_filters(BANDS, 0, sample_rate / 2, FRAME // 2 + 1, sample_rate)
    decibels = 10 * np.log10(power @ filters.T + 1e-12).T
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


def reference_figure(
    audio: np.ndarray, sample_rate: int, report: Report, title: str = "recording"
) -> Any:
    """Draw what `hubert.examine` found: waveform, speech, the window to clone, and the findings.

    Parameters
    ----------
    audio : (N,) the whole recording.

    Returns
    -------
    A matplotlib figure; a notebook shows it, `save_figure` writes it.
    """
    findings = report.findings
    drawing = _matplotlib().Figure(
        figsize=(10, 2.6 + 0.28 * max(1, len(findings))), layout="constrained"
    )
    wave, words = drawing.subplots(2, 1, height_ratios=[2.2, 0.28 * max(1, len(findings))])
    low, high = _envelope(audio, COLUMNS)
    seconds = np.linspace(0, len(audio) / sample_rate, len(low))
    wave.fill_between(seconds, low, high, color="0.45", linewidth=0)
    for index, (start, end) in enumerate(report.spans):
        wave.axvspan(start, end, ymax=0.06, color="C2", label=None if index else "speech")
    shade = VERDICT_COLOURS[report.verdict]
    wave.axvspan(report.start, report.end, color=shade, alpha=0.25, label="window")
    wave.set(title=f"{title}: {report.verdict}", ylim=(-1, 1), xlim=(0, seconds[-1]))
    wave.set(xlabel="seconds", ylabel="amplitude")
    wave.legend(loc="upper right")
    words.axis("off")
    lines = [f"{found.severity}: {found.code}: {found.message}" for found in findings]
    for row, line in enumerate(lines or ["nothing found"]):
        words.text(0, 1 - (row + 0.5) / max(1, len(lines)), line, va="center", fontsize=9)
    return drawing


def drift_figure(parts: Sequence[Mapping[str, Any]], title: str = "take") -> Any:
    """Draw how the parts of a take sound, one panel for each measure.

    Parameters
    ----------
    parts : of a take's record, measured (`bark.longform.drift`).

    Returns
    -------
    A matplotlib figure; `save_figure` writes it.
    """
    drawing = _matplotlib().Figure(figsize=(10, 1.6 * len(MEASURES) + 0.6), layout="constrained")
    speakers = list(dict.fromkeys(part["speaker"] for part in parts))
    rows = zip(drawing.subplots(len(MEASURES), 1, sharex=True), MEASURES.items(), strict=True)
    for axes, (name, unit) in rows:
        for speaker in speakers:
            own = [part for part in parts if part["speaker"] == speaker]
            values = [part.get("heard", {}).get(name, np.nan) for part in own]
            numbers = [part["number"] for part in own]
            axes.plot(numbers, values, marker=".", linewidth=1, label=speaker)
            again = [index for index, part in enumerate(own) if part.get("spoken", 1) > 1]
            axes.plot([numbers[i] for i in again], [values[i] for i in again], "o", mfc="none",
                      color="C3")  # fmt: skip
        axes.set(ylabel=f"{name}\n{unit}".rstrip())
    axes.set_xlabel("part; circles: spoken again")
    if len(speakers) > 1:
        curves = axes.get_legend_handles_labels()
        drawing.legend(*curves, loc="outside upper right", ncols=4)  # over the panels, not in one
    drawing.suptitle(title)
    return drawing


def refinement_figure(refinement: "Refinement") -> Any:
    """Draw what `hubert.refine_voice` found: each take's scores, and the trial of the best one.

    Returns
    -------
    A matplotlib figure; a notebook shows it, `save_figure` writes it.
    """
    drawing = _matplotlib().Figure(figsize=(10, 4), layout="constrained")
    left, right = drawing.subplots(1, 2)
    numbers = [each.number for each in refinement.takes]
    left.plot(numbers, [each.scores.total for each in refinement.takes], "o", label="take")
    tried = {each.number: each.audition for each in refinement.takes if each.audition is not None}
    left.plot([*tried], [*tried.values()], "s", color="C1", label="take as a prompt")
    left.axhline(refinement.base_audition, color="0.5", label="the voice as a prompt")
    left.set(xlabel="take", ylabel="score", title="takes", xticks=numbers)
    left.legend()
    pairs = refinement.trial.heard if refinement.trial else []
    for pair in pairs:
        up = pair.likeness[1] > pair.likeness[0]
        right.plot([0, 1], pair.likeness, "o-", color="C2" if up else "C3", linewidth=1)
    right.set(xticks=[0, 1], xticklabels=["voice", f"take {refinement.chosen}"], xlim=(-0.2, 1.2))
    right.set(ylabel="likeness to the recording", title="trial" if pairs else "no trial")
    drawing.suptitle(refinement.result())
    return drawing


def _envelope(audio: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and greatest sample of each of at most `columns` stretches of (N,)."""
    starts = np.linspace(0, len(audio), min(columns, len(audio)), endpoint=False).astype(int)
    return np.minimum.reduceat(audio, starts), np.maximum.reduceat(audio, starts)


def save_figure(drawing: Any, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_write(path) as temporary:
        drawing.savefig(temporary, dpi=100, format="png")


def _matplotlib() -> Any:
    try:
        from matplotlib import figure as matplotlib_figure
    except ImportError as error:
        raise MissingFileError(
            "pictures need matplotlib, which is not installed",
            fix='pip install "bark-voice-booth[plot]"',
        ) from error
    return matplotlib_figure
