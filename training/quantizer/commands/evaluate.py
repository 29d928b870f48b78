"""``python -m hubert.evaluate``: measures a quantizer.

python -m hubert.evaluate RUN|quantizer.pth DIR [--split test] [--round-trip 20 --model nano]
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bark import commandline
from bark.commandline import OneLineParser, choice, say, whole
from bark.errors import SettingError
from training.engine.progress import Progress

from .train import frames_of_shift

if TYPE_CHECKING:
    from hubert.quantizer.base import Quantizer
    from training.quantizer.dataset import PreparedDataset

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog="python -m hubert.evaluate",
        description="Measure a quantizer on pairs it was not trained on.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument(
        "quantizer", type=Path, help="folder of a training run, or a quantizer file"
    )
    parser.add_argument("dataset", type=Path, help="folder made by hubert.prepare")
    parser.flag("--split", choice(*SPLITS), "default: test", "test")
    frames = commandline.Kind("FRAMES", frames_of_shift)
    parser.flag(
        "--shift", frames, "token t belongs to frame t + shift (default: the run's, else 0)"
    )
    parser.flag("--round-trip", whole(0), "pairs to send through Bark and back", 0)
    parser.flag("--model", commandline.MODEL, "Bark for the round trip (default: large)", "large")
    parser.flag(
        "--out", commandline.FOLDER, "folder of table and picture (default: beside the quantizer)"
    )
    parser.flag("--device", commandline.DEVICE, "auto, cpu, cuda or mps (default: auto)", "auto")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the figures were written."""
    return commandline.run("evaluate", lambda: _work(argv))


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    commandline.log_to_stderr(logging.INFO)
    say(_run(arguments).rstrip())
    return 0


def _run(arguments: argparse.Namespace) -> str:
    from bark.devices import choose_device
    from bark.storage.atomic import atomic_write_text
    from training.quantizer.dataset import PreparedDataset
    from training.quantizer.evaluate import draw, evaluate, open_quantizer, table

    shown = Progress(sys.stderr)
    dataset = PreparedDataset.load(arguments.dataset)
    quantizer, settings = open_quantizer(arguments.quantizer)
    quantizer = quantizer.to(choose_device(arguments.device))
    shift = settings.get("shift", 0) if arguments.shift is None else arguments.shift
    if settings.get("data", dataset.fingerprint) != dataset.fingerprint:
        logger.warning(
            "it was trained on other data, or on other splits of these: some pairs may be in both"
        )
    result = evaluate(quantizer, dataset, arguments.split, shift, shown)
    trip = None
    if arguments.round_trip:
        trip = _bark_round_trip(quantizer, dataset, arguments, shift, shown)
    beside = arguments.quantizer if arguments.quantizer.is_dir() else arguments.quantizer.parent
    out = Path(arguments.out or beside)
    text = table(result, trip)
    atomic_write_text(
        out / "evaluation.md", f"# {arguments.split} split of {dataset.folder.name}\n\n{text}"
    )
    record = result.figures() | ({"round_trip": trip} if trip else {})
    atomic_write_text(out / "evaluation.json", json.dumps(record, indent=1) + "\n")
    try:
        draw(result, out / "evaluation.png")
    except SettingError as error:
        logger.warning("%s", error)
    return f"{text}\nwritten: {out / 'evaluation.md'}, evaluation.json and evaluation.png"


def _bark_round_trip(
    quantizer: "Quantizer",
    dataset: "PreparedDataset",
    arguments: argparse.Namespace,
    shift: int,
    shown: Progress,
) -> dict[str, float]:
    from bark.audio.read import resample
    from bark.pipeline import Bark
    from hubert.features import HubertFeatures
    from training.quantizer.evaluate import bark_speak, round_trip

    bark = Bark.from_pretrained(arguments.model, device=arguments.device, progress=shown.bar)
    encoder = dataset.encoder
    features = HubertFeatures.from_pretrained(encoder["hubert"], encoder["layer"])
    if quantizer.output_size != bark.layout.semantic_vocab:
        raise SettingError(
            f"{arguments.model} speaks another vocabulary",
            bark.layout.semantic_vocab,
            quantizer.output_size,
        )

    def listen(audio: np.ndarray) -> np.ndarray:
        return features(resample(audio, bark.layout.sample_rate, features.sample_rate))

    speak, count = bark_speak(bark), arguments.round_trip
    return round_trip(quantizer, dataset, count, speak, listen, arguments.split, shift, shown)


if __name__ == "__main__":
    sys.exit(main())
