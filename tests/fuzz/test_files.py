"""Ten seconds of the campaign against files; more with another seed by hand."""

from tests.fuzz.files import campaign


def test_ten_seconds_of_mutated_files() -> None:
    outcome = campaign(seed=18, seconds=10)
    assert not outcome.faults, "\n".join(outcome.faults[:20])
    read = sum(count for kind, count in outcome.kinds.items() if kind.endswith(": read"))
    assert outcome.inputs > 50 and 0 < read < outcome.inputs
