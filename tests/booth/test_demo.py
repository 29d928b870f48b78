"""The main job in one command, on the bundled clip and on real people's recordings."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark import Voice
from bark.audio.write import AI_TAG
from bark.checkpoints.find import find_model
from booth.demo import _judged, main
from booth.plots import mel_spectrogram
from tests.judges import skip_without_judges


def check(folder: Path, printed: str) -> None:
    layout = find_model("nano").layout
    Voice.load(folder / "demo.npz", layout).validate(layout)
    for name in ("demo.wav", "demo_long.wav"):
        audio, rate = soundfile.read(folder / name)
        assert rate == 24_000 and len(audio) > rate / 2 and np.abs(audio).max() > 0.01
        assert name in printed
        with soundfile.SoundFile(folder / name) as file:
            assert file.comment.startswith(AI_TAG)
    assert (folder / "demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak two short parts; tests/test_packaging.py has the whole paragraph."""
    monkeypatch.setattr("booth.demo.PARAGRAPH", "A short one. Of two parts.")
    monkeypatch.setattr("bark.longform.plan.MAX_SECONDS", 1.6)  # of a part


@pytest.mark.usefixtures("short")
def test_the_bundled_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Two blorfing words, and 7."  # one of them in no dictionary
    assert main(["--output-dir", str(tmp_path), "--text", text]) == 0
    printed = capsys.readouterr().out
    check(tmp_path, printed)
    assert "2 parts" in printed
    assert len(printed.splitlines()) <= 12


@pytest.mark.usefixtures("short")
def test_a_real_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str], shared: Path) -> None:
    recording = sorted((shared / "speech" / "eval").glob("*/*.flac"))[0]
    assert (
        main(
            [
                "--output-dir",
                str(tmp_path),
                "--reference",
                str(recording),
                "--text",
                "These are four words.",
            ]
        )
        == 0
    )
    check(tmp_path, capsys.readouterr().out)


def test_a_broken_recording_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "me.wav").write_bytes(b"no audio")
    assert (
        main(["--output-dir", str(tmp_path / "out"), "--reference", str(tmp_path / "me.wav")]) == 2
    )
    error = capsys.readouterr().err
    assert error.startswith("demo: ") and error.count("\n") == 1 and "me.wav" in error


def test_what_cannot_be_heard_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_judges()
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    both, alone = (_judged(noise, noise, text, 24_000) for text in ("Two words.", "你好"))
    assert len(both) == 2 and alone == both[:1] and alone[0].startswith("likeness")
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    assert _judged(noise, noise, "Two words.", 24_000) == both[1:]


def test_the_spectrogram_shows_a_tone_where_it_is() -> None:
    seconds = np.arange(24_000) / 24_000
    low, high = (
        mel_spectrogram(np.sin(2 * np.pi * hertz * seconds), 24_000).mean(axis=1)
        for hertz in (300, 3000)
    )
    assert low.argmax() < high.argmax()
    assert low.max() <= 0 and low.min() >= -80
