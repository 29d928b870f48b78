"""A text is seen as it will be heard: ``POST /v1/audio/reading``."""

import httpx
import pytest

from bark import Bark

TEXT = "Привет! [laughs] It is 5 km."


def test_a_text_is_seen_as_it_will_be_heard(client: httpx.Client, nano: Bark) -> None:
    answer = client.post("/v1/audio/reading", json={"input": TEXT}).json()
    assert answer == {
        "words": "it is five kilometers",
        "lost": ["Привет"],
        "left_out": ["[laughs]"],
        "share_lost": 0.2,
        "note": None,
    }
    reading = nano.read(TEXT)
    assert (reading.words, list(reading.lost)) == (answer["words"], answer["lost"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 400),
        ({"input": 5}, 400),
        ({"input": "a" * 5_000}, 413),
        ({"input": "a", "model": "b"}, 404),
    ],
)
def test_what_is_no_text_for_it_is_refused(client: httpx.Client, body: object, code: int) -> None:
    answer = client.post("/v1/audio/reading", json=body)
    assert answer.status_code == code and answer.json()["error"]["message"]
