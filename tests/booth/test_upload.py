"""The upload button of the notebooks."""

from pathlib import Path
from types import SimpleNamespace

from booth.upload import Upload, uploaded


def test_what_was_uploaded_is_written_and_nothing_else(tmp_path: Path) -> None:
    assert uploaded().saved(tmp_path) is None and Upload("no widgets").saved(tmp_path) is None
    button = SimpleNamespace(value=({"name": "../me.wav", "content": memoryview(b"RIFF")},))
    saved = Upload(button).saved(tmp_path / "in")
    assert saved == tmp_path / "in" / "me.wav" and saved.read_bytes() == b"RIFF"
