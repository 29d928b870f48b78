"""A few seconds of the campaign against the server; ``make fuzz`` runs minutes of it."""

import pytest

pytest.importorskip("fastapi")

from tests.fuzz.http import campaign


def test_some_hostile_requests() -> None:
    outcome = campaign(seed=22, seconds=6, requests=300)
    assert not outcome.faults, outcome.table()
    assert outcome.requests >= 20 and len(outcome.answers) > 10
