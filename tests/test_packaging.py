"""An sdist, and the wheel built from it, carry everything: they work in an empty folder, without the checkout."""

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT
from tests.pairs import make_dataset


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist and unpacked where nothing else is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:  # a copy: building writes into the source tree
        if (ROOT / name).is_file() and not name.startswith(("tests/", "runs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_the_wheel_that_answers(installed: Path, tmp_path: Path) -> None:
    packages = ("bark", "hubert", "booth", "training")
    names = ", ".join(packages)
    done = run(
        installed, tmp_path, "-c", f"import {names}; print(*map(repr, ({names})), sep='\\n')"
    )
    for package, said in zip(packages, done.stdout.splitlines(), strict=True):
        assert str(installed / package) in said, done.stderr
        assert (installed / package / "py.typed").is_file()
    assert not (installed / "tests").exists() and not (installed / "benchmarks").exists()


def test_the_command_line_answers(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-m", "bark", "--help")
    assert done.returncode == 0 and "--history_prompt" in done.stdout, done.stderr


def test_training_answers_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    for module in ("hubert.train", "training.finetune", "training.nano"):
        done = run(installed, tmp_path, "-m", module, "--help")
        assert done.returncode == 0 and f"python -m {module}" in done.stdout, done.stderr


def test_a_quantizer_is_trained_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="the training extra is not installed")
    make_dataset(tmp_path / "pairs", 12)
    words = "hubert.train pairs --out run --steps 2 --validate-every 1 --hidden-size 8 --batch 2"
    done = run(installed, tmp_path, "-m", *words.split(), "--device", "cpu")
    assert done.returncode == 0 and "written: " in done.stdout, done.stderr
    assert (tmp_path / "run" / "quantizer.pth").is_file()


def test_nothing_in_the_metadata_refuses_python_3_14() -> None:
    """Neither ours nor that of what the core needs; which wheels there are: docs/measured.md."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "3.14" in SpecifierSet(project["requires-python"])
    for wanted in map(Requirement, project["dependencies"]):
        allowed = metadata.metadata(wanted.name)["Requires-Python"]
        assert "3.14" in SpecifierSet(allowed or ""), wanted.name


SHORT = "import sys, booth.demo as demo; demo.PARAGRAPH = 'Yes.'; sys.exit(demo.main(sys.argv[1:]))"


@pytest.mark.parametrize(
    "way", [("-c", SHORT), pytest.param(("-m", "booth.demo"), marks=pytest.mark.slow)]
)
def test_the_demo_runs_from_the_wheel(
    installed: Path, tmp_path: Path, way: tuple[str, str]
) -> None:
    done = run(installed, tmp_path, *way, "--text", "Hello there.")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "demo.npz",
        "demo.wav",
        "demo.png",
    }
