"""Every command answers --help, says what is wrong in one line, and exits as it should."""

import gc
import json
import os
import subprocess
import sys

import pytest

from bark.checkpoints.formats import FORMATS
from booth.cli.convert import LAYOUTS
from booth.cli.main import COMMANDS as MAIN
from booth.cli.main import uncollected
from tests.conftest import ROOT

COMMANDS = (
    "bark", "bark.convert", "hubert", "hubert.clone", "hubert.convert", "hubert.synthesize", "hubert.prepare", "hubert.train",
    "hubert.evaluate", "booth.demo", "booth.tts", "training.nano.corpus.corpus", "training.nano", "training.nano.report", "training.finetune.prepare",
    "training.finetune", "benchmarks.true_size", "benchmarks.decoding", "benchmarks.quantizer_report",
    "benchmarks.speed", "benchmarks.schedules",
)  # fmt: skip


ANSWERS = """
import contextlib, io, json, runpy, sys, traceback, warnings
warnings.simplefilter("ignore")  # runpy's, of modules that an earlier one has imported
said = {}
for module in sys.argv[1:]:
    for flag in ("--help", "--no-such-flag"):
        sys.argv, out, err, code = [module, flag], io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as end:
                code = end.code
            except BaseException:
                code = traceback.print_exc() or 1
        said[module + " " + flag] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[int, str, str]]:
    """What each command says to both flags; one process, since each would import torch anew."""
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS, *COMMANDS],
        cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said: dict[str, tuple[int, str, str]] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("module", COMMANDS)
def test_help(module: str, answers: dict[str, tuple[int, str, str]]) -> None:
    code, out, err = answers[f"{module} --help"]
    assert code == 0, err
    assert out.lower().startswith("usage"), out[:200]


@pytest.mark.parametrize("module", COMMANDS)
def test_an_unknown_flag_is_a_usage_error(
    module: str, answers: dict[str, tuple[int, str, str]]
) -> None:
    code, _, err = answers[f"{module} --no-such-flag"]
    assert code == 2
    assert "Traceback" not in err and "--" in err


HELP = """
import contextlib, io, json, runpy, sys, warnings
warnings.simplefilter("ignore")
said = {}
for door in sys.argv[1:]:
    sys.argv, out, code = [*door.split(), "--help"], io.StringIO(), 0
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
    heavy = {"torch", "transformers", "fastapi", "scipy", "matplotlib"} & set(sys.modules)
    said[door] = [code, out.getvalue(), sorted(heavy)]
print(json.dumps(said))
"""
DOORS = (
    "hubert",
    "hubert.clone",
    "hubert.convert",
    "hubert.likeness",
    "bark.convert",
    "booth.demo",
    "booth.tts",
    *(f"bark {name}" for name in MAIN),
)


def test_help_comes_before_torch_is_imported() -> None:
    """One process for all: whichever door imports torch, it is there from then on."""
    done = subprocess.run(
        [sys.executable, "-c", HELP, *DOORS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said) == set(DOORS)
    for door, (code, out, heavy) in said.items():
        assert code == 0 and out.startswith("usage") and not heavy, (door, heavy)


def test_convert_offers_every_layout() -> None:
    assert LAYOUTS == tuple(FORMATS)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ImportError), uncollected():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
