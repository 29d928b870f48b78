"""training/README.md: its commands run as they stand, one after the other, in one empty folder."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("accelerate", reason="the training extra is not installed")

from booth.cli.clone import main as clone
from tests.conftest import ROOT
from training.finetune.command import main as finetune
from training.finetune.prepare import main as prepare_voice
from training.nano.command import build_parser as nano_parser
from training.nano.report.command import build_parser as report_parser
from training.quantizer.commands.evaluate import main as evaluate
from training.quantizer.commands.prepare import main as prepare
from training.quantizer.commands.synthesize import main as synthesize
from training.quantizer.commands.train import main as train

README = (ROOT / "training" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```(\w*)\n(.*?)^ *```", README, flags=re.M | re.S)
# command → its main, and the sizes of a test, which are added at the end
DOORS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "hubert.synthesize": (synthesize, "--count 15"),
    "hubert.prepare": (prepare, "--max-refused 0.5"),
    "hubert.train": (train, "--steps 4 --validate-every 2 --hidden-size 16 --batch 2"),
    "hubert.evaluate": (evaluate, "--round-trip 1"),
    "hubert.clone": (clone, ""),
    "training.finetune.prepare": (prepare_voice, "--validation 0.3"),
    "training.finetune": (finetune, "--steps 2 --batch-size 1 --samples 1"),
}


def material(folder: Path) -> None:
    """Lay down what the reader brings: a recording, and recordings with texts in both layouts."""
    shutil.copy(ROOT / "booth" / "samples" / "reference.flac", folder / "recording.wav")


def voice_of_pairs(folder: Path) -> None:
    """Lay out spoken pairs as LJSpeech does, as a voice to fine-tune on."""
    rows = []
    for note in sorted((folder / "pairs" / "takes").glob("*.json")):
        take = json.loads(note.read_text("utf-8"))
        if not take["refused"]:
            (folder / "DATA" / "wavs").mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "pairs" / "wav" / f"{note.stem}.wav", folder / "DATA" / "wavs")
            rows.append(f"{note.stem}|{take['text']}")
    (folder / "DATA" / "metadata.csv").write_text("\n".join(rows) + "\n", "utf-8")


@pytest.mark.slow
def test_the_walkthroughs_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (ROOT / "bark" / "nano" / "config.json").is_file():
        pytest.skip("needs nano, which is not in this checkout")
    monkeypatch.chdir(tmp_path)
    material(tmp_path)
    ran = []
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(re.sub(r"^ {3}", "", block, flags=re.M), "README", "exec"), {})  # noqa: S102
            ran.append("python")
        for command in map(str.strip, block.splitlines() if language == "sh" else ()):
            if not command.startswith("python -m "):
                subprocess.run(["bash", "-c", command], check=True)
                continue
            door, *words = shlex.split(command)[2:]
            if door == "training.finetune.prepare":
                voice_of_pairs(tmp_path)
            work, smaller = DOORS[door]
            assert work([*words, *shlex.split(smaller), "--device", "cpu"]) == 0, command
            ran.append(door)
    assert ran == [
        *("hubert.synthesize", "hubert.prepare", "hubert.train", "hubert.evaluate", "hubert.clone"),
        *("training.finetune.prepare", "training.finetune", "training.finetune", "python"),
    ]
    assert "round trip" in Path("run/evaluation.md").read_text()
    assert Path("me.npz").is_file() and list(Path("tuned1/samples").glob("*.wav"))
    told = capsys.readouterr().out
    assert told.count("next: ") == 6 and "written: " in told


def test_the_commands_that_make_nano_are_understood() -> None:
    """They take hours and Debian's synthesisers: here their words are only read."""
    block = next(block for language, block in BLOCKS if "training.nano all" in block)
    makefile = (ROOT / "Makefile").read_text()
    read = 0
    for line in block.splitlines():
        command = line.partition("#")[0].strip().replace("[", "").replace("]", "")
        for step in ("codec", "coarse") if "STEP" in command else ("",):
            words = shlex.split(command.replace("STEP", step).replace(" N", " 10"))
            if words[0] == "make":
                assert f"\n{words[1]}:" in makefile
                continue
            parser = {"training.nano": nano_parser, "training.nano.report": report_parser}[words[2]]
            parser().parse_args(words[3:])
            read += 1
    assert read == 4
