"""A work folder to the whole of nano, step by step: speech, codec, units, the three stages, the
model folder.

    python -m training.nano all --work DIR [--real DIR]
    python -m training.nano STEP --work DIR [--steps N]
    python -m training.nano all --work DIR --hours 0.05 --voices 8 --steps 10   # a trial

Every step skips what is there already and goes on where it was stopped: ``all`` may be killed and
run again."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.codec.mel import MelCodec, MelCodecConfig
from bark.devices import choose_device
from bark.errors import BarkError
from bark.storage.atomic import atomic_write
from bark.storage.weights import weights_digest
from training.engine.trainer import Trainer, TrainerOptions
from training.nano.corpus.corpus import CorpusOptions, load_voice, make_corpus, voice_paths
from training.nano.hubert.tokens import make_tokens
from training.nano.hubert.train import HubertOptions, train_hubert

from .assemble import assemble, make_voices
from .codec import CodecObjective, CodecRecipe, CodecTraining, SpeechPool
from .quantizer import QuantizerOptions, speak_pairs, train_quantizer
from .stages import HUBERT, STAGES, StageOptions, train_stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NanoOptions:
    """What a step is told."""

    work: Path
    real: Path | None = None  # recordings, for codec, coarse and fine
    steps: int | None = None  # training steps, instead of the recipe's
    hours: float = CorpusOptions.hours  # synthetic speech
    voices: int = CorpusOptions.voices  # synthetic training voices
    seed: int = 0
    device: str | None = None
    init: Path | None = None  # weights that a stage begins with
    learning_rate: float | None = None  # of a stage; none: the recipe's
    real_share: float = (
        StageOptions.real_share
    )  # of what a stage learns from, drawn from recordings
    width: int | None = None  # of a stage's network; none: the recipe's
    layers: int | None = None


STEPS_OF_TRAINING = {"codec": 4500, "semantic": 9000, "coarse": 16000, "fine": 4000}


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
    """Write ``codes/<voice>.npz`` for every voice: ``codes`` (8, N / 320) int16, utterance by
    utterance.
    """
    codec = MelCodec.load(options.work / "codec").to(choose_device(options.device or "auto"))
    mark = weights_digest(codec.network)
    for path in voice_paths(options.work):
        target = options.work / "codes" / path.name
        if _is_current(target, path, mark):
            continue
        voice = load_voice(path)
        audio = voice.audio.astype(np.float32) / 32768
        pairs = zip(voice.starts[:-1], voice.starts[1:], strict=True)
        codes = np.concatenate([codec.encode(audio[first:last]) for first, last in pairs], axis=1)
        with atomic_write(target) as temporary:
            np.savez(temporary, codes=codes.astype(np.int16), codec=mark)


def _is_current(codes: Path, voice: Path, mark: str) -> bool:
    """Tell whether codes are newer than their voice and of this codec."""
    if not codes.is_file() or codes.stat().st_mtime <= voice.stat().st_mtime:
        return False
    with np.load(codes, allow_pickle=False) as file:
        return "codec" in file and str(file["codec"]) == mark


def train(stage: str, options: NanoOptions) -> None:
    """Train one of the three stages in ``runs/<stage>``."""
    chosen = StageOptions(
        steps=options.steps or STEPS_OF_TRAINING[stage],
        seed=options.seed,
        device=options.device,
        init=options.init,
        learning_rate=options.learning_rate,
        real_share=options.real_share,
        width=options.width,
        layers=options.layers,
    )
    result = train_stage(stage, options.work, chosen)
    logger.info(
        "%s: best validation loss %.3f at step %d", stage, result.best_loss, result.best_step
    )


def make_speech(options: NanoOptions) -> None:
    """Synthesise the corpus and convert the recordings into ``corpus/``."""
    sizes: dict[str, Any] = {"hours": options.hours, "voices": options.voices, "seed": options.seed}
    make_corpus(
        CorpusOptions(options.work, options.real, processes=torch.get_num_threads(), **sizes)
    )


def train_listener(options: NanoOptions) -> None:
    """Train HuBERT-nano and its k-means units and write ``hubert_nano/``."""
    given = options.steps
    steps: dict[str, Any] = {} if given is None else {"steps": given, "teacher_steps": given}
    steps["device"] = options.device
    train_hubert(HubertOptions(options.work, options.work / HUBERT, seed=options.seed, **steps))


def tokenise_corpus(options: NanoOptions) -> None:
    """Write ``tokens/<voice>.npz``: the semantic tokens of every voice."""
    make_tokens(options.work, options.work / HUBERT, processes=torch.get_num_threads())


def write_model(options: NanoOptions) -> None:
    """Assemble ``model/`` and clone its preset voices."""
    assemble(options.work, options.work / "model")
    make_voices(options.work, options.work / "model")


def train_own_quantizer(options: NanoOptions) -> None:
    """Let ``model/`` speak pairs and train the LSTM quantizer that hears them, in
    ``hubert_nano/``.
    """
    given = options.steps
    sizes: dict[str, Any] = (
        {} if given is None else {"steps": given, "pairs": min(given, QuantizerOptions.pairs)}
    )
    plan = QuantizerOptions(seed=options.seed, device=options.device, **sizes)
    model, hubert = options.work / "model", options.work / HUBERT
    pairs = speak_pairs(model, hubert, options.work / "pairs", plan.pairs, options.device or "auto")
    found = train_quantizer(pairs, options.work / "runs" / "quantizer", hubert, plan)
    logger.info("quantizer: %.1f %% of the test tokens named wrong", 100 * (1 - found.top1))


STEPS: dict[str, Callable[[NanoOptions], None]] = {
    "corpus": make_speech,
    "codec": train_codec,
    "codes": encode_corpus,
    "hubert": train_listener,
    "tokens": tokenise_corpus,
    **{stage: partial(train, stage) for stage in STAGES},
    "model": write_model,
    "quantizer": train_own_quantizer,
}
# Lanes of a wave run side by side and share the threads; a step needs all earlier waves. Semantic
# and coarse, which take most of the hours, need little more than half of them with two threads:
# each has all in turn.
WAVES = (
    (("corpus",),),
    (("codec", "codes", "fine"), ("hubert", "tokens")),
    (("semantic", "coarse", "model", "quantizer"),),
)


def run_all(options: NanoOptions) -> None:
    """Run every step, the lanes of a wave side by side."""
    for wave in WAVES:
        threads = max(1, torch.get_num_threads() // len(wave))
        with ThreadPoolExecutor(len(wave)) as lanes:
            list(lanes.map(partial(_run_lane, options, threads), wave))  # raises what a lane raised


def _run_lane(options: NanoOptions, threads: int, steps: Sequence[str]) -> None:
    """Run steps one after the other, each in a process of so many threads."""
    given = {
        "--work": options.work,
        "--real": options.real,
        "--steps": options.steps,
        "--hours": options.hours,
        "--voices": options.voices,
        "--seed": options.seed,
        "--device": options.device,
    }
    flags = [
        str(part) for flag, value in given.items() if value is not None for part in (flag, value)
    ]
    for step in steps:
        command = [sys.executable, "-m", "training.nano", step, *flags]
        done = subprocess.run(
            command, check=False, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
        )
        if done.returncode:
            raise BarkError(
                f"step {step} failed", got=f"exit code {done.returncode}", fix="Run it by itself"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.nano`."""
    parser = argparse.ArgumentParser(
        prog="python -m training.nano", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("step", choices=[*STEPS, "all"])
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for everything that is made"
    )
    parser.add_argument(
        "--real", type=Path, help="folder of recordings, never those to be tested on"
    )
    parser.add_argument("--steps", type=int, help="training steps, instead of the recipe's")
    parser.add_argument(
        "--hours", type=float, default=NanoOptions.hours, help="hours of synthetic speech"
    )
    parser.add_argument(
        "--voices", type=int, default=NanoOptions.voices, help="synthetic training voices"
    )
    parser.add_argument("--seed", type=int, default=NanoOptions.seed)
    parser.add_argument("--device", help="cpu, cuda; default: a GPU where there is one")
    parser.add_argument(
        "--init", type=Path, help="weights that a stage begins with, instead of fresh ones"
    )
    parser.add_argument("--learning-rate", type=float, help="of a stage, instead of the recipe's")
    share = NanoOptions.real_share
    parser.add_argument(
        "--real-share", type=float, default=share, help="of a stage's items, from recordings"
    )
    parser.add_argument("--width", type=int, help="of a stage's network, instead of the recipe's")
    parser.add_argument("--layers", type=int, help="of a stage's network, instead of the recipe's")
    arguments = vars(parser.parse_args(argv))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    step = arguments.pop("step")
    options = NanoOptions(**arguments)
    given = [options.init, options.learning_rate, options.width, options.layers]
    if step not in STAGES and (given != [None] * 4 or options.real_share != share):
        names = "--init, --learning-rate, --real-share, --width and --layers"
        parser.error(f"{names} are for {', '.join(STAGES)}, not for {step}")
    try:
        logger.info("step %s", step)
        if step == "all":
            run_all(options)
        else:
            STEPS[step](options)
    except BarkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
