"""A text planned as a request asks, and how much work that is."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bark.checkpoints.find import find_model
from bark.errors import TextError
from bark.text.english import phones
from booth.speak.plan import Planner, plan
from booth.speak.request import SpeakRequest

SENTENCES = (
    "Dr. Lee paid $3.50 at 9:05, and went home before it rained on harbour number {n}.",
    "No {n}!",
    "The {n} boats, which had been out since the morning of 5 May, came back one after the other, "
    "laden with herring, with mackerel, and with the long stories of those who had caught them, "
    "so that nobody in the {n} houses went to bed before midnight.",
)


def test_a_long_text_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is most of the work of planning: no piece twice, and the text twice at most: in
    sentences, and in the parts that they are joined to.
    """
    planner = Planner("nano", find_model("nano").layout, phones.PhoneTokenizer())
    text = " ".join(SENTENCES[n % 3].format(n=n) for n in range(60))
    seen: Counter[str] = Counter()
    read = phones.read

    def counted(piece: str) -> Any:
        seen[piece] += 1
        return read(piece)

    monkeypatch.setattr(phones, "read", counted)
    parts = plan(text, SpeakRequest((text,)), planner)
    assert " ".join(part.text for part in parts) == text
    assert max(seen.values()) == 1
    assert sum(len(piece) for piece in seen) <= 2 * len(text)


def test_counted_parts_that_the_model_cannot_speak_at_once_are_divided(
    caplog: pytest.LogCaptureFixture,
) -> None:
    planner = Planner("nano", find_model("nano").layout, phones.PhoneTokenizer())
    text = " ".join(["wonderful"] * 16)
    request = SpeakRequest((text,), words_a_part=8)
    assert [len(part.text.split()) for part in plan(text, request, planner)] == [8, 8]
    assert not caplog.text
    parts = plan(text, replace(request, words_a_part=16), planner)
    assert len(parts) == 2 and " ".join(part.text for part in parts) == text
    assert "1 of 1 parts are longer than the 9 s that nano speaks at once" in caplog.text
    asked = replace(request, words_a_part=16, settings={"max_duration_s": 9.0})
    with pytest.raises(TextError, match="part 1 is too long for one utterance"):
        plan(text + " wonderful" * 8, replace(asked, words_a_part=24), planner)
