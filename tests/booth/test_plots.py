"""booth.plots: the picture of an examined recording."""

from pathlib import Path

import numpy as np
import pytest

from booth.plots import reference_figure, save_figure
from hubert.reference import examine
from tests.speech import RATE, phrase


def test_an_examined_recording_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    audio = np.clip(phrase([(1.5, 0.4), (2.0, 0.5)]) * 12, -1, 1).astype(np.float32)
    report = examine(audio, sample_rate=RATE)
    drawing = reference_figure(audio, RATE, report, "me.wav")
    wave, words = drawing.axes
    assert wave.get_title() == f"me.wav: {report.verdict}"
    said = [text.get_text() for text in words.texts]
    assert len(said) == len(report.findings) and any("clipped" in line for line in said)
    save_figure(drawing, tmp_path / "me.png")
    assert (tmp_path / "me.png").stat().st_size > 5_000
