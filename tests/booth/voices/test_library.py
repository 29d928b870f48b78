"""The library of voices: names that cannot leave their folder, files that are never overwritten, Coqui's folders."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bark.audio import encode_audio
from bark.errors import BarkError, MissingFileError, VoiceError
from bark.voice.voice import Voice
from booth.cli.main import main
from booth.cli.voices import run
from booth.voices.coqui_folder import SOURCE_HASH, coqui_voice
from booth.voices.library import Library


def make_voice(seed: int = 0, **info: str) -> Voice:
    """Return two seconds of random tokens."""
    numbers = np.random.default_rng(seed)
    fine = numbers.integers(0, 1024, (8, 148))
    return Voice(numbers.integers(0, 10_000, 99), fine[:2], fine, info)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("BARK_VOICES", str(tmp_path / "voices"))
    make_voice(1, language="en", consent="self").save(tmp_path / "voices" / "ana.npz")
    return Library()


def test_own_voices_and_presets_are_listed_together(library: Library) -> None:
    found = {entry.name: entry.origin for entry in library.entries()}
    assert (
        found["ana"] == "own"
        and found["v2/en_speaker_6"] == "suno"
        and found["announcer"] == "suno"
    )


def test_files_that_cannot_be_listed_are_said(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    make_voice(3).save(library.home / "tom hanks.npz")
    make_voice(3).save(library.home / "what?.npz")
    assert {entry.name for entry in library.entries() if entry.origin == "own"} == {
        "ana",
        "tom hanks",
    }
    assert "what?.npz is not listed: its name is none for a voice" in caplog.text


@pytest.mark.parametrize("broken", [b"", b"<html>", b"PK\x03\x04 and no more", "cut", "other"])
def test_what_is_no_voice_is_said_and_not_listed(
    broken: bytes | str, library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    file = library.home / "bo.npz"
    if broken == "other":
        np.savez(file, centers=np.ones(3))
    else:
        whole = (library.home / "ana.npz").read_bytes()
        file.write_bytes(whole[:-100] if isinstance(broken, str) else broken)
    assert [entry.name for entry in library.entries() if entry.origin == "own"] == ["ana"]
    assert "bo.npz is not listed: it holds no voice, or is damaged" in caplog.text


def test_the_folder_comes_from_argument_then_environment_then_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARK_VOICES", str(tmp_path / "environment"))
    assert Library(tmp_path / "argument").home == tmp_path / "argument"
    assert Library().home == tmp_path / "environment"
    monkeypatch.delenv("BARK_VOICES")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Library().home.name == "voices" and "environment" not in str(Library().home)


def test_add_rename_export_delete(library: Library, tmp_path: Path) -> None:
    source = make_voice(2, consent="synthetic").save(tmp_path / "Bo.npz")
    added = library.add(source)
    assert added == library.home / "Bo.npz" and added.read_bytes() == source.read_bytes()
    renamed = library.rename("Bo", "bob")
    assert renamed.exists() and not added.exists()
    exported = library.export("bob", tmp_path / "out" / "bob.npz")
    assert Voice.load(exported) == Voice.load(source)
    library.delete("bob")
    assert not renamed.exists() and exported.exists()


def test_export_to_a_hugging_face_folder(library: Library, tmp_path: Path) -> None:
    index = library.export("ana", tmp_path / "hf")
    assert index.name == "speaker_embeddings_path.json"
    stored = np.load(tmp_path / "hf" / "speaker_embeddings" / "ana_fine_prompt.npy")
    assert (stored == make_voice(1).canonical().fine).all()


def test_describe_tells_what_the_file_knows(library: Library) -> None:
    facts = library.describe("ana")
    assert facts["consent"] == "self" and facts["language"] == "en"
    assert facts["sha256"] == make_voice(1).canonical().digest
    bare = replace(make_voice(3), info={}).save(library.home / "stranger.npz")
    assert library.describe(str(bare))["consent"] == "unknown"
    assert "semantic the last 2.56 s" in library.describe("alba")["heard"]  # nano's own rates


def test_nothing_is_overwritten(library: Library, tmp_path: Path) -> None:
    before = (library.home / "ana.npz").read_bytes()
    other = make_voice(4).save(tmp_path / "other.npz")
    library.add(other)
    with pytest.raises(VoiceError, match="a voice named 'ana' exists already"):
        library.add(other, "ana")
    with pytest.raises(VoiceError, match="exists already"):
        library.rename("other", "ana")
    with pytest.raises(VoiceError, match="exists already"):
        library.export("ana", other)
    assert (library.home / "ana.npz").read_bytes() == before and library.find("other").exists()
    assert not [path for path in library.home.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../ana", "a/b", "/etc/passwd", "C:\\x", "con", "nul.x", "a.", "a?", " ana", "a\u202eb", "a\0b",
     "x" * 65, "-x", "v2/../ana", "ana\n", "~", "$HOME", "\x1b[31m"],
)  # fmt: skip
def test_hostile_names_are_refused_everywhere(library: Library, name: str, tmp_path: Path) -> None:
    source = make_voice(5).save(tmp_path / "source.npz")
    before = sorted(tmp_path.rglob("*"))
    for attempt in (
        lambda: library.add(source, name),
        lambda: library.rename("ana", name),
        lambda: library.rename(name, "new"),
        lambda: library.delete(name),
        lambda: library.export(name, tmp_path / "out.npz"),
    ):
        with pytest.raises(VoiceError, match="no name for a voice|no voice is named"):
            attempt()
    assert sorted(tmp_path.rglob("*")) == before


def test_presets_are_not_yours(library: Library, tmp_path: Path) -> None:
    source = make_voice(6).save(tmp_path / "source.npz")
    for name in ("announcer", "random"):
        with pytest.raises(VoiceError, match="taken by a preset"):
            library.add(source, name)
    with pytest.raises(VoiceError, match="is a preset"):
        library.delete("v2/en_speaker_6")


def test_a_broken_file_is_not_added(library: Library, tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    with pytest.raises(VoiceError, match="broken.npz"):
        library.add(tmp_path / "broken.npz")
    with pytest.raises(MissingFileError):
        library.add(tmp_path / "absent.npz")


def test_unknown_voice_names_the_places_and_near_names(library: Library) -> None:
    with pytest.raises(VoiceError, match=r"no voice is named 'anna'.*voices.*Did you mean ana"):
        library.find("anna")


def test_command_line(library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_voice(7, consent="licensed:\x1b[31mred").save(tmp_path / "cleo.npz")
    assert main(["voices", "import", str(source), "--name", "cleo-2"]) == 0
    assert main(["voices", "list"]) == 0
    listed = capsys.readouterr().out
    assert "  cleo-2\n" in listed and "v2/en_speaker_0 to 9" in listed
    assert main(["--list_speakers"]) == 0 and capsys.readouterr().out in listed
    assert main(["voices", "info", "cleo-2"]) == 0
    assert "licensed:?[31mred" in capsys.readouterr().out  # a file's text cannot steer the terminal
    assert main(["voices", "rename", "cleo-2", "cleo"]) == 0
    assert main(["voices", "export", "cleo", str(tmp_path / "out.npz")]) == 0
    assert main(["voices", "delete", "cleo"]) == 0
    capsys.readouterr()
    assert main(["voices", "delete", "cleo"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["voices", "burn", "cleo"]) == 2
    assert main(["voices", "rename", "cleo"]) == 2
    assert main(["voices"]) == 2


def write_sound(path: Path, level: float) -> Path:
    """Write a tenth of a second as wav, whatever the path is called."""
    path.write_bytes(encode_audio(np.full(1600, level, np.float32), 16_000, "wav"))
    return path


class Cloner:
    """Counts how often a recording is cloned."""

    def __init__(self) -> None:
        self.recordings: list[Path] = []

    def __call__(self, recording: Path) -> Voice:
        self.recordings.append(recording)
        return make_voice(len(self.recordings), consent="self")


@pytest.mark.parametrize(
    "name", ["speaker.wav", "speaker.mp3", "speaker.m4a", "ljspeech.wav", "without suffix"]
)
def test_coqui_folder_is_cloned_once_and_again_when_the_recording_changes(
    tmp_path: Path, name: str
) -> None:
    place = tmp_path / "lj speech"
    place.mkdir()
    (place / "notes.txt").write_text("read by Linda Johnson")
    recording = write_sound(place / name, 0.1)
    clone = Cloner()
    first = coqui_voice("lj speech", [tmp_path / "absent", tmp_path], clone)
    assert clone.recordings == [recording]
    assert first == place / "speaker.npz"
    voice = Voice.load(first)
    assert voice.info["consent"] == "self" and SOURCE_HASH in voice.info
    assert coqui_voice("lj speech", [tmp_path], clone) == first and len(clone.recordings) == 1

    write_sound(recording, 0.2)  # another recording with an old date
    os.utime(recording, (1, 1))
    assert coqui_voice("lj speech", [tmp_path], clone) == first and len(clone.recordings) == 2
    assert Voice.load(first) != voice
    stored = (place / "speaker.npz").stat().st_mtime
    os.utime(recording, (stored + 10**9, stored + 10**9))  # the same sound, dated in the future
    coqui_voice("lj speech", [tmp_path], clone)
    assert len(clone.recordings) == 2
    make_voice(3).save(first)  # a voice that does not say what it was made from: the date decides
    coqui_voice("lj speech", [tmp_path], clone)
    coqui_voice("lj speech", [tmp_path], clone)
    assert len(clone.recordings) == 3


def test_coqui_voice_without_recording_or_random(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def never(recording: Path) -> Voice:
        raise AssertionError(recording)

    make_voice(8).save(tmp_path / "bo" / "speaker.npz")
    make_voice(9).save(tmp_path / "flat.npz")
    assert coqui_voice("bo", [tmp_path], never) == tmp_path / "bo" / "speaker.npz"
    assert coqui_voice("flat", [tmp_path], never) == tmp_path / "flat.npz"
    assert coqui_voice("random", [tmp_path], never) is None
    assert coqui_voice(None, [], never) is None
    with pytest.raises(VoiceError, match=r"no voice is named 'ana'.*ana/speaker.wav"):
        coqui_voice("ana", [tmp_path], never)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a.wav").write_text("no sound")
    with pytest.raises(VoiceError, match="no voice is named 'two'"):
        coqui_voice("two", [tmp_path], never)
    assert "two: no recording among a.wav" in caplog.text
    for name in ("a.wav", "b"):
        write_sound(tmp_path / "two" / name, 0.1)
    with pytest.raises(VoiceError, match="2 recordings"):
        coqui_voice("two", [tmp_path], never)


@pytest.mark.parametrize(
    "name", ["..", "../secret", "/etc", "a/b", "a\\b", ".hidden", "", "x" * 200, "a\n"]
)
def test_coqui_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    make_voice(10).save(tmp_path / "secret" / "speaker.npz")
    (tmp_path / "voices").mkdir()
    with pytest.raises(BarkError, match="no name for a voice"):
        coqui_voice(name, [tmp_path / "voices"], Cloner())


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    make_voice(11).save(tmp_path / "secret" / "speaker.npz")
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "innocent").symlink_to(tmp_path / "secret")
    (tmp_path / "voices" / "file.npz").symlink_to(tmp_path / "secret" / "speaker.npz")
    for name in ("innocent", "file"):
        with pytest.raises(VoiceError, match="no name for a voice"):
            coqui_voice(name, [tmp_path / "voices"], Cloner())


def test_mix_writes_a_voice_between_two(tmp_path: Path) -> None:
    target = tmp_path / "both.npz"
    words = ["mix", "alba", "bruno", "--share", "0.3", "--folder", str(tmp_path), "-o", str(target)]
    (line,) = run(words)
    assert line == f"{target}: alba and bruno, mixed: concat, 0.3 of the second, consent: synthetic"
    info = Library(tmp_path).describe(str(target))
    assert info["model"] == "nano" and "slt" in info["source"] and "rms" in info["source"]
    with pytest.raises(VoiceError, match="exists already"):
        run(words)
