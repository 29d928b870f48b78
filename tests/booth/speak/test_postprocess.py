"""Steps on the way out, by every door: kept in the record, and the same bytes on replay."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark.audio.postprocess import loudness_of
from bark.errors import SettingError
from bark.pipeline import Bark
from bark.storage.json import encode, read_json
from booth.speak.replay import Target, replay
from booth.speak.request import SpeakRequest
from booth.speak.speak import speak


@pytest.fixture(scope="module")
def bark(tiny_bark: Path) -> Bark:
    return Bark.from_pretrained(tiny_bark)


@pytest.fixture
def request_(tmp_path: Path, tiny_bark: Path) -> SpeakRequest:
    return SpeakRequest(
        ("two words",), model=str(tiny_bark), seed=3, folder=tmp_path, name="a",
        settings={"max_duration_s": 0.6, "allow_early_stop": False},
        postprocess=("loudness=-30",),
    )  # fmt: skip


def test_loudness_is_recorded_and_replayed_to_the_byte(bark: Bark, request_: SpeakRequest) -> None:
    (take,) = speak(request_, bark=bark)
    assert read_json(take.record)["postprocess"] == ["loudness=-30"]
    audio, rate = soundfile.read(take.audio)
    assert loudness_of(audio, rate) == pytest.approx(-30, abs=0.1)
    again = replay(take.record, bark=bark, target=Target(name="again"))
    assert again.take.audio.read_bytes() == take.audio.read_bytes()
    plain = replay(take.record, bark=bark, target=Target(name="plain"), postprocess=[])
    assert "postprocess" not in read_json(plain.take.record)
    assert plain.take.audio.read_bytes() != take.audio.read_bytes()


def test_a_record_starts_no_step_of_another_package(
    bark: Bark, request_: SpeakRequest, caplog: pytest.LogCaptureFixture
) -> None:
    (take,) = speak(request_, bark=bark)
    stranger = read_json(take.record) | {"postprocess": ["rvc=/etc/evil.pth", "loudness=-30"]}
    take.record.write_text(encode(stranger), "utf-8")
    with caplog.at_level(logging.WARNING):
        again = replay(take.record, bark=bark, target=Target(name="again"))
    assert "went through rvc=/etc/evil.pth, which a record alone does not start" in caplog.text
    assert read_json(again.take.record)["postprocess"] == ["loudness=-30"]


def test_an_unknown_step_is_found_before_anything_is_spoken(
    bark: Bark, request_: SpeakRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bark, "generate", lambda *a, **k: pytest.fail("spoken all the same"))
    object.__setattr__(request_, "postprocess", ("rvc",))
    with pytest.raises(SettingError, match="no postprocess of this name: got 'rvc'"):
        next(speak(request_, bark=bark))


def test_a_stream_takes_steps_too(bark: Bark) -> None:
    settings = {"max_duration_s": 0.6, "allow_early_stop": False}

    class Louder:
        def __call__(self, audio: np.ndarray, rate: int) -> np.ndarray:
            return audio * 2

        def stream(self, pieces, rate):
            return (piece * 2 for piece in pieces)

    plain, louder = (
        np.concatenate(list(bark.stream("two words", seed=1, postprocess=steps, **settings)))
        for steps in ([], [Louder()])
    )
    assert np.allclose(louder, 2 * plain) and np.any(plain)
    with pytest.raises(SettingError, match="needs the whole speech"):
        bark.stream("two words", seed=1, postprocess=["loudness=-16"])
