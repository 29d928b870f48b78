"""Runs: what a killed command leaves is found again by the same command, and by no other process at once."""

import json
import multiprocessing
from pathlib import Path

import pytest

from bark.errors import StorageError
from booth.takes.runs import identity, open_run


class Killed(BaseException):
    """Stands for anything that ends a process in the middle."""


def begin(folder: Path, seed: int | None = None, finish: int = 0) -> int:
    """Begin a run, finish some takes, and die; return its seed."""
    with pytest.raises(Killed), open_run(folder, "x", seed) as run:
        for number in range(finish):
            (folder / f"{number}.json").write_text("{}")
            run.finish(number, f"{number}.json")
        raise Killed
    return run.seed


def test_a_run_that_ends_leaves_nothing(tmp_path: Path) -> None:
    with open_run(tmp_path / "new", "x", 5) as run:
        assert run.seed == 5 and not run.resumed
        assert sorted(path.name for path in run.path.parent.iterdir()) == [
            ".bark-x.run",
            ".bark-x.run.lock",
        ]
    assert not list((tmp_path / "new").iterdir())


def test_a_killed_run_goes_on_with_its_seed_and_its_takes(tmp_path: Path) -> None:
    seed = begin(tmp_path, finish=2)
    (tmp_path / "1.json").unlink()  # a take that somebody removed is made again
    with open_run(tmp_path, "x", None) as run:
        assert run.resumed and run.seed == seed
        assert [run.has(number) for number in range(3)] == [True, False, False]
        assert run.journal(0).name == ".bark-x-1.journal"
    with open_run(tmp_path, "x", None) as run:
        assert not run.resumed and not run.done


def test_a_take_saved_by_who_died_before_noting_it_is_found(tmp_path: Path) -> None:
    """Otherwise the command given again makes it a second time, under another name."""
    seed = begin(tmp_path, finish=1)
    record = {"run": "x", "seed": seed + 1, "audio": "b.wav"}
    for name, content in {"b": record, "c": [1], "d": record | {"run": "y"}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / ".bark-x-2.journal").write_text("of the take that is saved")
    with open_run(tmp_path, "x", None) as run:
        assert not run.has(1, seed + 1)  # its audio is not there
        (tmp_path / "b.wav").write_bytes(b"")
        assert run.has(0, seed) and not run.has(1) and run.has(1, seed + 1) and not run.has(2, 5)
        assert run.done == {0: "0.json", 1: "b.json"}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kept", [0, 5, 30])
def test_a_torn_file_costs_only_its_last_line(tmp_path: Path, kept: int) -> None:
    seed = begin(tmp_path, 7, finish=2)
    file = tmp_path / ".bark-x.run"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2])[: len(lines[0]) + kept] if kept else lines[0][:5])
    with open_run(tmp_path, "x", 7) as run:
        assert run.seed == seed == 7
        assert run.has(0) == (kept >= len(lines[1]))
        run.finish(4, "4.json")
    assert not file.exists()


@pytest.mark.parametrize(
    "line",
    [b"[" * 10_000, b'{"seed": -1}', b'{"seed": 1e30}', b'{"seed": ' + b"9" * 5000 + b"}", b"3"]
    + [b'{"seed": 7}\n{"take": 0, "name": "../../x"}', b'{"seed": 7}\n{"take": 0, "name": 3}'],
)
def test_a_run_file_that_is_not_ours_begins_anew(tmp_path: Path, line: bytes) -> None:
    (tmp_path / ".bark-x.run").write_bytes(line + b"\n")
    with open_run(tmp_path, "x", 5) as run:
        assert run.seed == 5 and not run.done and not run.resumed


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".bark-x.run.lock").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(StorageError, match=r"cannot write .*\.run\.lock"),
        open_run(tmp_path, "x", 5),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_another_process_gets_a_run_of_its_own(tmp_path: Path) -> None:
    with open_run(tmp_path, "x", None) as first, open_run(tmp_path, "x", None) as second:
        assert first.path.name == ".bark-x.run" and second.path.name == ".bark-x_2.run"
        assert first.journal(0) != second.journal(0)
    assert not list(tmp_path.iterdir())


def _work(folder: str) -> int:
    """Run the same command often; count how often somebody else wrote into our run meanwhile."""
    meddled = 0
    for _ in range(20):
        with open_run(Path(folder), "x", None) as run:
            run.finish(0, "a")
            lines = run.path.read_text().splitlines()
            meddled += len(lines) != 2 or json.loads(lines[0])["seed"] != run.seed
    return meddled


def test_many_processes_never_share_a_run(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(6) as pool:
        assert sum(pool.map(_work, [str(tmp_path)] * 6)) == 0
    assert not list(tmp_path.iterdir())


def test_nothing_is_kept_for_work_of_a_moment(tmp_path: Path) -> None:
    with open_run(tmp_path, "x", 3, kept=False) as run:
        run.finish(0, "a")
    assert not list(tmp_path.iterdir()) and run.seed == 3


def test_identity_and_folder(tmp_path: Path) -> None:
    assert (
        identity({"a": 1, "b": [2]}) == identity({"b": [2], "a": 1}) != identity({"a": 1, "b": [3]})
    )
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write to"), open_run(tmp_path / "file", "x", 1):
        pass
