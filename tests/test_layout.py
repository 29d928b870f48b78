"""The house stays as designed: imports run downwards, files stay small, state lives in one place."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("bark", "hubert", "booth", "training")
ABOVE = {  # a package → what it may never import
    "bark": {"hubert", "booth", "training"},
    "hubert": {"booth", "training"},
    "booth": {"training"},
    "training": {"booth"},
}
FLOORS = {  # the rooms of a package, lowest floor first; a room imports from lower floors and itself
    "bark": [
        {"version", "errors"},
        {"tokens", "languages", "extras", "devices", "commandline"},
        {"settings"},
        {"storage"},
        {"audio"},
        {"voice", "codec", "text"},
        {"stages"},
        {"model", "model_fine"},
        {"speech"},
        {"checkpoints", "longform"},
        {"pipeline", "convert"},
        {"suno"},
        {"generation"},
        {"api"},
    ],
    "hubert": [
        {"speaker_weights"},
        {"consent", "features", "likeness"},
        {"reference", "quantizer"},
        {"encoder", "judge"},
        {"clone", "convert", "drift"},
        {"refine"},
        {"hubert_manager", "customtokenizer", "pre_kmeans_hubert"},
        {"train", "prepare", "synthesize", "evaluate"},
    ],
    "training": [
        {"engine"},
        {"quantizer", "stages"},
        {"finetune"},
        {"nano"},
    ],
    "booth": [
        {"plots", "takes", "upload"},
        {"voices"},
        {"speak"},
        {"jobs"},
        {"coqui_model"},
        {"coqui", "demo", "serve"},
        {"cli"},
        {"tts"},
    ],
}
MOST_FILES = 14  # in a folder of the four packages, front doors and `__init__` not counted
MAX_LINES, MAX_FUNCTION = 400, 60
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FORBIDDEN = {
    "fairseq",
    "torchaudio",
    "encodec",
    "audiolm_pytorch",
    "pickle",
    "joblib",
    "dill",
    "shelve",
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, relative imports resolved."""
    here = path.relative_to(ROOT).parent.parts
    tree = ast.Module([node for node in parsed(path).body if not is_command(node)], [])
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            named = {f"{module}.{alias.name}" for alias in node.names}
            inside = named & MODULES.keys()
            names |= inside | ({module} if len(inside) < len(named) else set())
    return names


def is_command(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def is_front_door(path: Path) -> bool:
    """The files that `python -m` starts may point up; they are a few lines, or an `if __name__` block.

    So may `bark/__init__.py`, whose `clone_voice` is looked up when it is used.
    """
    name = name_of(path)
    return path.name == "__main__.py" or name in {"bark/__init__.py"} | {
        f"hubert/{command}.py" for command in ("train", "prepare", "synthesize", "evaluate")
    }


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def check(rule: Callable[[Path], Iterable[str]], paths: Iterable[Path] = FILES) -> None:
    """Fail with every fault that a rule finds, a line each, beginning with the file."""
    faults = sorted(f"{name_of(path)}: {fault}" for path in paths for fault in rule(path))
    assert not faults, "\n".join(faults)


def upward_imports(path: Path) -> Iterator[str]:
    package = path.relative_to(ROOT).parts[0]
    tops = {name.split(".")[0] for name in imported(path)}
    above = set() if is_front_door(path) else ABOVE[package]
    yield from (f"imports {top}" for top in tops & (FORBIDDEN | above))


def test_imports_run_downwards() -> None:
    check(upward_imports)


def imports_between_floors(path: Path) -> Iterator[str]:
    package, own, *_ = path.relative_to(ROOT).with_suffix("").parts
    if own in ("__init__", "__main__"):  # front doors name everything
        return
    floor = {room: level for level, rooms in enumerate(FLOORS[package]) for room in rooms}
    if own not in floor:
        yield f"{own} is a new room: give it a floor in FLOORS"
        return
    for name in imported(path):
        top, _, below = name.partition(".")
        room = below.split(".")[0]
        if top == package and room and room != own and floor[room] >= floor[own]:
            yield f"imports {room}, which is not below {own}"


def test_floors_inside_a_package() -> None:
    check(imports_between_floors)


def circle_in(arrows: dict[str, set[str]]) -> list[str]:
    """Return one circle of imports, or an empty list."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for target in sorted(arrows.get(name, ())):
            if found := visit(target, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := visit(name, []))), [])


def test_circles_are_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b"}, "b": set()}) == []


def test_no_module_and_no_folder_imports_in_a_circle() -> None:
    arrows = {
        module: {name for name in imported(path) if name in MODULES} - {module}
        for module, path in MODULES.items()
        if not is_front_door(path) and path.name != "__init__.py"
    }
    assert circle_in(arrows) == []
    folders: dict[str, set[str]] = {}
    for module, targets in arrows.items():
        own = module.rpartition(".")[0]
        inside = {
            name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
            for name in targets
        }
        # a folder's own root files stand on floors of their own, checked above
        folders.setdefault(own, set()).update(
            f for f in inside if f != own and "." in f and "." in own
        )
    assert circle_in(folders) == []


def test_folders_stay_small() -> None:
    counted = Counter(
        path.parent for path in FILES if not is_front_door(path) and path.name != "__init__.py"
    )
    large = {name_of(folder): count for folder, count in counted.items() if count > MOST_FILES}
    assert not large


def oversize(path: Path) -> Iterator[str]:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MAX_LINES:
        yield f"{lines} lines"
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > MAX_FUNCTION:
                yield f"{node.name} has {lines} lines"


def test_files_and_functions_stay_small() -> None:
    check(oversize)


CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*|_?[A-Z][A-Za-z0-9]*|logger|router|__\w+__")


def module_variables(path: Path) -> Iterator[str]:
    for node in parsed(path).body:
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Name) and not CONSTANT.fullmatch(target.id):
                yield target.id


def test_module_level_names_are_constants_types_the_logger_or_routes() -> None:
    check(module_variables, (path for path in FILES if path.name != "generation.py"))


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


def test_home_folders_are_found_in_one_place() -> None:
    """`expand` turns an unknown user or an absent HOME into our error; pathlib raises its own."""
    homes = {"bark/storage/files.py", "bark/audio/read.py"}  # the door itself, and one that catches
    for path in FILES:
        if path.relative_to(ROOT).as_posix() not in homes:
            assert ".expanduser(" not in path.read_text("utf-8"), path


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


@pytest.mark.parametrize("module", ["bark", "hubert", "booth.cli.main"])
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


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for package in PACKAGES:
        part = page.split(f"\n### {package}:")[1].split("\n### ")[0]
        for path in sorted((ROOT / package).iterdir()):
            if path.is_dir() and any(path.glob("*.py")):
                assert f"{path.name}/" in part, path
            elif path.suffix == ".py" and not path.name.startswith("__"):
                assert path.name in part, path


MOST_ARGUMENTS = 8
WIDE = {  # signatures that are somebody else's, or that an editor should show whole
    "preload_models",
    "generate_text_semantic",
    "generate_coarse",
    "clone_voice",
}


def wide_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = sum(argument.arg not in ("self", "cls") for argument in given)
            if count > MOST_ARGUMENTS and node.name not in WIDE:
                yield f"{node.name} takes {count}"


def test_public_functions_take_few_arguments() -> None:
    check(wide_functions)


def test_a_broken_rule_is_told_with_file_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules above find nothing in this tree; here they find what they are for."""
    bad = tmp_path / "hubert" / "encoder.py"
    bad.parent.mkdir()
    arguments = ", ".join(f"a{n}" for n in range(9))
    bad.write_text(
        "import pickle\nimport booth\nfrom hubert.clone import clone_voice\nstate = {}\n"
        f"def wide({arguments}):\n" + "    pass\n" * 400
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(MODULES, "hubert.clone", tmp_path / "hubert" / "clone.py")
    with pytest.raises(AssertionError, match="hubert/encoder.py: imports booth"):
        check(upward_imports, [bad])
    assert sorted(upward_imports(bad)) == ["imports booth", "imports pickle"]
    assert list(imports_between_floors(bad)) == ["imports clone, which is not below encoder"]
    assert list(oversize(bad)) == ["405 lines", "wide has 401 lines"]
    assert list(module_variables(bad)) == ["state"]
    assert list(wide_functions(bad)) == ["wide takes 9"]
