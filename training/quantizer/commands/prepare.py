"""``python -m hubert.prepare``: prepares pairs of audio and tokens for training.

python -m hubert.prepare DIR [--out DIR] [--hubert nano]
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from bark import commandline
from bark.commandline import OneLineParser, number, say, whole
from bark.errors import MissingFileError
from training.engine.progress import Progress

HOW_TO_GO_ON = "Finished pairs are kept: give the same command again."


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog="python -m hubert.prepare",
        description="Make a training data set: pair audio with tokens by file stem, compute "
        "HuBERT features.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument(
        "folder", type=Path, help="pairs of audio and tokens, or gitmylo's folders of zips"
    )
    parser.flag("--out", commandline.FOLDER, "folder of the data set (default: the same folder)")
    parser.flag(
        "--hubert", commandline.MODEL, "nano, a folder, a file or a hub id (default: HuBERT base)"
    )
    parser.flag("--layer", whole(0), "HuBERT layer (default: the model's own, 9 for HuBERT base)")
    parser.flag(
        "--vocabulary",
        whole(1),
        "number of tokens (default: what hubert.synthesize noted, else 10000)",
    )
    share = number(0, 1)
    parser.flag("--validation", share, "share of pairs (default: 0.1)", 0.1)
    parser.flag("--test", share, "share of pairs (default: 0.1)", 0.1)
    parser.flag("--max-refused", share, "share of bad pairs to live with (default: 0.05)", 0.05)
    parser.flag("--device", commandline.DEVICE, "auto, cpu, cuda or mps (default: auto)", "auto")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if a data set was made."""
    return commandline.run("prepare", lambda: _work(argv), HOW_TO_GO_ON)


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    commandline.log_to_stderr(logging.INFO)
    say(_run(arguments))
    return 0


def _run(arguments: argparse.Namespace) -> str:
    if not arguments.folder.is_dir():
        raise MissingFileError(f"no folder {arguments.folder}")
    from bark.devices import choose_device
    from bark.storage.weights import weights_digest
    from hubert.features import HUB_REPO, HubertFeatures
    from training.quantizer.dataset import MANIFEST
    from training.quantizer.prepare import PrepareOptions, prepare, summary, vocabulary_of

    options = PrepareOptions(
        vocabulary=arguments.vocabulary or vocabulary_of(arguments.folder),
        validation=arguments.validation,
        test=arguments.test,
        max_refused=arguments.max_refused,
    )
    name = arguments.hubert or HUB_REPO
    features = HubertFeatures.from_pretrained(
        name, arguments.layer, device=choose_device(arguments.device)
    )
    encoder = {"hubert": name, "layer": features.layer, "weights": weights_digest(features.network)}
    out = Path(arguments.out or arguments.folder)
    shown = Progress(sys.stderr)
    report = prepare(arguments.folder, out, features, encoder, options, shown)
    after = f"next: python -m hubert.train {out} --out RUN"
    return f"{summary(report)}\nwritten: {out / MANIFEST}\n{after}"


if __name__ == "__main__":
    sys.exit(main())
