"""The commands of training: their help is there at once, Ctrl-C is one line, nothing is silent."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubert.quantizer.networks import NETWORKS, WIDTHS
from tests.conftest import ROOT
from training.nano.corpus import packages
from training.nano.corpus.corpus import CorpusOptions, corpus_voices
from training.quantizer.commands import train as train_command
from training.quantizer.recipe import VERSIONS

DOORS = (
    "hubert.train",
    "hubert.prepare",
    "hubert.synthesize",
    "hubert.evaluate",
    "training.finetune",
    "training.finetune.prepare",
    "training.nano",
    "training.nano.report",
)
PROGRAM = """
import contextlib, io, json, runpy, sys, warnings
warnings.simplefilter("ignore")  # runpy's, of modules that an earlier one has imported
class Finder:  # a Ctrl-C that arrives while torch is being imported
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise KeyboardInterrupt
calls, interrupted = json.loads(sys.argv[1])
if interrupted:
    sys.meta_path.insert(0, Finder())
said = {}
for door, words in calls.items():
    sys.argv, out, err, code = [door, *words], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module(door, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
    heavy = {"torch", "tqdm", "transformers", "sklearn", "matplotlib", "librosa"} & set(sys.modules)
    said[door] = [code, out.getvalue(), err.getvalue(), sorted(heavy)]
print(json.dumps(said))
"""


def answers(calls: dict[str, list[str]], interrupted: bool) -> dict[str, tuple[Any, ...]]:
    """What doors say, in one process for all: what one imports is there from then on."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([calls, interrupted])], cwd=ROOT, text=True,
        capture_output=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: dict[str, tuple[Any, ...]] = json.loads(done.stdout)
    assert list(said) == list(calls)
    return said


def test_help_is_shown_before_anything_heavy_is_imported() -> None:
    said = answers({door: ["--help"] for door in DOORS}, interrupted=False)
    for door, (code, out, err, heavy) in said.items():
        assert (code, err, heavy) == (0, "", []), door
        assert f"usage: python -m {door}" in out


WORDS = {
    "hubert.train": "{0} --out {0}/run",
    "hubert.prepare": "{0}",
    "hubert.synthesize": "--texts {0}/texts.txt --out {0}/pairs --model nano",
    "hubert.evaluate": "{0} {0}",
    "training.finetune": "--stage fine --data {0} --out {0}/run",
    "training.finetune.prepare": "{0} --out {0}/data --model nano",
    "training.nano": "codes --work {0}",
}


def test_ctrl_c_during_the_imports_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("one two")
    (tmp_path / "train.txt").write_text("a.wav|one\nb.wav|two")
    calls = {door: words.format(tmp_path).split() for door, words in WORDS.items()}
    for door, (code, _, err, heavy) in answers(calls, interrupted=True).items():
        assert (code, heavy) == (130, []), door
        assert "interrupted." in err and err.count("\n") == 1, err
        kept = "again" in err  # how to go on
        assert kept == (door != "hubert.evaluate"), err


def test_the_help_of_training_says_what_the_networks_are() -> None:
    assert set(VERSIONS) == set(NETWORKS)
    told = train_command.build_parser().format_help()
    assert f"width (default: {WIDTHS[0]}; version 2: {WIDTHS[2]})" in " ".join(told.split())


def test_all_missing_packages_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.nano.command import main

    monkeypatch.setattr(packages.shutil, "which", lambda program: None)
    for name in ("WORDNET", "FORTUNES", "FESTIVAL_VOICES"):
        monkeypatch.setattr(packages, name, tmp_path / "none")
    assert main(["all", "--work", str(tmp_path / "work")]) == 2
    told = capsys.readouterr().err
    wanted = "wordnet-base bible-kjv fortunes flite festival festvox-us-slt-hts festvox-kdlpc16k"
    assert told.rstrip().endswith(f"apt-get install {wanted} espeak-ng") and told.count("\n") == 1
    assert not (tmp_path / "work").exists(), "nothing was begun"
    few = corpus_voices(CorpusOptions(tmp_path, voices=8))  # all of them flite's
    assert packages.missing_packages(few)[3:] == ("flite",)
    monkeypatch.setattr(packages.shutil, "which", lambda program: program)
    assert set(packages.missing_packages(few)) == {"wordnet-base", "fortunes"}


def test_the_report_names_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.nano.report.command import main

    for name in ("pesq", "pystoi"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["--work", str(tmp_path), "--real", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "pystoi, pesq" in told and "bark-voice-booth[report,plot]" in told
    assert told.count("\n") == 1
