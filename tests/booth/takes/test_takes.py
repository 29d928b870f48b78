"""Takes on disk: three files that belong together, under names that nothing else has."""

import errno
import json
import multiprocessing
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark.errors import AudioError, BarkError, MissingFileError, StorageError
from bark.settings import Settings
from bark.speech import Generation, file_hash
from bark.tokens import BARK
from bark.voice.voice import Voice
from booth.takes.take import Take, read_record, save_take, slug
from tests.booth.voices.test_library import make_voice

AUDIO = np.sin(np.arange(4800) / 10).astype(np.float32) / 2
RECORD = {"text": "Hello, my name is Suno.\nAnd I like pizza.", "seed": 42}


def save(
    folder: Path, stem: str = "hello", suffix: str = ".wav", voice: Voice | None = None
) -> Take:
    return save_take(
        speech(voice), RECORD, target=folder / stem, suffix=suffix, with_voice=voice is not None
    )


def speech(voice: Voice | None = None, audio: np.ndarray = AUDIO) -> Generation:
    tokens = make_voice() if voice is None else voice
    return Generation(audio, tokens, RECORD["text"], RECORD["seed"], Settings(), "large", BARK)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hello, my name is Suno! [laughs]", "hello-my-name-is-suno-laughs"),
        ("♪ In the jungle ♪", "in-the-jungle"),
        ("你好，世界", "你好-世界"),
        ("", "speech"),
        ("!!! ... ☃", "speech"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\x1b[31mb\0c", "a-31mb-c"),
        ("x" * 500, "x" * 40),
        ("a sentence of words that go on and on and on", "a-sentence-of-words-that-go-on-and-on"),
        ("word " * 9, "word-word-word-word-word-word-word-word"),
    ],
)
def test_slug_is_a_readable_safe_name(text: str, name: str) -> None:
    assert slug(text) == name and len(slug("語" * 300).encode()) <= 120


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_a_take_is_audio_with_tags_voice_and_record(tmp_path: Path, suffix: str) -> None:
    take = save(tmp_path / "new folder", suffix=suffix, voice=make_voice())
    names = {path.name for path in take.audio.parent.iterdir()}
    assert names == {"hello.json", "hello.npz", f"hello{suffix}"}
    record = read_record(take.record)
    assert record["text"] == RECORD["text"] and record["seed"] == 42
    assert record["audio"] == take.audio.name and record["voice_file"] == "hello.npz"
    assert record["audio_sha256"] == file_hash(take.audio) and record["seconds"] == 0.2
    assert record["statement"] == "AI-generated speech" and "torch" in record["versions"]
    assert (
        take.voice is not None and Voice.load(take.voice).digest == make_voice().canonical().digest
    )
    with soundfile.SoundFile(take.audio) as file:
        assert file.samplerate == 24_000
        assert file.title == "Hello, my name is Suno. And I like pizza."
        assert "AI-generated speech" in file.comment and "bark-voice-booth" in file.comment
        assert (
            suffix == ".mp3" or "bark-voice-booth" in file.software
        )  # libsndfile writes none to mp3


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    takes = [save(tmp_path, voice=make_voice()) for _ in range(3)]
    assert [take.audio.name for take in takes] == ["hello.wav", "hello_2.wav", "hello_3.wav"]
    for name in ("mine.wav", "mine_2.npz", "mine_3.json"):  # somebody else's files
        (tmp_path / name).write_text("precious")
    take = save(tmp_path, "mine", voice=make_voice())
    assert take.audio.name == "mine_4.wav" and take.voice == tmp_path / "mine_4.npz"
    assert [
        (tmp_path / name).read_text() for name in ("mine.wav", "mine_2.npz", "mine_3.json")
    ] == ["precious"] * 3
    assert not (tmp_path / "mine.json").exists() and not (tmp_path / "mine_2.json").exists()


def _save_many(folder: str) -> list[str]:
    return [save(Path(folder)).audio.name for _ in range(5)]


def test_many_processes_at_once_get_their_own_takes(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        names = sum(pool.map(_save_many, [str(tmp_path)] * 8), [])
    assert len(set(names)) == 40
    assert sorted(names) == sorted(path.name for path in tmp_path.glob("*.wav"))
    for path in tmp_path.glob("*.json"):
        record = read_record(path)
        assert record["audio_sha256"] == file_hash(tmp_path / record["audio"])
    assert not list(tmp_path.glob(".*"))


def test_without_hard_links_names_are_still_exclusive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, final: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    assert [save(tmp_path).audio.name for _ in range(2)] == ["hello.wav", "hello_2.wav"]
    assert soundfile.read(tmp_path / "hello_2.wav")[0].shape == AUDIO.shape


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_failed_save_raises_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    made: list[Path] = []

    def full_disk(source: Path, final: Path) -> None:
        if len(made) == broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        made.append(final)
        final.write_bytes(b"")

    monkeypatch.setattr("booth.takes.take.link_new", full_disk)
    with pytest.raises(StorageError, match="cannot write to .*No space left on device"):
        save(tmp_path, voice=make_voice())
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_and_broken_audio(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write to .*file"):
        save(tmp_path / "file" / "sub")
    with pytest.raises(StorageError):
        save(tmp_path, "x" * 300)
    with pytest.raises(AudioError):
        save_take(speech(audio=np.full(10, np.nan, np.float32)), RECORD, target=tmp_path / "nan")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"format": "bark"}', "is not the record of a take"),
        (
            '{"format": "bark-take", "format_version": 9}',
            "another format version: got 9; allowed: 1",
        ),
    ],
)
def test_broken_records_say_so(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "take.json").write_text(content)
    with pytest.raises(BarkError, match=message):
        read_record(tmp_path / "take.json")
    with pytest.raises(MissingFileError, match="there is no take"):
        read_record(tmp_path / "absent.json")


PART = {"number": 1, "text": "x", "speaker": None, "seed": 1, "take": 0, "tokens_sha256": "0" * 64}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": []}, "parts; allowed: array of length >= 1"),
        ({"parts": [PART] * 100_001}, "parts; allowed: array of length <= 100000"),
        ({"parts": [PART | {"take": 10**9}]}, r"parts\[0\].take; allowed: int <= 1000"),
        ({"parts": [PART | {"tokens_sha256": 3}]}, "tokens_sha256: got int; allowed: str"),
        ({"candidates": 10**9}, "candidates; allowed: int <= 100"),
        ({"silence": 1e9}, "silence; allowed: float <= 60"),
        ({"seed": 10**30}, "seed; allowed: int <= "),
        ({"journal": "../../other.journal"}, "journal; allowed: the name of a file beside it"),
        ({"name": "/etc/passwd"}, "name; allowed: the name of a file beside it"),
        ({"model": {"name": "nano", "trust": True}}, "model: got Object contains unknown field"),
        ({"voice": "me"}, "voice: got str; allowed: object"),
        ({"text": ["x"] * 10**5}, "text: got array; allowed: str"),
    ],
)
def test_each_field_of_a_record_is_checked(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    record = json.loads(save(tmp_path).record.read_text())
    (tmp_path / "take.json").write_text(json.dumps(record | change))
    with pytest.raises(BarkError, match=rf"take\.json: .*{message}") as caught:
        read_record(tmp_path / "take.json")
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 200


def test_a_name_that_is_not_utf_8_does_not_lose_the_take(tmp_path: Path) -> None:
    record = RECORD | {"voice": {"reference": "/me\udcff.npz", "sha256": "0" * 64}}
    take = save_take(speech(), record, target=tmp_path / "x", with_voice=False)
    assert read_record(take.record)["voice"]["reference"] == "/me\\udcff.npz"


def test_a_record_is_plain_readable_json(tmp_path: Path) -> None:
    take = save_take(
        speech(), {"text": "Grüße", "seed": 1}, target=tmp_path / "g", with_voice=False
    )
    text = take.record.read_text("utf-8")
    assert "Grüße" in text and json.loads(text)["voice_file"] is None


def _save_within(limit: int, folder: str) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        save(Path(folder), voice=make_voice())
    except BarkError as error:
        return type(error).__name__
    return "saved"


@pytest.mark.parametrize("limit", [10, 300, 3_000, 9_000])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_save_within, (limit, str(tmp_path))) in ("StorageError", "AudioError")
    assert list(tmp_path.iterdir()) == []
