"""Leaving the house: tags, the AI mark, the voice and the record, whole or not at all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark import Bark, Voice
from bark.audio import AI_TAG
from bark.errors import AudioError
from bark.speech import Generation


@pytest.fixture(scope="module")
def take(tiny_bark: Path) -> Generation:
    bark = Bark.from_pretrained(tiny_bark, device="cpu")
    voice = bark.generate("a voice", seed=1, allow_early_stop=False).voice
    said = Voice(voice.semantic, voice.coarse, voice.fine, {"consent": "self", "language": "pl"})
    return bark.generate("two words", said, seed=5, allow_early_stop=False)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_speech_says_that_a_machine_spoke(take: Generation, tmp_path: Path, suffix: str) -> None:
    saved = take.save(tmp_path / f"new/x{suffix}", voice=True)
    assert saved.audio == tmp_path / f"new/x{suffix}"
    with soundfile.SoundFile(saved.audio) as file:
        assert file.title == "two words" and AI_TAG in file.comment
    assert saved.voice is not None and saved.record is not None
    voice = Voice.load(saved.voice)
    assert (voice.info["consent"], voice.info["language"]) == ("self", "pl")
    record = json.loads(saved.record.read_text("utf-8"))
    assert record["statement"] == AI_TAG and record["audio"] == f"x{suffix}"
    assert record["settings"]["allow_early_stop"] is False and record["seed"] == 5
    names = {path.name for path in saved.audio.parent.iterdir()}
    assert names == {"x.json", "x.npz", f"x{suffix}"}


def test_what_is_not_asked_for_is_not_written(take: Generation, tmp_path: Path) -> None:
    saved = take.save(tmp_path / "x.wav", record=False)
    assert (saved.record, saved.voice) == (None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]


def test_an_earlier_file_is_replaced_whole_or_stays(take: Generation, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"old")
    broken = replace(take, audio=np.full(5, np.nan, dtype=np.float32))
    with pytest.raises(AudioError, match="NaN"):
        broken.save(tmp_path / "x.wav")
    assert (tmp_path / "x.wav").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
    take.save(tmp_path / "x.wav", record=False)
    assert (tmp_path / "x.wav").read_bytes() != b"old"
    with pytest.raises(AudioError, match="unknown audio format: got .txt; allowed: wav"):
        take.save(tmp_path / "x.txt")


def test_samples_are_processed_on_the_way_out(take: Generation, tmp_path: Path) -> None:
    def quieter(audio: np.ndarray, rate: int) -> np.ndarray:
        assert rate == take.sample_rate
        return audio / 2

    take.save(tmp_path / "a.wav")
    take.save(tmp_path / "b.wav", postprocess=[quieter])
    loud, quiet = (soundfile.read(tmp_path / name)[0] for name in ("a.wav", "b.wav"))
    assert np.abs(loud / 2 - quiet).max() < 1e-4
