"""Ten seconds of the campaign against the reader of audio files."""

from tests.fuzz.audio import campaign, table


def test_mutated_files_give_samples_or_one_of_our_errors():
    rows = campaign(seed=0, seconds=10, inputs=300)
    assert sum(row.loaded for row in rows) and sum(row.refused for row in rows)
    assert not any(row.faults for row in rows), table(rows)
