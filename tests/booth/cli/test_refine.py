"""`bark clone --refine`: several recordings of one person make one voice, and all that was spoken is kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark import Bark
from bark.voice.voice import Voice
from booth.cli import refine
from booth.cli.main import main
from hubert.refine import Texts
from tests.conftest import ROOT

CLIP = ROOT / "booth" / "samples" / "reference.flac"


class Brightness:
    """Tells speakers apart by how their spectrum is tilted."""

    def embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        power = np.abs(np.fft.rfft(audio, 1 << 16)) ** 2
        low, high = power[: len(power) // 8].sum(), power[len(power) // 8 :].sum()
        return np.array([low, high]) / np.hypot(low, high)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two recordings of one person, and a short way through the command."""
    audio, rate = soundfile.read(CLIP)
    for name, part in zip("ab", np.array_split(audio, 2), strict=True):
        soundfile.write(tmp_path / f"{name}.wav", part, rate)
    monkeypatch.setattr(refine, "load_judges", lambda names: (Brightness(), None))
    monkeypatch.setattr(refine, "ENGLISH", Texts(("one two",), ("four",), ("five",)))
    return [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]


def test_several_recordings_make_one_voice_with_its_takes(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "me.npz"
    words = ["clone", *two, "-o", str(place), "--refine", "2", "--seed", "1", "--model", "nano"]
    words += ["--start", "0"]  # one window of each
    assert main([*words, "--consent", "self"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"voice 1: {two[0]}: 0.0") and two[1] in said[1]
    scored = [line for line in said if line.startswith("voice ") and ": score " in line]
    assert [line[:8] for line in scored] == ["voice 1:", "voice 2:"]
    assert f"{place}: " in said[-2] and "2 takes to listen to" in said[-1]
    kept = {path.name for path in (tmp_path / "me-refined").iterdir()}
    assert {"take-01.wav", "take-02.npz", "before.npz", "refine.json", "refine.png"} <= kept
    record = json.loads((tmp_path / "me-refined" / "refine.json").read_text())
    voice = Voice.load(place)
    assert voice.info["consent"] == "self" and voice.info["language"] == "en"
    assert ("refined_from" in voice.info) is record["promoted"]
    assert record["voice_sha256"] == Voice.load(tmp_path / "me-refined" / "before.npz").digest
    nano, take = Bark.from_pretrained("nano"), record["takes"][0]
    before = tmp_path / "me-refined" / "before.npz"
    again = nano.generate(take["text"], before, seed=take["seed"])  # deterministic by its seed
    assert again.voice.digest == Voice.load(tmp_path / "me-refined" / "take-01.npz").digest
    place.unlink()
    assert main([*words, "--consent", "self"]) == 1
    assert "me-refined exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-o", "me.npz"], "several recordings make several voices"),
        (["--judge", "wavlm"], "--judge needs --refine"),
        (["--seed", "1"], "--seed needs --refine"),
        (["--refine_texts", "t.txt"], "--refine_texts needs --refine"),
        (["--refine", "1"], "--refine: got '1'; allowed: a whole number >= 2"),
        (["--refine", "2", "--judge", "me", "--consent", "self"], "judge: got me; allowed: resem"),
        (["--refine", "2", "--refine_texts", "no.txt", "--consent", "self"], "no file no.txt"),
        (["none.wav", "--refine", "2", "--consent", "self"], "no file none.wav"),
        (["--refine", "2", "--language", "de", "--consent", "self"], "no texts to refine a voice"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    two: list[str],
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["clone", *two, *words, "--model", "nano"]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
