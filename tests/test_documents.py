"""Every command in the documents is understood, and those for newcomers do what they say, on nano."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import bark
from bark.audio.read import load_audio
from bark.audio.write import save_audio
from bark.convert import convert
from booth.cli import check, drift, replay, serve, swap, voices
from booth.cli.clone import build_parser as clone_parser
from booth.cli.convert import build_parser as convert_parser
from booth.cli.main import main
from booth.cli.options import parse_options
from tests.conftest import ROOT
from tests.pairs import write_material
from tests.suno_files import add_codec, suno_folder

GUIDE = "docs/coming-from.md"
NEEDS_WEIGHTS = ("_use_small",)  # Suno's
QUANTIZER = {  # gitmylo's steps in their order, and the sizes of a test
    "hubert.prepare": "--hubert nano --test 0.3 --validation 0.3",
    "hubert.train": "--steps 4 --validate-every 2 --hidden-size 16 --batch 2",
    "hubert.evaluate": "",
}
PARSERS: dict[str, Callable[[list[str]], Any]] = {
    "check": lambda words: check.build_parser().parse_args(words),
    "convert-voice": lambda words: swap.build_parser().parse_args(words),
    "drift": lambda words: drift.build_parser().parse_args(words),
    "clone": lambda words: clone_parser().parse_args(words),
    "convert": lambda words: convert_parser().parse_args(words),
    "replay": lambda words: replay.build_parser().parse_args(words),
    "serve": lambda words: serve.build_parser().parse_args(words),
    "voices": lambda words: voices.build_parser().parse_args(words),
}


def commands(name: str) -> list[list[str]]:
    """Return the words of every ``bark ...`` and ``python -m ...`` in a document."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "")
    fenced = r"^ *```(\w*)\n(.*?)^ *```"
    spans = re.findall(r"`([^`\n]+)`", re.sub(fenced, "", text, flags=re.M | re.S))
    blocks = [block for kind, block in re.findall(fenced, text, re.M | re.S) if kind != "python"]
    lines = [*spans, *(line for block in blocks for line in block.splitlines())]
    found = [
        line.strip()
        for line in lines
        if re.match(r"\s*(bark (-|[\w-]+ \S)|python -m \S+ \S)", line)
    ]
    return [shlex.split(line, comments=True) for line in found if not line.endswith("--help")]


def command_module(name: str) -> ModuleType:
    """The module behind `python -m name`: of a package its `__main__`'s, of a front door the one it opens."""
    packages = {
        "training.finetune": "training.finetune.command",
        "training.nano": "training.nano.command",
        "training.nano.report": "training.nano.report.command",
    }
    module = import_module(packages.get(name, name))
    return import_module(module.main.__module__) if hasattr(module, "main") else module


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("README.md", 3),
        (GUIDE, 28),
        ("training/README.md", 2),
        ("docs/cloning.md", 11),
        ("docs/serving.md", 2),
    ],
)
def test_every_command_is_understood(name: str, least: int) -> None:
    understood = 0
    for words in commands(name):
        if words[1] in PARSERS:
            PARSERS[words[1]](words[2:])
        elif words[0] == "bark":
            assert parse_options(words[1:])
        elif hasattr(module := command_module(words[2]), "build_parser"):
            module.build_parser().parse_args(words[3:])
        else:
            continue
        understood += 1
    assert understood >= least


def headings(text: str) -> set[str]:
    """Return the anchors that a code-hosting page gives to the headings of a document."""
    found = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in found}


def test_links_between_documents_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    broken = []
    for page in [*pages, ROOT / "bark" / "nano" / "REPORT.md"]:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:)([^)\s]*)\)", text):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            if not target.exists() or (
                anchor and anchor not in headings(target.read_text(encoding="utf-8"))
            ):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert not broken


def test_the_table_of_constants_is_true() -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", GUIDE))
    rows = re.findall(r"\| `([A-Z_]+)` \| ([\d .]+?)(?: Hz)? (?=\|)", text)
    assert len(rows) == 14
    for name, value in rows:
        assert float(value.replace(" ", "")) == getattr(bark.generation, name)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the guide's commands name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BARK_VOICES", str(tmp_path / "own"))
    speech = load_audio(ROOT / "booth" / "samples" / "reference.flac", 24_000)
    save_audio("me.wav", speech)
    save_audio("bark_voices/ana/speaker.wav", speech)
    for name, source in {"ana": "alba", "bo": "bruno"}.items():
        shutil.copyfile(ROOT / "bark" / "nano" / "voices" / f"{source}.npz", f"{name}.npz")
    Path("book.txt").write_text("One two.\n---\nThree four five.\n")
    Path("play.txt").write_text("ANA: Hello.\nBO: Good day.\n")
    for number, piece in enumerate(np.array_split(speech, 4)):
        save_audio(f"recordings/wavs/u{number}.wav", piece)
    Path("recordings/metadata.csv").write_text(
        "".join(f"u{n}|Some words are here.\n" for n in range(4))
    )
    convert(add_codec(suno_folder(tmp_path / "suno", "")), "bark-hf", "hf")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1200)  # seconds: 33 commands, each as if typed
def test_the_guide_can_be_followed(desk: Path) -> None:
    """In its order, with nano for Suno's weights and for the clips of newcomers' names."""
    followed, quantizer = 0, {}
    for words in commands(GUIDE):
        line = " ".join(words)
        if any(name in line for name in NEEDS_WEIGHTS) or len(words) < 3:
            continue
        if words[0] == "python" and words[2] in QUANTIZER:
            quantizer[words[2]] = words[3:]
            continue
        if words[0] == "python":
            if words[2] != "training.finetune" or "--steps" in words:  # else it takes hours
                if "--model_name" in words:
                    words[words.index("--model_name") + 1] = "nano"
                assert command_module(words[2]).main(words[3:]) == 0, line
                followed += 1
            continue
        words = [word.replace("v2/en_speaker_6", "alba") for word in words[1:]]
        speaks = words[0].startswith("-") or words[0] == "clone"
        if speaks and "--model" not in words:
            words += ["--model", "nano"]
        assert main(words) == 0, line
        followed += 1
    assert followed >= 25 and quantizer.keys() == QUANTIZER.keys()
    write_material(Path("gitmylo/pairs"), [f"pair{number}" for number in range(12)])
    os.chdir("gitmylo")
    for name, sizes in QUANTIZER.items():
        assert command_module(name).main([*quantizer[name], *sizes.split()]) == 0, name
    os.chdir(desk)
    assert {path.suffix for path in desk.glob("take*")} == {".wav", ".npz", ".json"}
    assert Path("me.npz").exists() and Path("bark_voices/ana/speaker.npz").exists()


@pytest.mark.slow
def test_the_guides_programs_run(desk: Path) -> None:
    programs = re.findall(
        r"^```python\n(.*?)^```", (ROOT / GUIDE).read_text(encoding="utf-8"), re.M | re.S
    )
    assert len(programs) == 4
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=desk, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert {"take.npz", "me.npz", "output.wav", "hello.wav"} <= {
        path.name for path in desk.iterdir()
    }


def test_the_readme_can_be_typed_in_order(desk: Path) -> None:
    """Its programs and its first commands, one after the other in one folder, as a newcomer does."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    Path("mine.npz").unlink(missing_ok=True)
    for program in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
        exec(compile(program, "README", "exec"), {})  # noqa: S102
    assert {Path(name).exists() for name in ("me.npz", "morning.wav", "morning.npz")} == {True}
    for words in commands("README.md"):
        endless = words[:2] == ["bark", "serve"]  # tests/booth/serve has it
        if words[0] == "bark" and not endless and not {"run/quantizer.pth", "large"} & set(words):
            assert main(words[1:]) == 0, words
    assert Path("good.wav").exists() and Path("good.npz").exists()
