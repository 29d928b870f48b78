"""What stands in a file never starts a download that nobody typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from bark import Bark, Voice
from bark.checkpoints.trust import is_here
from bark.errors import BarkError, CheckpointError
from booth.speak.replay import replay
from booth.voices.library import Library
from hubert.encoder import SemanticEncoder


def test_names_that_may_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    assert all(map(is_here, ("nano", "large", "small", str(tmp_path))))
    assert not any(map(is_here, ("someone/model", str(tmp_path / "gone"), "../x", "")))


def test_a_voice_does_not_send_the_program_to_the_hub(tmp_path: Path) -> None:
    voice = Bark.from_pretrained("nano", device="cpu").resolve_voice("alba")
    assert voice is not None
    for model, followed in (("evil/model", None), ("nano", "nano")):
        made = Voice(voice.semantic, voice.coarse, voice.fine, {"model": model})
        path = made.save(tmp_path / f"{followed}.npz")
        assert Library(tmp_path).model_of(str(path)) == followed


def test_a_record_does_not_send_the_program_to_the_hub(tiny_bark: Path, tmp_path: Path) -> None:
    bark = Bark.from_pretrained(tiny_bark, device="cpu")
    saved = bark.generate("two words", seed=5, allow_early_stop=False).save(tmp_path / "x.wav")
    assert saved.record is not None
    record: dict[str, Any] = json.loads(saved.record.read_text("utf-8"))
    for part in ("name", "semantic", "coarse", "fine", "decoder"):
        changed = {**record, "model": {**record["model"], part: "evil/model"}}
        saved.record.write_text(json.dumps(changed))
        with pytest.raises(BarkError, match="a model that is not here: got evil/model"):
            replay(saved.record)
    assert replay(saved.record, bark=bark).different == ()  # a model that was given is taken


def test_a_quantizer_does_not_send_the_program_to_the_hub(tmp_path: Path) -> None:
    quantizer = tmp_path / "quantizer.pth"
    quantizer.write_bytes(b"not read")
    (tmp_path / "quantizer.json").write_text('{"encoder": {"hubert": "evil/hubert", "layer": 9}}')
    with pytest.raises(CheckpointError, match="a HuBERT that is not here: got evil/hubert"):
        SemanticEncoder.from_pretrained("large", quantizer=quantizer)
