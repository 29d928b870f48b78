"""Speech over HTTP: the same tokens as the library, every format, streamed, and ended when nobody listens."""

import asyncio
import base64
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from bark import Bark
from bark.audio import postprocess
from bark.audio.read import load_audio
from bark.longform import speak_long
from bark.speech import finished_audio
from booth.serve.encode import Encoder
from booth.serve.engine import Engine
from tests.booth.serve.conftest import running

TEXT = "Yes."
PARTS = "[voice:clara] Yes. [voice:dario] No."  # two parts


def pcm(audio: np.ndarray) -> bytes:
    return np.round(np.clip(audio, -1, 1) * 32_767).astype("<i2").tobytes()


def engine_of(app: Any) -> Engine:
    engine: Engine = app.state.context.engine
    return engine


def counted(app: Any, name: str) -> float:
    return float(app.state.context.metrics.registry.get_sample_value(name) or 0.0)


def test_http_speaks_what_the_library_speaks(client: httpx.Client, nano: Bark) -> None:
    asked = {"input": TEXT, "voice": "alba", "response_format": "pcm", "seed": 5}
    answer = client.post("/v1/audio/speech", json=asked)
    assert answer.status_code == 200 and answer.headers["x-seed"] == "5"
    assert answer.headers["content-type"] == "audio/pcm"
    assert answer.content == pcm(nano.generate(TEXT, "alba", seed=5).audio)


def test_a_text_of_parts_arrives_part_by_part(live: tuple[str, Any], nano: Bark) -> None:
    """The first part is here while the second cannot have been begun."""
    address, app = live
    first, second = threading.Event(), threading.Event()
    asked = {"input": PARTS, "voice": "bruno", "response_format": "pcm", "seed": 2}
    hold(app, first)
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(1) as pool:
        request = client.build_request("POST", f"{address}/v1/audio/speech", json=asked)
        answering = pool.submit(client.send, request, stream=True)
        until(lambda: engine_of(app).unfinished == 2)
        hold(app, second, wait=False)
        until(lambda: engine_of(app).unfinished == 3)
        first.set()
        answer = answering.result()
        chunks = answer.iter_raw()
        start = next(chunks)
        assert engine_of(app).unfinished == 2
        second.set()
        whole = speak_long(nano, PARTS, "bruno", seed=2)
        assert len(whole.parts) == 2 and start + b"".join(chunks) == pcm(whole.audio)


def test_voices_that_a_text_names_speak_as_in_long_form(client: httpx.Client, nano: Bark) -> None:
    asked = {"input": PARTS, "response_format": "pcm", "seed": 1}
    answer = client.post("/v1/audio/speech", json=asked)
    assert answer.content == pcm(speak_long(nano, PARTS, seed=1).audio)
    asked["input"] = "[voice:/etc/passwd.npz] Yes."
    assert client.post("/v1/audio/speech", json=asked).status_code == 400


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("mp3", b"ID3"),
        ("opus", b"OggS"),
        ("aac", b"ID3"),
        ("flac", b"fLaC"),
        ("wav", b"RIFF"),
    ],
)
def test_every_format_is_a_file_with_the_ai_mark(
    client: httpx.Client, kind: str, start: bytes
) -> None:
    import av

    asked = {"input": "Yes.", "voice": "alba", "response_format": kind, "seed": 1, "speed": 2.0}
    answer = client.post("/v1/audio/speech", json=asked)
    assert answer.content.startswith(start) and b"AI-generated speech" in answer.content
    with av.open(io.BytesIO(answer.content)) as file:
        seconds = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
    assert 0.1 < seconds < 2
    assert len(answer.content) * 8 / seconds > 60_000  # bits: no codec may thin speech out


def test_a_flac_tells_its_length(client: httpx.Client) -> None:
    """libsndfile loses the end of one that does not."""
    asked = {"input": TEXT, "voice": "alba", "seed": 5}
    flac, wav = (
        client.post("/v1/audio/speech", json={**asked, "response_format": kind}).content
        for kind in ("flac", "pcm")
    )
    audio, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
    assert rate == 24_000 and audio.tobytes() == wav


def quieter(argument: str) -> Any:
    return lambda audio, rate: audio / 2


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings a step."""
    brought = [EntryPoint("quieter", f"{__name__}:quieter", postprocess.GROUP)]
    monkeypatch.setattr(postprocess, "entry_points", lambda group: brought)


@pytest.mark.parametrize(
    ("asked", "steps"),
    [
        ({"loudness": -30}, ["loudness=-30"]),
        ({"postprocess": ["quieter"]}, ["quieter"]),
        ({"postprocess": ["quieter"], "loudness": -5}, ["quieter", "loudness=-5"]),
    ],
)
def test_speech_goes_through_steps_as_in_a_file_of_the_command_line(
    client: httpx.Client, nano: Bark, plugged: None, asked: Any, steps: list[str]
) -> None:
    asked |= {"input": TEXT, "voice": "alba", "response_format": "pcm", "seed": 5}
    answer = client.post("/v1/audio/speech", json=asked)
    spoken = nano.generate(TEXT, "alba", seed=5)
    assert answer.content == pcm(finished_audio(spoken, steps, "speech")) != pcm(spoken.audio)


@pytest.mark.parametrize(
    ("asked", "param", "told"),
    [
        ({"loudness": 5}, "loudness", "loudness: got 5.0; allowed: -60 to 0 LUFS"),
        ({"postprocess": ["quieter", "none"]}, "postprocess", "'none'; allowed: loudness, quieter"),
        ({"postprocess": ["os:system"]}, "postprocess", "there is no postprocess of this name"),
        ({"postprocess": ["quieter=/etc/passwd"]}, "postprocess", "not taken from a request"),
        ({"postprocess": ["loudness=loud"]}, "loudness", "a number of LUFS"),
    ],
)
def test_steps_that_are_not_there_are_refused_before_anything_is_spoken(
    client: httpx.Client, plugged: None, asked: Any, param: str, told: str
) -> None:
    for address in ("/v1/audio/speech", "/v1/audio/speech/long"):
        answer = client.post(address, json={"input": TEXT, **asked})
        assert answer.status_code == 400, answer.text
        assert (
            answer.json()["error"]["param"] == param and told in answer.json()["error"]["message"]
        )


def test_events_carry_the_same_bytes_and_the_usage(client: httpx.Client, nano: Bark) -> None:
    asked = {
        "input": TEXT, "voice": "alba", "response_format": "pcm", "seed": 5, "stream_format": "sse",
        "instructions": "Whisper.",
    }  # fmt: skip
    answer = client.post("/v1/audio/speech", json=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-ignored"] == "instructions"
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    made = nano.generate(TEXT, "alba", seed=5)
    assert b"".join(base64.b64decode(e["audio"]) for e in events[:-1]) == pcm(made.audio)
    usage = events[-1]["usage"]
    assert events[-1]["type"] == "speech.audio.done"
    assert usage["output_tokens"] == len(made.tokens.semantic)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize(
    ("asked", "status", "param", "told"),
    [
        ({"input": 5}, 400, "input", "input: input should be a valid string; got 5"),
        ({}, 400, "input", "input: field required"),
        ({"input": "Hi", "voice": "nobody"}, 404, "voice", "no voice is named 'nobody'"),
        ({"input": "Hi", "voice": "alga"}, 404, "voice", "Did you mean alba"),
        ({"input": "Hi", "voice": "../alba"}, 404, "voice", "no voice is named '../alba'"),
        ({"input": "Hi", "voice": "x.npz"}, 404, "voice", "no voice is named 'x.npz'"),
        ({"input": "Hi", "model": "whisper"}, 404, "model", "allowed: nano, bark, tts-1"),
        ({"input": "..."}, 400, "input", "nothing in the text can be spoken"),
        ({"input": "a" * 5000}, 413, "input", "allowed: up to 4096"),
        ({"input": "Hi", "speed": 5}, 400, "speed", "less than or equal to 4"),
        ({"input": "Hi", "seed": -1}, 400, "seed", "greater than or equal to 0"),
        ({"input": "Hi", "response_format": "mid"}, 400, "response_format", "'mp3'"),
        ({"input": "Hi", "temperature": float(11)}, 400, "temperature", "less than or equal"),
        ([1], 400, None, "no JSON object"),
    ],
)  # fmt: skip
def test_what_cannot_be_spoken_is_one_sentence_in_openais_shape(
    client: httpx.Client, asked: Any, status: int, param: str | None, told: str
) -> None:
    answer = client.post("/v1/audio/speech", json=asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert error.keys() == {"message", "type", "param", "code"}
    assert told in error["message"] and "\n" not in error["message"]


def test_bodies_that_are_no_json(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    for body in (b"{", b"\xff\xfe", b"", b"null", b'{"input": "\\ud800"}'):
        answer = client.post("/v1/audio/speech", content=body, headers=headers)
        assert answer.status_code == 400 and answer.json()["error"]["type"]
    answer = client.post(
        "/v1/audio/speech", content=b"hello", headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 415 and "text/plain" in answer.json()["error"]["message"]


def test_requests_that_wait_are_spoken_side_by_side_as_they_would_be_alone(nano: Bark) -> None:
    with running(nano, max_batch=4) as (address, app):
        gate = threading.Event()

        def ask(seed: int) -> bytes:
            asked = {"input": "Yes.", "voice": "alba", "response_format": "pcm", "seed": seed}
            return httpx.post(f"{address}/v1/audio/speech", json=asked, timeout=120).content

        hold(app, gate)
        with ThreadPoolExecutor(3) as pool:
            made = [pool.submit(ask, seed) for seed in (1, 2, 3)]
            until(lambda: engine_of(app).unfinished == 4)
            gate.set()
            for seed, one in zip((1, 2, 3), made, strict=True):
                assert one.result() == pcm(nano.generate("Yes.", "alba", seed=seed).audio)
        assert counted(app, "bark_batch_size_sum") == 3
        assert counted(app, "bark_batch_size_count") == 1


def test_a_full_queue_says_when_to_come_back(nano: Bark) -> None:
    with running(nano, queue=1) as (address, app):
        gate = threading.Event()
        hold(app, gate)
        answer = httpx.post(
            f"{address}/v1/audio/speech", json={"input": "Hi", "seed": 1}, timeout=60
        )
        gate.set()
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["type"] == "rate_limit_error"
        until(lambda: engine_of(app).unfinished == 0)


def test_a_client_that_leaves_ends_its_work(nano: Bark) -> None:
    """One leaves while it waits, one while it is spoken; the next is spoken as if they had not been."""
    with running(nano, max_batch=1) as (address, app):
        gate = threading.Event()
        hold(app, gate)
        for text in ("Yes.", " ".join([PARTS] * 9)):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{address}/v1/audio/speech", json={"input": text}, timeout=0.3)
            gate.set()
            until(lambda: engine_of(app).unfinished == 0, seconds=20)
        spoken = counted(app, "bark_audio_seconds_total")
        assert spoken < 5
        asked = {"input": "Yes.", "voice": "alba", "response_format": "pcm", "seed": 1}
        answer = httpx.post(f"{address}/v1/audio/speech", json=asked, timeout=60)
        assert answer.content == pcm(nano.generate("Yes.", "alba", seed=1).audio)


def test_a_long_text_lets_others_in_between_its_parts(nano: Bark) -> None:
    with running(nano, max_batch=1) as (address, app):
        ends: dict[str, float] = {}
        gate = threading.Event()
        hold(app, gate)

        def ask(text: str) -> None:
            answer = httpx.post(
                f"{address}/v1/audio/speech", json={"input": text, "seed": 1}, timeout=120
            )
            assert answer.status_code == 200
            ends[text] = time.monotonic()

        with ThreadPoolExecutor(2) as pool:
            long = pool.submit(ask, PARTS)
            until(lambda: engine_of(app).unfinished == 2)
            short = pool.submit(ask, "Yes.")
            until(lambda: engine_of(app).unfinished == 3)
            gate.set()
            long.result(), short.result()
        assert list(ends) == ["Yes.", PARTS]


def test_what_no_request_can_have_caused_is_a_500_and_the_engine_goes_on(
    nano: Bark, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(nano) as (address, app):
        with monkeypatch.context() as patched:
            patched.setattr(Bark, "semantic_tokens", lambda *a, **k: 1 / 0)
            answer = httpx.post(
                f"{address}/v1/audio/speech", json={"input": "Hi", "seed": 1}, timeout=60
            )
        assert answer.status_code == 500 and "division" not in answer.text
        assert answer.json()["error"]["type"] == "server_error"
        assert httpx.post(
            f"{address}/v1/audio/speech", json={"input": "Hi", "seed": 1}, timeout=60
        ).is_success


def test_a_batch_without_memory_is_spoken_one_by_one(
    nano: Bark, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any, **settings: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    with running(nano, max_batch=4) as (address, app):
        gate = threading.Event()
        hold(app, gate)
        monkeypatch.setattr(Bark, "generate_batch", refuse)
        asked = {"input": "Yes.", "voice": "alba", "response_format": "pcm", "seed": 1}
        with ThreadPoolExecutor(2) as pool:
            made = [
                pool.submit(httpx.post, f"{address}/v1/audio/speech", json=asked, timeout=60)
                for _ in range(2)
            ]
            until(lambda: engine_of(app).unfinished == 3)
            gate.set()
            assert len({one.result().content for one in made}) == 1
        assert engine_of(app).max_batch == 1


def hold(app: Any, gate: threading.Event, wait: bool = True) -> None:
    """Keep the engine's thread busy until the gate opens."""
    engine, begun = engine_of(app), threading.Event()

    def work(bark: Bark) -> None:
        begun.set()
        gate.wait(30)

    threading.Thread(target=lambda: asyncio.run(engine.call(work)), daemon=True).start()
    assert not wait or begun.wait(10)


def until(holds: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav"])
def test_short_speech_that_was_streamed_can_be_read_again(kind: str, tmp_path: Path) -> None:
    """No mp3 of a stream says how long it is; what is guessed is too much for the shortest."""
    speech = 0.1 * np.random.default_rng(0).standard_normal(7200).astype(np.float32)
    encoder = Encoder(kind, 24_000, {"comment": "AI-generated speech"})
    file = tmp_path / f"short.{kind}"
    file.write_bytes(encoder.add(speech) + encoder.finish())
    assert abs(len(load_audio(file, 24_000)) - 7200) < 2400
