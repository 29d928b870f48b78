"""Other people's clients, as they are: OpenAI's package, and requests shaped as other programs send them."""

from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import ROOT

CLIP = ROOT / "booth" / "samples" / "reference.flac"


@pytest.fixture
def theirs(live: tuple[str, Any]) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{live[0]}/v1", api_key="none is needed", max_retries=0)


def test_openai_speaks_and_streams_to_a_file(theirs: openai.OpenAI, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "Yes."}
    extra = {"seed": 3, "fine_temperature": 0.4}
    whole = theirs.audio.speech.create(**asked, extra_body=extra)
    assert whole.content.startswith(b"ID3")
    path = tmp_path / "yes.mp3"
    with theirs.audio.speech.with_streaming_response.create(**asked, extra_body=extra) as answer:
        answer.stream_to_file(path)
    assert path.read_bytes() == whole.content


def test_openai_lists_models(theirs: openai.OpenAI) -> None:
    assert [model.id for model in theirs.models.list()] == ["nano"]
    assert theirs.models.retrieve("nano").owned_by == "bark-voice-booth"


def test_openai_clones_with_a_consent_and_deletes(theirs: openai.OpenAI) -> None:
    with CLIP.open("rb") as recording, CLIP.open("rb") as sample:
        consent = theirs.audio.voice_consents.create(
            name="Ana agrees", language="en-US", recording=recording
        )
        voice = theirs.audio.voices.create(name="ana", audio_sample=sample, consent=consent.id)
    assert (voice.object, voice.name, voice.type) == ("audio.voice", "ana", "audio_sample")
    assert [each.id for each in theirs.audio.voice_consents.list()] == [consent.id]
    renamed = theirs.audio.voice_consents.update(consent.id, name="Ana")
    assert theirs.audio.voice_consents.retrieve(consent.id).name == renamed.name == "Ana"
    answer = theirs.audio.speech.create(model="nano", voice={"id": voice.id}, input="Yes.")
    assert answer.content
    assert theirs.audio.voices.delete(voice.id).deleted
    assert theirs.audio.voice_consents.delete(consent.id).deleted


def test_openai_reads_our_errors(theirs: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        theirs.audio.speech.create(model="nano", voice="nobody", input="Yes.")
    assert unknown.value.code == "voice_not_found" and unknown.value.param == "voice"
    assert "no voice is named 'nobody'" in unknown.value.message
    with pytest.raises(openai.BadRequestError) as empty:
        theirs.audio.speech.create(model="nano", voice="alba", input="?!")
    assert "nothing in the text can be spoken" in empty.value.message


def test_open_webui(client: httpx.Client) -> None:
    """It asks for lists of models and voices below the base address, and sends three fields."""
    assert client.get("/v1/audio/models").json()["models"][0]["id"] == "nano"
    voices = client.get("/v1/audio/voices").json()["voices"]
    assert {"id": "alba", "name": "alba"} in voices
    asked = {"input": "Yes.", "voice": voices[0]["id"], "model": "tts-1"}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    answer = client.post("/v1/audio/speech", json=asked, headers=headers)
    assert answer.headers["content-type"] == "audio/mpeg" and answer.content.startswith(b"ID3")


def test_silly_tavern_from_its_page(client: httpx.Client) -> None:
    """Its page asks from another port of this computer, after a preflight."""
    page = {"Origin": "http://127.0.0.1:8001"}
    preflight = page | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    allowed = client.options("/v1/audio/speech", headers=preflight)
    assert allowed.is_success
    assert allowed.headers["access-control-allow-origin"] == page["Origin"]
    asked = {
        "model": "tts-1", "input": "Yes.", "voice": "alloy", "response_format": "mp3", "speed": 1,
    }  # fmt: skip
    answer = client.post("/v1/audio/speech", json=asked, headers=page)
    assert answer.is_success and answer.headers["access-control-allow-origin"] == page["Origin"]


def test_wyoming_openai_streams_pcm_and_wav(client: httpx.Client) -> None:
    """The bridge for Home Assistant asks for raw samples, or a wav whose header it skips."""
    asked = {"model": "tts-1", "input": "Yes.", "voice": "alba", "seed": 1, "speed": 1.0}
    with client.stream(
        "POST", "/v1/audio/speech", json=asked | {"response_format": "pcm"}
    ) as answer:
        samples = b"".join(answer.iter_bytes())
    assert len(samples) > 4_800 and len(samples) % 2 == 0
    wav = client.post("/v1/audio/speech", json=asked | {"response_format": "wav"}).content
    assert wav.startswith(b"RIFF") and wav.endswith(samples)
