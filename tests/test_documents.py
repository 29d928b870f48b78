"""Every command in the documents is understood, and those for newcomers do what they say, on nano."""

import json
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
from tests.booth.serve.test_process import ended
from tests.conftest import ROOT
from tests.judges import skip_without_judges
from tests.pairs import write_material
from tests.suno_files import add_codec, suno_folder

BLOCK = r"^ *```(\w*)\n(.*?)^ *```"  # its kind and its text
DOCS = ROOT / "docs"
GUIDE = "docs/coming-from.md"
NEEDS_WEIGHTS = ("_use_small",)  # Suno's
# What a line in a block begins with → why no test types it.
EXCEPTED = {
    "make ": "sets up an environment of its own, and trains for hours or calls the other commands",
    "pip install": "takes packages from a registry",
    "bark serve --model large": "needs Suno's weights, and lets other computers in",
    "export BARK_API_KEY": "is for that server; tests/booth/serve/test_guard.py has keys",
    "BARK_API_KEY=secret docker": "needs Docker, which the tests do not",
    "bark serve --engine ray": "needs Ray; tests/booth/serve/test_ray.py has it",
    "python -m training.nano": "takes hours and recordings; tests/training/nano has each step",
    "for n in one two": "is the shell's; tests/training/test_readme.py types it",
}
TYPED = ("bark ", "python -m ", "curl ")  # what the tests type
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


def blocks(name: str) -> list[tuple[str, str]]:
    """Return the kind and the text of each block of a document."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "")
    return re.findall(BLOCK, text, re.M | re.S)


def commands(name: str) -> list[list[str]]:
    """Return the words of every ``bark ...`` and ``python -m ...`` in a document."""
    text = (ROOT / name).read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`", re.sub(BLOCK, "", text, flags=re.M | re.S))
    typed = [block for kind, block in blocks(name) if kind != "python"]
    lines = [*spans, *(line for block in typed for line in block.splitlines())]
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


def documents() -> list[Path]:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    return [*pages, ROOT / "bark" / "nano" / "REPORT.md", ROOT / "training" / "SOURCES.md"]


def test_files_of_the_project_that_documents_name_are_there() -> None:
    pages = [*documents(), *ROOT.glob("*/*/README.md")]
    ours = re.compile(r"`((?:bark|hubert|booth|training|benchmarks|tests)/[\w/]+\.py)`")
    named = {(page, name) for page in pages for name in ours.findall(page.read_text("utf-8"))}
    assert len(named) > 20
    assert not [f"{page}: {name}" for page, name in named if not (ROOT / name).is_file()]


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for page in documents():
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


def test_every_line_of_a_block_is_typed_or_excepted() -> None:
    """The tests below, and tests/training/test_readme.py, type what this one counts."""
    documents = ["README.md", "training/README.md", *sorted(map(str, DOCS.glob("*.md")))]
    lines = [
        line.strip()
        for name in documents
        for kind, block in blocks(name)
        for line in block.splitlines()
        if kind in ("bash", "sh") or line.strip().startswith((*TYPED, *EXCEPTED))
    ]
    excepted = {line: start for line in lines for start in EXCEPTED if line.startswith(start)}
    assert set(excepted.values()) == EXCEPTED.keys()
    assert [line for line in lines if line not in excepted and not line.startswith(TYPED)] == []
    assert len(lines) - len(excepted) >= 44


def type_in(words: list[str], *more: str) -> None:
    """Type a command, with nano where it names no model and is to clone."""
    nano = ["--model", "nano"] if words[1] == "clone" and "--model" not in words else []
    work = main if words[0] == "bark" else command_module(words[2]).main
    assert work([*words[1 if work is main else 3 :], *nano, *more]) == 0, words


def test_the_readme_can_be_typed_in_order(desk: Path) -> None:
    """Its programs and its first commands, one after the other in one folder, as a newcomer does."""
    for kind, block in blocks("README.md"):
        if kind == "python":
            exec(compile(block, "README", "exec"), {})  # noqa: S102
    assert {Path(name).exists() for name in ("me.npz", "morning.wav", "morning.npz")} == {True}
    for words in commands("README.md"):
        endless = words[:2] == ["bark", "serve"]  # test_the_servers_guide_can_be_typed_in_order
        if words[0] == "bark" and not endless and "run/quantizer.pth" not in words:
            type_in(words)
    assert Path("good.wav").exists() and Path("good.npz").exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_readmes_quantizer_can_be_typed_in_order(desk: Path) -> None:
    numbers = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    texts = [f"please open door number {n}.\nthe train to platform {n} is late." for n in numbers]
    Path("sentences.txt").write_text("\n".join(texts))
    sizes = {"hubert.synthesize": "--model nano --count 15", **QUANTIZER}
    for words in commands("README.md"):
        if words[0] == "python" and words[2] in sizes:
            type_in(words, *sizes[words[2]].split())
        elif "run/quantizer.pth" in words:
            type_in(words, "--consent", "self")
    assert Path("me_pl.npz").exists()


@pytest.mark.parametrize("judged", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)  # s: two refinements and a book
def test_the_cloning_guide_can_be_typed_in_order(desk: Path, judged: bool) -> None:
    """`judged`: with what speaks many takes and judges them."""
    if judged:
        skip_without_judges()
    speech = load_audio("me.wav", 24_000)
    for day, half in zip(("monday", "tuesday"), np.array_split(speech, 2), strict=True):
        save_audio(f"{day}.wav", half)
    if not judged:  # a swap takes as long as what is swapped
        save_audio("me.wav", speech[: 4 * 24_000])
    for kind, block in blocks("docs/cloning.md"):
        if kind == "python" and judged:
            exec(compile(block, "cloning.md", "exec"), {})  # noqa: S102
        for line in block.splitlines() if kind != "python" else ():
            words = shlex.split(line, comments=True)
            if judged or not {"--refine", "--drift", "drift"} & set(words):
                type_in(words)
    made = {"me.png", "me.npz", "good.wav", "both.npz", "swapped.wav", "loud.wav"}
    made |= {"best.npz", "best-refined", "week.npz", "book.wav", "drift.png"} if judged else set()
    assert made <= {path.name for path in desk.iterdir()}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_servers_guide_can_be_typed_in_order(desk: Path) -> None:
    """The server of its first block, on a free port, and everything that is asked of it."""
    shell = [line for kind, block in blocks("docs/serving.md") for line in block.splitlines()
             if kind == "bash" and not line.startswith(tuple(EXCEPTED))]  # fmt: skip
    start, *asked = shell
    assert start.startswith("bark serve") and len(asked) == 2
    words = [sys.executable, "-m", *shlex.split(start), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as server,
        ended(server),
    ):
        assert server.stdout is not None
        address = server.stdout.readline().split("//")[-1].strip("/\n")
        answers = [
            subprocess.run(
                [*shlex.split(line.replace("127.0.0.1:8000", address)), "--silent", "--fail"],
                capture_output=True, check=True,
            ).stdout
            for line in asked
        ]  # fmt: skip
    assert json.loads(answers[1])["status"] in ("queued", "running")
    assert load_audio("morning.mp3", 24_000).std() > 0.01
