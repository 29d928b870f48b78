"""The notebooks: they call and never define, keep no outputs, and run top to bottom offline."""

import ast
import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.conftest import ROOT
from tests.listening import make_tiny_hubert
from tests.tiny import LAYOUT, make_tiny_model

NOTEBOOKS = ("clone_voice.ipynb", "generate.ipynb")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def read(name: str) -> Any:
    return nbformat.read(ROOT / name, as_version=4)


def code(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_only_call(name: str) -> None:
    notebook = read(name)
    cells = code(notebook)
    assert len(cells) <= 12
    assert re.search(r'^MODEL = "nano"', cells[0], re.M)
    trees = [ast.parse(cell.replace("%matplotlib inline", "")) for cell in cells]
    assert not [node for tree in trees for node in ast.walk(tree) if isinstance(node, DEFINITIONS)]
    for cell in notebook.cells:
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)
    assert max(len(line) for cell in cells for line in cell.splitlines()) <= 110


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model to run on: nano if it is here, else the tiny random one of the same code path."""
    if (ROOT / "bark" / "nano" / "config.json").is_file():
        return "nano"
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    make_tiny_hubert(folder / "hubert", LAYOUT.semantic_vocab)
    return str(folder)


def in_this_process(notebook: Any, folder: Path) -> list[Any]:
    """Run a notebook in IPython, but in no process of its own, which would import torch anew."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.pylabtools import select_figure_formats
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    shown = []
    settings = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(user_ns={}, ipython_dir=str(folder), config=settings)
    try:
        select_figure_formats(shell, {"png"})
        with contextlib.chdir(folder):
            for cell in code(notebook):
                with capture_output() as said:
                    result = shell.run_cell(cell.replace("%matplotlib inline", ""))
                result.raise_error()
                shown += [output.data for output in said.outputs]
                shown.append(shell.display_formatter.format(result.result)[0])
    finally:
        InteractiveShell.clear_instance()
    return shown


def in_a_kernel(notebook: Any, folder: Path) -> list[Any]:
    """Run a notebook as JupyterLab does."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output.get("data", {}) for cell in cells for output in cell.outputs]


@pytest.mark.parametrize(
    "way", [in_this_process, pytest.param(in_a_kernel, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_run_top_to_bottom_offline(
    name: str,
    way: Callable[[Any, Path], list[Any]],
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    notebook = read(name)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = first.source.replace('MODEL = "nano"', f"MODEL = {model!r}")
    first.source = re.sub('^TEXT = ".*"', 'TEXT = "Hello there."', first.source, flags=re.M)
    shown = way(notebook, tmp_path)
    assert "image/png" in {kind for data in shown for kind in data}  # the plots
    assert sum("<audio" in data.get("text/html", "") for data in shown) >= 3
    assert list((tmp_path / "out").glob("*.npz"))
