"""What is to be told of a whole text is told once, however many parts it has."""

import pytest

from bark import Bark
from bark.longform import speak_long

GERMAN = (
    "Der Schiedsrichter verlangsamte umgehend seinen Spaziergang. "
    "Niemand beobachtete jedoch die ungeduldigen Zuschauer. "
    "Schliesslich verschwanden saemtliche Fussballspieler wortlos."
)
SHORT = {"max_duration_s": 0.3, "allow_early_stop": False}


@pytest.mark.parametrize("way", ["alone", "long", "stream"])
def test_a_note_is_told_once_for_a_text(
    way: str, nano: Bark, caplog: pytest.LogCaptureFixture
) -> None:
    if way == "alone":
        nano.generate(GERMAN[:60], seed=1, **SHORT)
    elif way == "long":
        assert len(speak_long(nano, GERMAN, seed=1, **SHORT).parts) > 1
    else:
        assert len(list(nano.stream(GERMAN, seed=1, **SHORT))) > 1
    assert caplog.text.count("all is read as English") == 1
