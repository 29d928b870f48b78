"""Measures how often, and how, a quantizer errs on pairs it was not trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bark.errors import SettingError
from bark.extras import from_extra
from bark.storage.atomic import atomic_write
from hubert.quantizer.base import Quantizer, shifted
from hubert.quantizer.files import QUANTIZER, load_quantizer, quantizer_settings
from hubert.quantizer.lstm import LSTMQuantizer
from training.engine.metrics import edit_distance
from training.engine.progress import SILENT, Progress

from .dataset import DatasetError, PreparedDataset, align

if TYPE_CHECKING:
    from bark.pipeline import Bark

SHOWN = 20  # tokens in the confusion table
Speak = Callable[[np.ndarray, int], np.ndarray]  # tokens (S,) and a seed → audio
Listen = Callable[[np.ndarray], np.ndarray]  # audio → features (S, D)


@dataclass(frozen=True)
class Evaluation:
    """How well a quantizer does on the pairs of one split."""

    pairs: int
    tokens: int
    top1: float  # share of tokens named right
    top5: float  # share of tokens among the five likeliest; equal to top1 for k-means
    majority: float  # top1 of always naming the train split's most frequent token
    edit: float  # edits that turn the named sequence into the true one, for each true token
    shown: np.ndarray  # (n,) the split's most frequent tokens
    confusion: (
        np.ndarray
    )  # (n, n + 1) how often a row's token was named as a column's; last column: others

    def figures(self) -> dict[str, float]:
        """Return the numbers for a record."""
        names = ("pairs", "tokens", "top1", "top5", "majority", "edit")
        return {name: round(getattr(self, name), 4) for name in names}


def evaluate(
    quantizer: Quantizer,
    dataset: PreparedDataset,
    split: str = "test",
    shift: int = 0,
    progress: Progress = SILENT,
) -> Evaluation:
    """Compare a quantizer's tokens with the true ones of a split.

    Raises
    ------
    DatasetError
        If the split is empty.
    SettingError
        If the quantizer is for other features or tokens.
    """
    check_fits(quantizer, dataset)
    entries = dataset.split(split)
    if not entries:
        raise DatasetError(f"{dataset.folder} has no {split} pairs", fix="Try --split validation")
    frequent = dataset.most_frequent("train" if dataset.split("train") else split)
    truth, named, among, edits = [], [], 0, 0
    with progress.task(f"measuring ({split})", len(entries), "pair") as advance:
        for entry in entries:
            features, tokens = align(*dataset.read(entry), shift)
            guess, ranked = _ranked(quantizer, features)
            truth.append(tokens)
            named.append(guess)
            among += int((ranked == tokens[:, None]).any(axis=1).sum())
            edits += edit_distance(guess, tokens)
            advance(1)
    every, guesses = np.concatenate(truth), np.concatenate(named)
    shown, confusion = _confusion(every, guesses, dataset.vocabulary)
    return Evaluation(
        pairs=len(entries),
        tokens=len(every),
        top1=float(np.mean(every == guesses)),
        top5=among / len(every),
        majority=float(np.mean(every == frequent)),
        edit=edits / len(every),
        shown=shown,
        confusion=confusion,
    )


def check_fits(quantizer: Quantizer, dataset: PreparedDataset) -> None:
    """Refuse a quantizer made for other features or tokens than a data set's.

    Raises
    ------
    SettingError
        That says which.
    """
    for what, own, needed in (
        ("feature width", quantizer.input_size, dataset.feature_dim),
        ("vocabulary", quantizer.output_size, dataset.vocabulary),
    ):
        if own != needed:
            raise SettingError(
                f"the quantizer's {what} does not fit {dataset.folder}",
                got=own,
                allowed=needed,
                fix="Use the HuBERT and the Bark it was trained with",
            )


def round_trip(
    quantizer: Quantizer,
    dataset: PreparedDataset,
    count: int,
    speak: Speak,
    listen: Listen,
    split: str = "test",
    shift: int = 0,
    progress: Progress = SILENT,
) -> dict[str, float]:
    """Let Bark speak the tokens heard in reference audio, and hear what it says.

    Returns
    -------
    ``pairs``, and ``edit``: edits for each token between what was heard first and what came back.
    """
    check_fits(quantizer, dataset)
    entries = dataset.split(split)[:count]
    if not entries:
        raise DatasetError(f"{dataset.folder} has no {split} pairs", fix="Try --split validation")
    edits = total = 0
    with progress.task("round trip", len(entries), "pair") as advance:
        for seed, entry in enumerate(entries):
            tokens = shifted(quantizer(dataset.read(entry)[0]), shift)
            again = shifted(quantizer(listen(speak(tokens, seed))), shift)
            edits += edit_distance(again, tokens)
            total += len(tokens)
            advance(1)
    return {"pairs": len(entries), "edit": round(edits / total, 4)}


def bark_speak(bark: "Bark") -> Speak:
    """Return the function that speaks semantic tokens with a Bark, in no given voice."""

    def speak(tokens: np.ndarray, seed: int) -> np.ndarray:
        spoken = bark.speak_tokens([tokens[: bark.layout.max_semantic]], seeds=seed)
        return bark.decode(spoken[0].fine)

    return speak


def _ranked(quantizer: Quantizer, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest token (S,) of each frame and the five likeliest (S, 5) in any order."""
    if isinstance(quantizer, LSTMQuantizer):
        logits = quantizer.logits(features)
        count = min(5, logits.shape[1])
        return logits.argmax(axis=1), np.argpartition(-logits, count - 1, axis=1)[:, :count]
    tokens = quantizer(features)
    return tokens, tokens[:, None]


def _confusion(
    truth: np.ndarray, named: np.ndarray, vocabulary: int
) -> tuple[np.ndarray, np.ndarray]:
    counts = np.bincount(truth, minlength=vocabulary)
    shown = np.argsort(-counts, kind="stable")[: min(SHOWN, np.count_nonzero(counts))]
    column = np.full(vocabulary, len(shown))
    column[shown] = np.arange(len(shown))
    inside = column[truth] < len(shown)
    table = np.zeros((len(shown), len(shown) + 1), dtype=np.int64)
    np.add.at(table, (column[truth[inside]], column[named[inside]]), 1)
    return shown, table


def table(result: Evaluation, trip: dict[str, float] | None = None) -> str:
    """Return the figures as a table in Markdown, with the likeliest mistakes."""
    rows = [
        ("pairs", str(result.pairs)),
        ("tokens", str(result.tokens)),
        ("token accuracy, top 1", f"{result.top1:.1%}"),
        ("token accuracy, top 5", f"{result.top5:.1%}"),
        ("always the most frequent token", f"{result.majority:.1%}"),
        ("edits for each token", f"{result.edit:.3f}"),
    ]
    if trip:
        rows.append(
            (f"edits for each token, round trip ({trip['pairs']:.0f} pairs)", f"{trip['edit']:.3f}")
        )
    lines = [
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
    ]
    lines += ["| token | times | named right | most often taken for |", "|---|---|---|---|"]
    for place, token in enumerate(result.shown):
        counts = result.confusion[place]
        wrong = counts.copy()
        wrong[place] = 0
        at = int(wrong.argmax())
        name = "others together" if at == len(result.shown) else str(result.shown[at])
        mistake = f"{name} ({wrong[at] / counts.sum():.0%})" if wrong.sum() else "-"
        lines.append(
            f"| {token} | {counts.sum()} | {counts[place] / counts.sum():.0%} | {mistake} |"
        )
    return "\n".join(lines) + "\n"


def draw(result: Evaluation, path: Path) -> None:
    """Save the confusion of the most frequent tokens as a picture.

    Raises
    ------
    SettingError
        If matplotlib is not installed.
    """
    with from_extra("plot", "no picture"):
        from matplotlib.figure import Figure
    shares = result.confusion / result.confusion.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="magma")
    names = [str(token) for token in result.shown]
    axes.set_xticks(range(len(names) + 1), [*names, "other"], rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("named")
    axes.set_ylabel("true")
    axes.set_title(f"top 1 {result.top1:.1%}, top 5 {result.top5:.1%}, {result.tokens} tokens")
    figure.colorbar(image, label="share of the row")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)


def open_quantizer(path: Path) -> tuple[Quantizer, dict[str, Any]]:
    """Load a quantizer file, or the best one of a run's folder with its settings.

    Raises
    ------
    MissingFileError, CheckpointError
        If there is none, or the file is something else.
    """
    file = path / QUANTIZER if path.is_dir() else path
    return load_quantizer(file), quantizer_settings(file)
