"""Long jobs over HTTP: what goes in, what comes out, what is refused."""

import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from bark.audio.postprocess import loudness_of
from bark.audio.write import AI_TAG
from bark.errors import MissingFileError
from bark.longform.drift import Heard
from bark.longform.join import join_audio
from booth.jobs import worker
from booth.serve.app import create_app
from booth.serve.config import ServeSettings
from booth.serve.engine import Engine
from hubert.likeness import INSTALL
from tests.booth.jobs.bench import Speaker

LONG = "/v1/audio/speech/long"
TEXT = "One. " * 120


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = ServeSettings(
        "nano", voices=tmp_path / "voices", jobs=tmp_path / "jobs", long_letters=2_000
    )
    with TestClient(create_app(settings, Engine(Speaker())), base_url="http://127.0.0.1") as client:
        yield client


def ended(client: TestClient, job: str, status: str = "done") -> dict[str, Any]:
    end = time.monotonic() + 60
    while (state := client.get(f"{LONG}/{job}").json())["status"] != status:
        assert time.monotonic() < end, state
        time.sleep(0.02)
    return state


def create(client: TestClient, **values: Any) -> str:
    answer = client.post(LONG, json={"input": TEXT, "voice": "alba", "seed": 3, **values})
    assert answer.status_code == 201, answer.text
    state = answer.json()
    assert answer.headers["location"] == f"{LONG}/{state['id']}"
    return state["id"]


def error(answer: Any) -> tuple[int, str]:
    body = answer.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    return answer.status_code, body["message"]


def test_a_text_becomes_parts_and_audio_in_every_format(client):
    job = create(client)
    state = ended(client, job)
    assert [part["index"] for part in state["parts"]] == list(range(1, state["parts_total"] + 1))
    assert state["parts_total"] > 1 and {part["state"] for part in state["parts"]} == {"done"}
    context, speaker = client.app.state.context, client.app.state.context.engine.bark
    journal = context.jobs.journal(job)
    parts = [speaker.decode(journal.tokens(n).fine) for n in range(1, len(state["parts"]) + 1)]
    whole = join_audio(parts, 24_000)
    for kind in ("wav", "flac", "mp3", "opus"):
        answer = client.get(f"{LONG}/{job}/audio", params={"format": kind})
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].endswith(f"-3.{kind}")
        assert AI_TAG.encode() in answer.content
        with soundfile.SoundFile(io.BytesIO(answer.content)) as file:
            audio = file.read(dtype="float32")
        assert len(audio) == pytest.approx(len(whole) * file.samplerate / 24_000, rel=0.05)
        if kind in ("wav", "flac"):
            np.testing.assert_allclose(audio, whole, atol=2e-4)
    assert client.get(f"{LONG}/{job}/audio").headers["content-type"] == "audio/mpeg"
    pcm = client.get(f"{LONG}/{job}/parts/2/audio", params={"format": "pcm"})
    np.testing.assert_allclose(np.frombuffer(pcm.content, "<i2") / 32768, parts[1], atol=2e-4)
    assert "-part-2.pcm" in pcm.headers["content-disposition"]


def test_a_book_keeps_its_loudness_and_its_voice(client, monkeypatch):
    heard = Heard(loudness=-21.5, pitch=200.0)
    monkeypatch.setattr(worker, "PartListener", lambda bark: lambda text, voice, audio: heard)
    state = ended(client, create(client, loudness=-30, drift="measure"))
    assert (state["drift"], state["postprocess"]) == ("measure", ["loudness=-30"])
    for part in state["parts"]:
        assert part["heard"] == {"loudness": -21.5, "pitch": 200.0} and part["spoken"] == 1
    ways = [f"parts/{part['index']}/audio" for part in state["parts"]]
    for way in (*ways, "audio"):
        answer = client.get(f"{LONG}/{state['id']}/{way}", params={"format": "wav"})
        assert loudness_of(*soundfile.read(io.BytesIO(answer.content))) == pytest.approx(-30, abs=1)
    form = {"input": "one", "loudness": "-20", "postprocess": ["loudness=-9"]}
    made = client.post(LONG, data=form, files={"voice": (None, "alba")}).json()
    assert made["postprocess"] == ["loudness=-9", "loudness=-20"]


def test_drift_without_its_tools_is_refused_as_on_the_command_line(client, monkeypatch):
    def missing(bark):
        raise MissingFileError("pocketsphinx is not installed", fix=INSTALL)

    monkeypatch.setattr(worker, "PartListener", missing)
    answer = client.post(LONG, json={"input": "one", "drift": "repair"})
    assert error(answer) == (400, f"pocketsphinx is not installed. {INSTALL}")
    answer = client.post(LONG, json={"input": "one", "drift": "mend"})
    assert error(answer)[0] == 400 and "'measure' or 'repair'" in error(answer)[1]
    assert not list(client.app.state.context.jobs.ids())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_taken_and_a_dialogue_is_cast(client, encoding):
    script = "ANA: one.\nBEN: two.\n".encode(encoding)
    answer = client.post(
        LONG,
        files={"file": ("../../x.txt", script)},
        data={"voices": json.dumps({"ANA": "alba", "BEN": "bruno"}), "seed": "4"},
    )
    assert answer.status_code == 201, answer.text
    state = ended(client, answer.json()["id"])
    assert [(part["speaker"], part["text"]) for part in state["parts"]] == [
        ("ANA", "one."),
        ("BEN", "two."),
    ]
    assert state["voices"] == {"ANA": "alba", "BEN": "bruno"} and state["seed"] == 4


def test_events_tell_every_change_and_end_with_the_job(client):
    job = create(client)
    with client.stream("GET", f"{LONG}/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    states = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert states[-1] == client.get(f"{LONG}/{job}").json() and states[-1]["status"] == "done"
    done = [state["parts_done"] for state in states]
    assert done == sorted(done)


def test_others_have_the_model_between_the_parts(client):
    engine = client.app.state.context.engine
    engine.bark.turns = turns = threading.Semaphore(1)
    job, other = create(client), create(client)
    while client.get(f"{LONG}/{job}").json()["parts_done"] < 1 or engine.unfinished < 1:
        time.sleep(0.02)  # now the second part is at work
    with ThreadPoolExecutor(1) as pool:
        audio = pool.submit(client.get, f"{LONG}/{job}/parts/1/audio")
        while engine.unfinished < 2:
            time.sleep(0.02)
        turns.release()
        assert audio.result().status_code == 200
    state = client.get(f"{LONG}/{job}").json()
    assert (state["status"], state["parts_done"]) == ("running", 2) and state["parts_total"] > 2
    assert client.get(f"{LONG}/{other}").json()["status"] == "queued"
    assert error(client.get(f"{LONG}/{job}/audio"))[0] == 409
    turns.release(1_000)
    ended(client, other)


def test_pause_redo_resume_and_delete(client):
    job = create(client)
    before = ended(client, job)
    assert client.post(f"{LONG}/{job}/pause").json()["status"] == "done"
    redone = client.post(f"{LONG}/{job}/parts/2/redo", json={"seed": 99}).json()
    assert redone["status"] == "paused" and redone["parts"][1]["state"] == "queued"
    assert error(client.get(f"{LONG}/{job}/audio"))[0] == 409
    assert client.get(f"{LONG}/{job}/parts/2/audio").status_code == 200
    assert client.post(f"{LONG}/{job}/resume").json()["status"] in ("queued", "running", "done")
    after = ended(client, job)
    assert (after["parts"][1]["seed"], after["parts"][1]["take"]) == (99, 1)
    assert after["parts"][0] == before["parts"][0] and after["parts"][2:] == before["parts"][2:]
    assert client.post(f"{LONG}/{job}/parts/1/redo").status_code == 200  # any other seed
    assert ended(client, job)["parts"][0]["seed"] != before["parts"][0]["seed"]
    other = create(client, input="two")
    listed = client.get(LONG).json()["data"]
    assert [state["id"] for state in listed] == [other, job] and "parts" not in listed[0]
    assert client.delete(f"{LONG}/{job}").json() == {
        "id": job,
        "object": "audio.speech.job",
        "deleted": True,
    }
    assert error(client.get(f"{LONG}/{job}"))[0] == 404


@pytest.mark.parametrize(
    "name", ["x", "..%2f..%2fetc", ".locks", "0" * 32, "%00", "a" * 5000, "%ff", "..\\x", "é"]
)
@pytest.mark.parametrize(
    ("method", "way"),
    [
        ("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/pause"), ("POST", "/resume"),
        ("GET", "/audio"), ("POST", "/parts/1/redo"), ("GET", "/parts/1/audio"),
    ],
)  # fmt: skip
def test_a_job_that_is_not_there(client, method, way, name):
    assert error(client.request(method, f"{LONG}/{name}{way}"))[0] == 404


@pytest.mark.parametrize(
    ("values", "status", "told"),
    [
        ({"voice": "../../etc/passwd"}, 404, "voice"),
        ({"voice": "/x.npz"}, 404, "voice"),
        ({"voice": "nobody"}, 404, "no voice is named"),
        ({"voices": {"ANA": "../x.npz"}}, 400, "no name for a voice"),
        ({"input": "[voice:../x.npz] one"}, 404, "voice"),
        ({"input": "ANA: one\nEVE: two", "voices": {"ANA": "alba"}}, 400, "belong to nobody"),
        ({"input": "x" * 2_001}, 413, "2001 letters; allowed: up to 2000"),
        ({"input": ""}, 400, "nothing in the text can be spoken"),
        ({"input": 3}, 400, "input"),
        ({"seed": -1}, 400, "seed"),
        ({"speed": 9}, 400, "speed"),
        ({"response_format": "exe"}, 400, "response_format"),
        ({"model": "other"}, 404, "model"),
        ({"voices": []}, 400, "voices"),
    ],
)
def test_what_cannot_be_spoken_is_refused(client, values, status, told):
    answer = client.post(LONG, json={"input": "one", **values})
    got, message = error(answer)
    assert got == status and told in message
    assert not list(client.app.state.context.jobs.ids())


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'"x"', "application/json", 400),
        (b'{"input": "\\ud800"}', "application/json", 400),
        (b'{"input": "one", "seed": ' + b"9" * 5_000 + b"}", "application/json", 400),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400),
    ],
)
def test_a_body_that_is_none(client, body, kind, status):
    answer = client.post(LONG, content=body, headers={"content-type": kind})
    assert error(answer)[0] == status


def test_a_file_that_is_no_text(client):
    answer = client.post(LONG, files={"file": ("x.txt", b"\xff\xff\x00")})
    assert error(answer) == (400, "file is not UTF-8: got byte 0xff at 0. Save it as UTF-8")
    answer = client.post(LONG, files={"other": ("x.txt", b"one")})
    assert error(answer)[0] == 400


def test_a_redo_that_cannot_be(client):
    job = create(client, input="one")
    ended(client, job)
    for part in ("0", "2", "-1", "x", "9" * 400):
        assert error(client.post(f"{LONG}/{job}/parts/{part}/redo"))[0] in (400, 404)
    assert error(client.post(f"{LONG}/{job}/parts/1/redo", json={"seed": -1}))[0] == 400
    assert error(client.get(f"{LONG}/{job}/parts/2/audio"))[0] == 404
    assert error(client.get(f"{LONG}/{job}/audio", params={"format": "exe"}))[0] == 400
