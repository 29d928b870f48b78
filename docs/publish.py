"""Run both notebooks and write them as pages with sound and pictures: ``python -m docs.publish``.

Needs the extra ``[notebook]``.
"""

import base64
import io
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import soundfile
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor, Preprocessor

from bark.audio.write import encode_audio
from bark.commandline import say
from bark.speech import speech_tags
from bark.storage.atomic import atomic_write_bytes

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "notebooks"
NOTEBOOKS = ("clone_voice", "generate")
WAV = re.compile(r'src="data:audio/wav;base64,([^"]+)"')
DOTS = 50  # an inch of pictures


class Sounds(Preprocessor):
    """Puts the players' wav data into ogg files beside the page, and links them."""

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        """Return a cell whose sounds are links, and the resources with the files."""
        shown = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
        if "outputs" in cell:
            cell.outputs = shown  # without the bars
        for output in shown:
            found = WAV.search(output.get("data", {}).get("text/html", ""))
            if found is None:
                continue
            samples, rate = soundfile.read(io.BytesIO(base64.b64decode(found[1])), dtype="float32")
            name = f"{resources['unique_key']}_{index}.ogg"
            resources["outputs"][name] = encode_audio(samples, rate, "ogg", speech_tags("", 1))
            told = f"[listen, {len(samples) / rate:.1f} s]({name})"
            output.data = {"text/markdown": told}
        return cell, resources


def publish(name: str) -> list[Path]:
    """Run one notebook in an empty folder; return the page and its files."""
    notebook = nbformat.read(ROOT / f"{name}.ipynb", as_version=4)
    hidden = nbformat.v4.new_code_cell(f"%config InlineBackend.rc = {{'figure.dpi': {DOTS}}}")
    notebook.cells.insert(0, hidden)
    with TemporaryDirectory() as folder:
        ran, _ = ExecutePreprocessor(timeout=600).preprocess(
            notebook, {"metadata": {"path": folder}}
        )
    ran.cells.pop(0)
    page, resources = MarkdownExporter(preprocessors=[Sounds]).from_notebook_node(
        ran, {"unique_key": name, "output_files_dir": "."}
    )
    files = {f"{name}.md": re.sub(r"\s*\n\n\s*\n", "\n\n", page).encode(), **resources["outputs"]}
    for file, content in files.items():
        atomic_write_bytes(PAGES / file, content)
    return [PAGES / file for file in files]


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for each in NOTEBOOKS:
        for path in publish(each):
            say(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB")
