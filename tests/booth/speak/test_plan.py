"""A text planned as a request asks, and how much work that is."""

from collections import Counter
from typing import Any

import pytest

from bark.checkpoints.find import find_model
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
