"""The house stays as designed: imports run downwards, files stay small, state lives in one place."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

PACKAGES = ("bark", "hubert", "booth", "training")
ABOVE = {  # a package → what it may never import
    "bark": {"hubert", "booth", "training"},
    "hubert": {"booth", "training"},
    "booth": {"training"},
    "training": {"booth"},
}
FLOORS = [  # inside bark, lowest first; a module imports from lower floors, or beside it on its own
    {"version", "errors"},
    {"files", "tokens", "commands", "extras"},
    {"npz", "spelling", "spoken", "audio_files"},
    {"model", "model_fine", "sampling", "devices", "audio", "hub", "phones", "cuda_graph"},
    {"decoding", "voice", "voice_names", "text", "splitting", "weights", "codec", "codec_mel"},
    {"semantic", "coarse", "fine", "checkpoints", "formats"},
    {"pipeline"},
    {"generation", "longform", "parts", "journal", "convert"},
    {"api"},
]
MAX_LINES, MAX_FUNCTION = 400, 60
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FORBIDDEN = {"fairseq", "torchaudio", "encodec", "audiolm_pytorch", "pickle", "joblib", "dill", "shelve"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Full names of everything a file imports, relative imports resolved."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = parts[: -node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} if node.module else {f"{module}.{alias.name}" for alias in node.names}
    return names


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards(path: Path) -> None:
    if path.name == "__main__.py":
        pytest.skip("the front doors may point up")
    package = path.relative_to(ROOT).parts[0]
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & ABOVE[package]
    assert not tops & FORBIDDEN


@pytest.mark.parametrize("path", sorted((ROOT / "bark").glob("*.py")), ids=name_of)
def test_floors_inside_bark(path: Path) -> None:
    if path.stem in ("__init__", "__main__"):
        pytest.skip("front doors name everything")
    floor = {module: level for level, modules in enumerate(FLOORS) for module in modules}
    assert path.stem in floor, "a new module: give it a floor in FLOORS"
    for name in imported(path):
        if name.startswith("bark."):
            below = name.split(".")[1]
            assert floor[below] <= floor[path.stem], f"{path.stem} imports {below}, which stands above it"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno + 1 <= MAX_FUNCTION, node.name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_module_level_names_are_constants(path: Path) -> None:
    if path.name == "generation.py":
        pytest.skip("the one home of mutable module state")
    for node in parsed(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Name):
                name = target.id
                constant = re.fullmatch(r"_?[A-Z][A-Z0-9_]*|_?[A-Z][A-Za-z0-9]*|logger|__\w+__", name)
                assert constant, f"{name} is not a constant, a type or the logger"


def test_every_torch_load_is_weights_only_and_pickle_stays_off() -> None:
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call):
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                if ast.unparse(node.func) == "torch.load":
                    assert keywords.get("weights_only") == "True", path
                    assert path.relative_to(ROOT).parts[0] == "bark", (
                        f"{path}: bark is the home of reading checkpoints"
                    )
                assert keywords.get("allow_pickle") != "True", path


def test_no_path_of_a_machine_and_no_registry_address() -> None:
    suffixes = {".py", ".md", ".toml", ".txt", ".ipynb", ".cfg"}
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")
    for name in listed:
        path = ROOT / name
        if path.is_file() and (path.suffix in suffixes or path.name == "Makefile"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])/(?:work|root|home)/\w", text), name
            assert not re.search(r"pypi\.org.simple|files\.pythonhosted", text), name


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["bark", "hubert", "booth.cli"])
def test_import_is_light_and_silent(module: str) -> None:
    """No network, no torch, no change of logging: what a name costs is paid when it is used."""
    program = (
        "import logging, socket, sys\n"
        "def refuse(*a, **k): raise RuntimeError('network at import')\n"
        "socket.socket.connect = refuse\n"
        "before = (logging.root.level, list(logging.root.handlers))\n"
        f"import {module}\n"
        "assert before == (logging.root.level, list(logging.root.handlers))\n"
        "heavy = {'torch', 'transformers', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run(program)


def test_nano_speaks_without_transformers_and_compiler() -> None:
    """Either takes seconds to import, and they are most of what the first word waits for."""
    program = (
        "import sys\n"
        "from bark import Bark\n"
        "Bark.from_pretrained('nano').generate('one', seed=0)\n"
        "heavy = {'transformers', 'torch._dynamo', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run(program)
