"""Every command answers --help, says what is wrong in one line, and exits as it should."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

COMMANDS = (
    "bark", "bark.convert", "hubert", "hubert.clone", "hubert.synthesize", "hubert.prepare", "hubert.train",
    "hubert.evaluate", "booth.demo", "training.nano.corpus.corpus", "training.nano", "training.nano.report", "training.finetune.prepare",
    "training.finetune", "benchmarks.true_size", "benchmarks.decoding", "benchmarks.quantizer_report",
)  # fmt: skip


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", COMMANDS)
def test_help(module: str) -> None:
    done = run(module, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith("usage"), done.stdout[:200]


@pytest.mark.parametrize("module", COMMANDS)
def test_an_unknown_flag_is_a_usage_error(module: str) -> None:
    done = run(module, "--no-such-flag")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "--" in done.stderr
