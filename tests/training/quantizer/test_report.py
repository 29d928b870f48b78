"""benchmarks.quantizer_report compares the versions fairly and ends with one JSON object."""

import json
from pathlib import Path

import pytest

from benchmarks.quantizer_report import RATES, main
from tests.pairs import make_dataset


@pytest.mark.slow
def test_each_version_gets_the_rate_its_validation_errors_choose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(tmp_path / "pairs", 12, noise=1.0)
    sizes = ["--steps", "6", "--batch", "2", "--hidden-size", "8", "--seeds", "2", "--shifts"]
    command = ["--pairs", str(tmp_path / "pairs"), "--out", str(tmp_path / "out"), *sizes]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads(lines[-1])
    assert (
        record["pairs"] == 12
        and record["seeds"] == 2
        and record["token_error"].keys() == {"v0", "v1", "v2"}
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if " M |" in line]
    for version in "012":
        tried = {
            row[2].split()[0]: float(row[4]) for row in rows if row[0] == version and row[3] == "0"
        }
        assert tried.keys() == {f"{rate:g}" for rate in RATES}
        chosen = f"{record['learning_rate'][f'v{version}']:g}"
        assert tried[chosen] == min(tried.values())
        errors = [float(row[5]) for row in rows if row[0] == version and row[2] == chosen]
        assert record["token_error"][f"v{version}"] == pytest.approx(sum(errors) / 2, abs=1e-4)
    assert record["shifts"]["v2"].keys() == {"-2", "-1", "0", "1", "2"}
    assert main(command) == 0, "finished runs are found again"
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == record
