"""`bark check` and `bark convert-voice`, on the bundled clip and nano."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from booth.cli.main import main
from tests.conftest import ROOT

CLIP = str(ROOT / "booth" / "samples" / "reference.flac")


def test_a_recording_gets_a_verdict_as_lines_json_and_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", CLIP]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(("good: ", "usable: "))
    picture = tmp_path / "me.png"
    assert main(["check", CLIP, "--json", "--picture", str(picture)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert {"verdict", "window", "findings"} <= json.loads(first).keys()
    assert second == str(picture) and picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_no_speech_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 96_000)
    soundfile.write(tmp_path / "noise.wav", noise, 24_000)
    assert main(["check", str(tmp_path / "noise.wav")]) == 2
    error = capsys.readouterr().err
    assert "no speech found" in error and error.count("\n") == 1


def test_a_recording_is_said_again_in_another_voice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio, rate = soundfile.read(CLIP, frames=3 * 24_000)
    soundfile.write(tmp_path / "a.wav", audio, rate)
    words = ["convert-voice", str(tmp_path / "a.wav"), "--voice", "bruno", "--seed", "1"]
    words += ["-o", str(tmp_path / "b.wav")]
    assert main(words) == 0
    audio, _ = soundfile.read(tmp_path / "b.wav")
    assert len(audio) / 24_000 == pytest.approx(3.0, abs=0.5)
    assert main(words) == 1
    assert "already there" in capsys.readouterr().err
