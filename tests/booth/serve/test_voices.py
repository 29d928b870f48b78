"""Voices over HTTP: cloned with consent, listed, heard, renamed, fetched and deleted; recordings examined."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from bark import Bark, Voice
from bark.errors import SettingError
from hubert.clone import Cloner
from hubert.consent import require_consent
from hubert.reference import examine
from tests.conftest import ROOT, contents


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of the bundled clip."""
    audio, rate = soundfile.read(ROOT / "booth" / "samples" / "reference.flac", frames=4 * 24_000)
    path = tmp_path_factory.mktemp("clip") / "ana yes.flac"
    soundfile.write(path, audio, rate)
    return path


def sent(client: httpx.Client, path: Path, **fields: Any) -> httpx.Response:
    with path.open("rb") as file:
        upload = {"audio_sample": (path.name, file, "audio/flac")}
        return client.post("/v1/audio/voices", data=fields, files=upload)


def test_a_voice_is_cloned_as_by_the_library_heard_renamed_fetched_and_deleted(
    client: httpx.Client, folder: Path, nano: Bark, clip: Path, tmp_path: Path
) -> None:
    answer = sent(client, clip, name="me", consent="self")
    made = answer.json()
    assert answer.status_code == 200, made
    assert (made["id"], made["object"], made["origin"]) == ("me", "audio.voice", "own")
    assert made["verdict"] in ("good", "usable") and isinstance(made["findings"], list)
    kept = Voice.load(folder / "me.npz", nano.layout)
    alone = Cloner.from_pretrained("nano").clone(clip, consent="self").voice
    assert kept.digest == alone.digest
    assert {**kept.info, "date": ""} == {**alone.info, "date": ""}

    assert {"id": "me", "name": "me"} in client.get("/v1/audio/voices").json()["voices"]
    assert client.get("/v1/audio/voices/me").json()["info"]["consent"] == "self"
    (tmp_path / "heard.wav").write_bytes(client.get("/v1/audio/voices/me/preview").content)
    heard, rate = soundfile.read(tmp_path / "heard.wav")
    assert rate == 24_000 and 1 < len(heard) / rate < 7 and np.abs(heard).max() > 0.01
    assert client.get("/v1/audio/voices/me/file").content == (folder / "me.npz").read_bytes()

    taken = sent(client, clip, name="me", consent="self")
    told = taken.json()["error"]
    assert taken.status_code == 400 and told["param"] == "name"
    assert "exists already" in told["message"] and str(folder) not in told["message"]
    renamed = client.patch("/v1/audio/voices/me", json={"name": "you"})
    assert renamed.json()["id"] == "you" and not (folder / "me.npz").exists()
    gone = client.delete("/v1/audio/voices/you")
    assert gone.json() == {"id": "you", "object": "audio.voice.deleted", "deleted": True}
    assert client.get("/v1/audio/voices/you").status_code == 404


def test_without_consent_it_is_the_sentence_of_the_command_line(
    client: httpx.Client, folder: Path, clip: Path
) -> None:
    before = contents(folder)
    with pytest.raises(SettingError) as told:
        require_consent(None)
    answer = sent(client, clip, name="me")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] == str(told.value) and error["param"] == "consent"
    assert contents(folder) == before


def test_a_recorded_consent_is_kept_by_its_name_and_hash_and_reads_no_file_of_the_server(
    client: httpx.Client, folder: Path, clip: Path
) -> None:
    with clip.open("rb") as file:
        consent = client.post(
            "/v1/audio/voice_consents",
            data={"name": "Ana agrees", "language": "en"},
            files={"recording": (clip.name, file)},
        ).json()
    assert consent["object"] == "audio.voice_consent"
    address = f"/v1/audio/voice_consents/{consent['id']}"
    assert client.get(address).json() == consent
    assert client.post(address, json={"name": "Ana"}).json()["name"] == "Ana"
    assert [each["name"] for each in client.get("/v1/audio/voice_consents").json()["data"]] == [
        "Ana"
    ]
    made = sent(client, clip, name="ana", consent=consent["id"]).json()
    info = client.get(f"/v1/audio/voices/{made['id']}").json()["info"]
    assert info["consent"].startswith("recorded:ana yes.flac sha256:")
    assert client.delete(address).json()["deleted"] and client.get(address).status_code == 404
    for statement in (f"recorded:{clip}", "recorded: /etc/passwd", "cons_../../x", "perhaps"):
        answer = sent(client, clip, name="other", consent=statement)
        assert answer.status_code in (400, 404) and "sha256" not in answer.text
    client.delete("/v1/audio/voices/ana")


def test_a_take_is_kept_as_a_voice(client: httpx.Client, folder: Path, nano: Bark) -> None:
    asked = {"name": "kept", "input": "Yes.", "voice": "alba", "seed": 5}
    made = client.post("/v1/audio/voices/from_take", json=asked).json()
    assert made["id"] == "kept" and made["seed"] == 5
    expected = nano.generate("Yes.", "alba", seed=5).voice
    assert Voice.load(folder / "kept.npz", nano.layout) == expected
    client.delete("/v1/audio/voices/kept")


def test_a_recording_is_examined_as_by_the_command_line_and_drawn(
    client: httpx.Client, clip: Path
) -> None:
    with clip.open("rb") as file:
        answer = client.post("/v1/audio/check", files={"recording": ("a.flac", file)})
    found = answer.json()
    peaks = found.pop("peaks")
    assert found == examine(clip).to_dict()
    assert len(peaks) == 600 and all(-1 <= low <= high <= 1 for low, high in peaks)


def made_file(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.wav"
    if kind == "noise":
        soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 96_000), 24_000)
    elif kind == "short":
        soundfile.write(path, np.full(4_800, 0.1), 24_000)
    else:
        path.write_bytes(b"this is no audio")
    return path


@pytest.mark.parametrize(
    ("kind", "told"), [("noise", "no speech found"), ("short", "too short"), ("text", "text.wav: ")]
)
def test_a_useless_recording_is_one_sentence_without_a_path_of_the_server(
    client: httpx.Client, tmp_path: Path, kind: str, told: str
) -> None:
    path = made_file(tmp_path, kind)
    for answer in (
        sent(client, path, name="bad", consent="self"),
        client.post("/v1/audio/check", files={"recording": (path.name, path.open("rb"))}),
    ):
        message = answer.json()["error"]["message"]
        assert answer.status_code == 400 and told in message and "/" not in message


@pytest.mark.parametrize("name", ["../out", "a/b", "", " ", "con", "alba\0", "x" * 65, "random"])
def test_names_that_are_none_write_nothing(
    client: httpx.Client, folder: Path, clip: Path, name: str
) -> None:
    before = contents(folder.parent)
    answer = sent(client, clip, name=name, consent="self")
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "name"
    assert contents(folder.parent) == before


def test_presets_stay_as_they_are(client: httpx.Client) -> None:
    for answer in (
        client.delete("/v1/audio/voices/alba"),
        client.patch("/v1/audio/voices/alba", json={"name": "mine"}),
    ):
        assert answer.status_code == 400 and "a preset" in answer.json()["error"]["message"]
    assert client.delete("/v1/audio/voices/nobody").status_code == 404
    assert client.get("/v1/audio/voices/..%2f..%2fsecret/file").status_code in (400, 404)


def test_what_is_missing_from_a_form_is_told(client: httpx.Client) -> None:
    answer = client.post("/v1/audio/voices", data={"name": "x", "consent": "self"}, files={})
    assert answer.status_code in (400, 415)
    prompt = {"name": "x", "type": "prompt", "prompt": "old and wise"}
    answer = client.post("/v1/audio/voices", data=prompt)
    assert answer.status_code in (400, 415)
    answer = client.post("/v1/audio/check", files={"other": b"x"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "recording"
