"""A few requests of the campaign against the server; ``make fuzz`` runs minutes of it."""

import pytest

pytest.importorskip("fastapi")

from tests.fuzz.http import campaign


def test_some_hostile_requests() -> None:
    outcome = campaign(seed=22, seconds=120, requests=80)
    assert not outcome.faults, str(outcome)
    assert outcome.inputs == 80 and len(outcome.kinds) > 10
