"""bark drift: a line for each part of a take that was measured, and a picture of all."""

from pathlib import Path

import numpy as np
import pytest

from bark.longform.drift import Drift, Heard
from bark.pipeline import Bark
from bark.storage.json import encode, read_json
from booth.cli.main import main
from booth.plots import drift_figure
from booth.speak import job as jobs
from booth.speak.replay import Target, replay
from booth.speak.request import SpeakRequest
from booth.speak.speak import speak
from booth.takes.take import Take


def ear(text, voice, audio) -> Heard:
    """The third part is an octave up, however often it is spoken."""
    return Heard(0.8, -0.3, -21.5, 1.1, 400.0 if "three" in text else 200.0)


@pytest.fixture
def take(tiny_bark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Take:
    monkeypatch.setattr(
        jobs,
        "drift_of",
        lambda bark, how: how and Drift(ear, repair=how == "repair" or how["repair"]),
    )
    monkeypatch.setattr("booth.speak.speak.drift_of", jobs.drift_of)
    monkeypatch.setattr("booth.speak.replay.drift_of", jobs.drift_of)
    request = SpeakRequest(
        ("one one two two three three four four",), model=str(tiny_bark), seed=3, folder=tmp_path, name="a",
        settings={"max_duration_s": 0.5, "allow_early_stop": False}, words_a_part=2, drift="repair",
    )  # fmt: skip
    return next(speak(request, bark=Bark.from_pretrained(tiny_bark)))


def test_each_part_is_shown_and_what_falls_out(
    take: Take, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "drift.png"
    assert main(["drift", str(take.record), "--picture", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "part",
        "likeness",
        "clarity",
        "loudness",
        "speed",
        "pitch",
        "spoken",
    ]
    assert lines[1].split() == ["1", "0.80", "-0.30", "-21.5", "1.10", "200", "1"]
    assert lines[3].split() == ["3", "0.80", "-0.30", "-21.5", "1.10", "400", "3", "pitch"]
    assert lines[5] == "4 parts; out of line with the first: 3" and lines[6] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_replay_repairs_as_the_take_did(take: Take, tiny_bark: Path) -> None:
    again = replay(take.record, bark=Bark.from_pretrained(tiny_bark), target=Target(name="again"))
    assert again.different == ()
    one, other = (read_json(path) for path in (take.record, again.take.record))
    assert one["parts"] == other["parts"] and one["drift"] == other["drift"]
    assert one["parts"][2]["spoken"] == 3


def test_the_picture_has_a_panel_for_each_measure(take: Take) -> None:
    parts = read_json(take.record)["parts"]
    axes = drift_figure(parts).axes
    assert [axis.get_ylabel().split("\n")[0] for axis in axes] == [
        "likeness", "clarity", "loudness", "speed", "pitch",
    ]  # fmt: skip
    assert np.array_equal(axes[4].lines[0].get_ydata(), [200, 200, 400, 200])
    assert np.array_equal(axes[4].lines[1].get_xdata(), [3])  # spoken again


def test_the_legend_of_two_speakers_hides_no_curve() -> None:
    heard = dict(likeness=0.8, clarity=-1.0, loudness=-21.0, speed=1.2, pitch=200.0)
    parts = [
        {"speaker": speaker, "number": number, "heard": heard}
        for speaker in ("alba", "bruno")
        for number in (1, 2, 3)
    ]
    figure = drift_figure(parts)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["alba", "bruno"]
    panels = [axes.get_window_extent() for axes in figure.axes]
    assert not any(legend.get_window_extent().overlaps(panel) for panel in panels)


def test_a_take_that_was_not_measured_says_how_to(
    take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_json(take.record)
    for part in record["parts"]:
        del part["heard"]
    take.record.write_text(encode(record), "utf-8")
    assert main(["drift", str(take.record)]) == 1
    assert "its parts were not measured. Speak it with --drift measure" in capsys.readouterr().err
