"""Draws the curves of a finished training run and writes its model card."""

from pathlib import Path
from typing import Any

from bark.extras import from_extra
from bark.storage.atomic import atomic_write
from hubert.quantizer.networks import QuantizerSizes
from training.engine.run_folder import read_metrics

_READERS = {
    0: "Layout of gitmylo's version 0: his tools and all that read his files load it.",
    1: "Layout of gitmylo's version 1: his tools and all that read his files load it.",
    2: "Version 2 is bark-voice-booth's own network. gitmylo's tools refuse it: "
    "load it with this project.",
}


def draw_curves(folder: Path, path: Path) -> None:
    """Save loss and accuracy over the steps of a run as a picture.

    Raises
    ------
    SettingError
        If matplotlib is not installed.
    """
    with from_extra("plot", "no picture"):
        from matplotlib.figure import Figure
    rows = read_metrics(folder)
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, curves in (
        (left, (("train", "loss"), ("validation", "loss"))),
        (right, (("validation", "top1"), ("validation", "top5"))),
    ):
        for phase, name in curves:
            points = [
                (row["step"], row[name]) for row in rows if row["phase"] == phase and name in row
            ]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    label=f"{phase} {name}",
                    marker="." * (phase != "train"),
                )
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend()
    left.set_ylabel("cross-entropy, nats a token")
    right.set_ylabel("token accuracy")
    right.set_ylim(0, 1)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)


def model_card(sizes: QuantizerSizes, settings: dict[str, Any]) -> str:
    """Return a model card in Markdown.

    Parameters
    ----------
    settings : what `hubert.train` writes into ``quantizer.json``.
    """
    language, encoder = settings["language"], settings["encoder"]
    rows = "\n".join(
        f"| {split} | {f['pairs']:.0f} | {f['tokens']:.0f} | {f['top1']:.1%} | {f['top5']:.1%} "
        f"| {f['majority']:.1%} | {f['edit']:.3f} |"
        for split, f in settings["figures"].items()
    )
    widths = " → ".join(str(width) for width in (sizes.hidden_size, sizes.neck_size) if width)
    stored = (
        f", {settings['datastore']:,} of their frames are looked up"
        if settings["datastore"]
        else ""
    )
    entry = ""
    if language:
        source = (
            f'"{language}": QuantizerSource("<owner>/<repository>", "quantizer.pth", '
            f"{sizes.version}),"
        )
        entry = (
            "\n## Entry for `hubert/quantizer/languages.py`\n\n"
            "After putting the file on the model hub:\n\n"
            f"```python\n{source}\n```\n"
        )
    return f"""---
license: mit
language: {language or "unknown"}
tags: [bark, voice-cloning, hubert]
---
# Quantizer for Bark{f" ({language})" if language else ""}

HuBERT features in, Bark's semantic tokens out, one for each frame. {_READERS[sizes.version]}

| | |
|---|---|
| network | version {sizes.version}: {sizes.input_size} → {widths} → {sizes.output_size} |
| features | {encoder.get("hubert")}, layer {encoder.get("layer")} |
| data | {settings["train_pairs"]} training pairs{stored}, fingerprint `{settings["data"]}` |
| training | {settings["steps"]} steps, the best after {settings["best_step"]} |
| alignment | token t belongs to frame t + {settings["shift"]} |

| split | pairs | tokens | top 1 | top 5 | most frequent token | edits a token |
|---|---|---|---|---|---|---|
{rows}

Use it: `python -m hubert.clone recording.wav --quantizer quantizer.pth`.
Clone only voices you may clone.
{entry}"""
