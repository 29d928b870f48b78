"""Names of voices: where they are looked for, in what order, and which are refused."""

import sys
import types
from dataclasses import replace

import pytest

from bark.checkpoints.find import find_model
from bark.errors import VoiceError
from bark.tokens import BARK, TokenLayout
from bark.voice.names import (
    NANO_FAMILY,
    NANO_VOICES,
    check_made_for,
    check_name,
    find_voice,
    list_voices,
    made_by,
    places_of,
    token_family,
    unlisted,
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
        "a.",
        "x" * 65,
    ]
    + [
        "-rf",
        ".hidden",
        "a\x00b",
        " a",
        "a ",
        "a\u202eb",
        "a\u200bb",
        "COM1",
        "v2/../x",
        "v2\\..\\x",
        "a\n",
    ],
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
    for place in (
        "a/x",
        "a/v2/en_speaker_1",
        "b/x",
        "b/y",
        "b/Jamie",
        "b/tom hanks",
        "b/María",
        "b/李雷",
    ):
        make().save(tmp_path / place)
    for hidden in ("b/what?.npz", "b/v2/mine.npz"):
        make().save(tmp_path / hidden)
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "absent"]
    listed = list_voices(folders)
    assert list(listed) == ["Jamie", "María", "tom hanks", "v2/en_speaker_1", "x", "y", "李雷"]
    assert listed["x"] == tmp_path / "a" / "x.npz"
    assert {path.name for path in unlisted(folders)} == {"what?.npz", "mine.npz"}
    assert all(find_voice(check_name(name), folders) == [path] for name, path in listed.items())


def test_a_name_is_found_in_either_form_of_unicode(tmp_path):
    written = make().save(tmp_path / "mari\u0301a.NPZ")  # decomposed, as macOS writes it
    for typed in ("mar\u00eda", "mari\u0301a"):
        assert check_name(typed) == "mar\u00eda"
        assert find_voice(check_name(typed), [tmp_path]) == [written]


def test_where_serp_ais_notebook_saves_a_clone_is_looked_at(own_folders, monkeypatch):
    monkeypatch.chdir(own_folders)
    make(seed=7).save(own_folders / "bark" / "assets" / "prompts" / "output.npz")
    assert resolve_voice("output") == make(seed=7)
    make(seed=8).save(own_folders / "environment" / "output.npz")
    assert resolve_voice("output") == make(seed=8)  # your own folders come first


def test_check_name_returns_the_name():
    assert check_name("announcer") == "announcer" and check_name("my-voice_2.b") == "my-voice_2.b"


SUNO = token_family(BARK, "encodec")


@pytest.mark.parametrize(
    ("made_for", "model", "family"),
    [("nano", "large", None), ("suno/bark-small", "nano", None), ("nano", "weights/bark_v0", SUNO)],
)
def test_a_voice_of_another_family_is_refused(made_for: str, model: str, family: str) -> None:
    with pytest.raises(
        VoiceError, match=f"made for {made_for}; {model} understands other tokens.*Speak with"
    ):
        check_made_for({"model": made_for}, model, family)


def test_families_are_compared_by_tokens_not_by_names() -> None:
    mine = made_by("run/model", TokenLayout(semantic_vocab=250), "mel")
    with pytest.raises(VoiceError, match="got mel 8x1024.*semantic 250.*allowed: encodec 8x1024"):
        check_made_for(mine, "copy/of/suno", SUNO)
    check_made_for(mine, "another/copy", mine["tokens"])
    check_made_for(made_by("large", BARK, "encodec"), "tuned/large", SUNO)
    with pytest.raises(VoiceError, match="got mel"):  # equal numbers, another codec
        check_made_for(made_by("x", BARK, "mel"), "large")


@pytest.mark.parametrize(
    ("made_for", "model"),
    [("small", "large"), ("nano", "nano"), ("nano", "run/model"), (None, "nano")],
)
def test_whatever_may_fit_is_taken(made_for: str | None, model: str) -> None:
    check_made_for({} if made_for is None else {"model": made_for}, model)


def test_nanos_presets_are_found_last_and_say_whose_they_are() -> None:
    nano = find_model("nano")
    assert places_of()[-1] == NANO_VOICES
    assert (
        NANO_FAMILY
        == token_family(nano.layout, nano.codec_type)
        == made_by("nano", nano.layout, nano.load_codec().family)["tokens"]
    )
    with pytest.raises(VoiceError, match="made for nano; some/folder understands other tokens"):
        replace(nano, name="some/folder", layout=BARK, codec_type="encodec").resolve_voice("alba")
    assert nano.resolve_voice("alba")


def test_voices_in_three_files_are_listed(tmp_path):
    """Hugging Face keeps a voice as three .npy files; one of which a file is missing is none."""
    voice = make(60)
    voice.export_hf(tmp_path, "ana")
    voice.save(tmp_path / "speaker_embeddings" / "bo.npz")
    voice.export_hf(tmp_path, "half")
    folder = tmp_path / "speaker_embeddings"
    (folder / "half_fine_prompt.npy").unlink()
    listed = list_voices([folder])
    assert list(listed) == ["ana", "bo"]
    for name in listed:
        found = resolve_voice(name, folders=[folder])
        assert found is not None and found.digest == voice.digest
