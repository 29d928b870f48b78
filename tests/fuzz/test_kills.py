"""A few kills and texts of the campaigns."""

import os
from pathlib import Path

import pytest

from tests.fuzz import kills, texts


def test_killed_writers_leave_whole_files() -> None:
    outcome = kills.campaign(seed=18, kills=16)
    assert not outcome.faults, str(outcome)
    assert sum(count for kind, count in outcome.kinds.items() if kind.endswith(": killed")) >= 8


def test_a_writer_that_fails_by_itself_is_a_fault_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def jobs(self: kills._Work, folder: Path) -> dict[str, kills.Job]:
        def fail(place: Path) -> None:
            raise OSError("the disk is full")

        return {"failing": kills.Job(folder / "failing", fail, lambda place: None)}

    monkeypatch.setattr(kills._Work, "jobs", jobs)
    monkeypatch.setattr(kills, "LONGEST", 100.0)  # 1.8 s with this seed
    outcome = kills.campaign(seed=1, kills=1)
    assert outcome.kinds["failing: failed"] == 1
    assert len(outcome.faults) == 1 and "OSError: the disk is full" in outcome.faults[0]


def test_a_folder_within_a_left_folder_goes_with_it(tmp_path: Path) -> None:
    job = kills.Job(tmp_path / "job", lambda place: None, lambda place: None)
    ours = f".bark-tmp-{os.getuid()}"
    for number in range(20):  # the order in which they are swept depends on their names
        deep = job.folder / str(number) / ours / "left" / ours / "deep"
        deep.mkdir(parents=True)
    assert len(kills._left(job.folder)) == 20
    kills._last_run(job)
    assert not kills._left(job.folder)


def test_no_random_word_vanishes() -> None:
    outcome = texts.campaign(seed=18, seconds=10, inputs=80)
    assert not outcome.faults, str(outcome)
    assert outcome.kinds["read"] > 40
