"""Names of voices: where they are looked for, in what order, and which are refused."""

import sys
import types
from dataclasses import replace

import pytest

from bark.checkpoints.find import find_model
from bark.errors import VoiceError
from bark.tokens import TokenLayout
from bark.voice.names import (
    NANO_VOICES,
    check_made_for,
    check_name,
    list_voices,
    places_of,
    voice_folders,
)
from bark.voice.voice import Voice, resolve_voice
from tests.made_voices import VOICES, make


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("BARK_VOICES", str(tmp_path / "environment"))
    return tmp_path


def test_path_text_dictionary_and_voice_are_the_same_voice(own_folders):
    voice = make()
    path = voice.save(own_folders / "Ein Ordner ü" / "My Voice.NPZ")
    for given_as in (path, str(path), voice.to_dict(), voice):
        assert resolve_voice(given_as) == voice
    assert resolve_voice(None) is None
    with pytest.raises(VoiceError, match="this is no voice: got int"):
        resolve_voice(3)  # type: ignore[arg-type]


def test_names_are_looked_for_in_order(own_folders):
    places = ["argument", "environment", "data/bark/voices", "model"]
    for seed, place in enumerate(places):
        make(seed=seed).save(own_folders / place / "anna.npz")
    for seed, place in enumerate(places):
        found = resolve_voice(
            "anna", folders=[own_folders / "argument"], model_folder=own_folders / "model"
        )
        assert found == make(seed=seed)
        (own_folders / place / "anna.npz").unlink()
    assert [str(folder) for folder in voice_folders()] == [
        str(own_folders / "environment"),
        str(own_folders / "data/bark/voices"),
    ]


def test_an_unknown_name_lists_places_and_near_matches(own_folders):
    make().save(own_folders / "environment" / "annika.npz")
    with pytest.raises(VoiceError) as caught:
        resolve_voice("anika")
    message = str(caught.value)
    assert "no voice is named 'anika'" in message and "Did you mean annika?" in message
    assert (
        str(own_folders / "environment") in message
        and str(own_folders / "data/bark/voices") in message
    )
    with pytest.raises(VoiceError, match=r"Did you mean .*en_speaker_6"):
        resolve_voice("en-speaker-6")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../../etc/passwd",
        "/abs",
        "C:\\x",
        "con",
        "con.x",
        "a/b",
        "v2/me",
        "a..b",
        "a.",
        "Ärger",
        "x" * 65,
    ]
    + ["-rf", ".hidden", "a b", "a\x00b", "Anna", "v2/../x", "v2\\..\\x", "a\n"],
)
def test_hostile_names_are_refused(name):
    with pytest.raises(VoiceError, match="this is no name for a voice"):
        resolve_voice(name)


def test_sunos_presets_come_from_the_hub_in_hugging_faces_files(own_folders, monkeypatch):

    preset = Voice.load(VOICES / "real" / "announcer.npz")
    hub = own_folders / "hub"
    preset.export_hf(hub, "announcer")
    preset.export_hf(hub, "v2/en_speaker_6")
    asked = []

    def fetch(repository, file):
        asked.append((repository, file))
        return hub / file

    def fetch_all(wanted):
        return [fetch(*one) for one in wanted]

    monkeypatch.setitem(sys.modules, "bark.storage.hub", types.SimpleNamespace(fetch_all=fetch_all))
    with pytest.raises(
        VoiceError, match="a preset of Suno's models.*Speak with the model large or small"
    ):
        resolve_voice("v2/en_speaker_3", TokenLayout(semantic_vocab=250))
    assert resolve_voice("v2\\en_speaker_6") == resolve_voice("v2/en_speaker_6") == preset
    assert asked[0] == ("suno/bark", "speaker_embeddings/v2/en_speaker_6_semantic_prompt.npy")
    assert len(asked) == 6
    # The same files in the model's own folder need no hub.
    asked.clear()
    assert resolve_voice("announcer", model_folder=hub / "speaker_embeddings") == preset
    assert asked == []


def test_lists_voices_of_all_folders(tmp_path):
    for place in ("a/x", "a/v2/en_speaker_1", "b/x", "b/y", "b/No Name"):
        make().save(tmp_path / place)
    listed = list_voices([tmp_path / "a", tmp_path / "b", tmp_path / "absent"])
    assert list(listed) == ["v2/en_speaker_1", "x", "y"]
    assert listed["x"] == tmp_path / "a" / "x.npz"


def test_check_name_returns_the_name():
    assert check_name("announcer") == "announcer" and check_name("my-voice_2.b") == "my-voice_2.b"


@pytest.mark.parametrize(("made_for", "model"), [("nano", "large"), ("suno/bark-small", "nano")])
def test_a_voice_of_another_family_is_refused(made_for: str, model: str) -> None:
    with pytest.raises(
        VoiceError, match=f"made for {made_for}; {model} understands other tokens. Speak with"
    ):
        check_made_for({"model": made_for}, model)


@pytest.mark.parametrize(
    ("made_for", "model"),
    [("small", "large"), ("nano", "nano"), ("nano", "run/model"), (None, "nano")],
)
def test_whatever_may_fit_is_taken(made_for: str | None, model: str) -> None:
    check_made_for({} if made_for is None else {"model": made_for}, model)


def test_nanos_presets_are_found_last_and_say_whose_they_are() -> None:
    assert places_of()[-1] == NANO_VOICES
    with pytest.raises(
        VoiceError, match="the voice was made for nano; large understands other tokens"
    ):
        replace(find_model("nano"), name="large").resolve_voice("alba")
    assert find_model("nano").resolve_voice("alba")
