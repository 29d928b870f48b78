"""A few kills and texts of the campaigns."""

from tests.fuzz import kills, texts


def test_killed_writers_leave_whole_files() -> None:
    outcome = kills.campaign(seed=18, kills=16)
    assert not outcome.faults, str(outcome)
    assert sum(count for kind, count in outcome.kinds.items() if kind.endswith(": killed")) >= 8


def test_no_random_word_vanishes() -> None:
    outcome = texts.campaign(seed=18, seconds=10, inputs=80)
    assert not outcome.faults, str(outcome)
    assert outcome.kinds["read"] > 40
