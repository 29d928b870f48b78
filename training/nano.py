"""A work folder to the whole of nano, step by step: speech, codec, units, the three stages, the model folder.

    python -m training.nano all --work DIR [--real DIR]
    python -m training.nano STEP --work DIR [--steps N]

Every step skips what is there already and goes on where it was stopped: ``all`` may be killed and run again.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bark.codec_mel import MelCodec, MelCodecConfig
from bark.errors import BarkError
from bark.files import atomic_write
from hubert.trainer import Trainer, TrainerOptions

from .codec import CodecObjective, CodecRecipe, CodecTraining, SpeechPool
from .corpus import load_voice, voice_paths
from .stages import STAGES, train_stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NanoOptions:
    """What a step is told."""

    work: Path
    real: Path | None = None  # recordings, for codec, coarse and fine
    steps: int | None = None  # training steps, instead of the recipe's
    seed: int = 0
    device: str | None = None


STEPS_OF_TRAINING = {"codec": 4500, "semantic": 12_000, "coarse": 8_000, "fine": 8_000}


def train_codec(options: NanoOptions) -> None:
    """Train the codec on the corpus and write ``codec/``."""
    recipe = CodecRecipe()
    torch.manual_seed(options.seed)
    network = CodecTraining(MelCodecConfig())
    objective = CodecObjective(SpeechPool(options.work, recipe), recipe)
    trainer_options = TrainerOptions(
        steps=options.steps or STEPS_OF_TRAINING["codec"],
        learning_rate=2e-3,
        warmup=40,
        betas=(0.8, 0.98),
        weight_decay=0.01,
        seed=options.seed,
        device=options.device,
    )
    Trainer(network, objective, options.work / "runs" / "codec", trainer_options).run()
    MelCodec(network.autoencoder).save(options.work / "codec")


def encode_corpus(options: NanoOptions) -> None:
    """Write ``codes/<voice>.npz`` for every voice: ``codes`` (8, N / 320) int16, utterance by utterance."""
    codec = MelCodec.load(options.work / "codec")
    for path in voice_paths(options.work):
        target = options.work / "codes" / path.name
        if target.is_file() and target.stat().st_mtime > path.stat().st_mtime:
            continue
        voice = load_voice(path)
        audio = voice.audio.astype(np.float32) / 32768
        pairs = zip(voice.starts[:-1], voice.starts[1:], strict=True)
        codes = np.concatenate([codec.encode(audio[first:last]) for first, last in pairs], axis=1)
        with atomic_write(target) as temporary:
            np.savez(temporary, codes=codes.astype(np.int16))


def train(stage: str, options: NanoOptions) -> None:
    """Train one of the three stages in ``runs/<stage>``."""
    result = train_stage(
        stage, options.work, options.steps or STEPS_OF_TRAINING[stage], options.seed, options.device
    )
    logger.info("%s: best validation loss %.3f at step %d", stage, result.best_loss, result.best_step)


STEPS: dict[str, Callable[[NanoOptions], None]] = {
    "codec": train_codec,
    "codes": encode_corpus,
    **{stage: partial(train, stage) for stage in STAGES},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.nano`."""
    parser = argparse.ArgumentParser(
        prog="python -m training.nano", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("step", choices=[*STEPS, "all"])
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--real", type=Path, help="folder of recordings, never those to be tested on")
    parser.add_argument("--steps", type=int, help="training steps, instead of the recipe's")
    parser.add_argument("--seed", type=int, default=NanoOptions.seed)
    parser.add_argument("--device", help="cpu, cuda; default: a GPU where there is one")
    arguments = vars(parser.parse_args(argv))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    step = arguments.pop("step")
    options = NanoOptions(**arguments)
    try:
        for name in STEPS if step == "all" else [step]:
            logger.info("step %s", name)
            STEPS[name](options)
    except BarkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
