"""Draws spectrograms of references and clones side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bark.storage.atomic import atomic_write

SECONDS = 3.0  # of each clip
TOP = 12_000  # Hz: all there is at 24 kHz
RANGE = 70  # dB shown


def draw_spectrograms(
    path: Path, pairs: Sequence[tuple[str, np.ndarray, np.ndarray]], sample_rate: int = 24_000
) -> None:
    """Write a PNG with a row for each (name, reference (N,), clone (M,))."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(10, 2.2 * len(pairs)), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.subplots(len(pairs), 2, squeeze=False, sharex=True, sharey=True)
    for row, (name, reference, clone) in zip(axes, pairs, strict=True):
        for place, title, audio in (
            (row[0], f"{name}: reference", reference),
            (row[1], "its clone", clone),
        ):
            shown = audio[: int(SECONDS * sample_rate)]
            _, _, _, image = place.specgram(
                shown, NFFT=512, Fs=sample_rate, noverlap=384, cmap="magma"
            )
            high = image.get_clim()[1]
            image.set_clim(high - RANGE, high)
            place.set_ylim(0, TOP)
            place.set_title(title, fontsize=9)
        row[0].set_ylabel("Hz")
    for place in axes[-1]:
        place.set_xlabel("s")
    with atomic_write(path) as temporary:
        picture.savefig(temporary, dpi=60)
