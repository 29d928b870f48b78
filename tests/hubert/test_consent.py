"""Consent: four honest answers, one question, and a refusal that says why and how."""

from pathlib import Path

import pytest

from bark.errors import MissingFileError, SettingError
from hubert.consent import QUESTION, check_consent, require_consent


def test_the_four_answers(tmp_path: Path) -> None:
    agreed = tmp_path / "ana agrees.wav"
    agreed.write_bytes(b"I agree")
    assert check_consent("self") == "self" and check_consent("synthetic") == "synthetic"
    assert check_consent("licensed: CC0: from the archive") == "licensed:CC0: from the archive"
    kept = check_consent(f"recorded:{agreed}")
    assert check_consent(kept) == kept
    assert kept.startswith("recorded:ana agrees.wav sha256:") and str(tmp_path) not in kept


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "yes",
        "self:me",
        "licensed",
        "licensed:",
        "SELF",
        "licensed:a\nb",
        "licensed:" + "x" * 2000,
    ],
)
def test_other_answers_are_refused(answer: str) -> None:
    with pytest.raises(SettingError, match="consent: got .*; allowed: self, licensed:NOTE"):
        check_consent(answer)


def test_a_recorded_consent_must_exist(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="with the speaker's consent"):
        check_consent(f"recorded:{tmp_path / 'absent.wav'}")
    agreed = tmp_path / "agreed.wav"
    agreed.write_bytes(b"I agree")
    typed = str.__str__(
        check_consent(f"recorded:{agreed}")
    )  # what a voice keeps, typed by somebody
    for statement in (typed, "recorded:x sha256:" + "0" * 64):
        with pytest.raises(MissingFileError, match="with the speaker's consent"):
            check_consent(statement)


def test_asks_once_and_refuses_where_nobody_is() -> None:
    asked: list[str] = []

    def person(question: str) -> str:
        asked.append(question)
        return "self"

    assert require_consent(None, person) == "self" and asked == [QUESTION]
    assert require_consent("synthetic", person) == "synthetic" and len(asked) == 1
    for nobody in (None, lambda question: None):
        with pytest.raises(SettingError, match="nobody said whose this is.*Add --consent self"):
            require_consent(None, nobody)
