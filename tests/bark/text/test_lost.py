"""What a model cannot say is told once, and too much of it is refused, by every way in."""

import logging

import pytest

from bark import Bark
from bark.errors import TextError
from bark.longform import plan_parts, speak_long
from booth.cli.main import main


def test_a_word_that_cannot_be_said_is_told(nano: Bark, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        nano.generate("Hello there my good friend Привет.", seed=1, max_duration_s=0.5)
    assert caplog.text.count("cannot be said: Привет") == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        nano.generate("[laughs] Hello.", seed=1, max_duration_s=0.5)
    assert caplog.text.count("left out: [laughs]") == 1


def test_a_text_that_loses_over_a_third_is_refused_unless_asked_for(
    nano: Bark, caplog: pytest.LogCaptureFixture
) -> None:
    text = "Привет, мир! Hello."
    for way in (nano.generate, nano.stream, lambda text: speak_long(nano, text)):
        with pytest.raises(TextError, match="of the words cannot be said.*add --lossy"):
            way(text)
    with caplog.at_level(logging.WARNING):
        assert [turn.text for turn in plan_parts(nano, text, lossy=True)][-1].endswith("Hello.")
        speak_long(nano, text, seed=1, lossy=True, max_duration_s=0.5)
    assert "Привет" in caplog.text


def test_the_reading_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "nano", "--show_reading", "--text", "At 10:30 on Jan. 5th."]) == 0
    assert capsys.readouterr().out.strip() == "at ten thirty on january fifth"
