"""Makes nano in a work folder, step by step: speech, codec, units, the three stages, the model.

Every step skips what is there already and goes on where it was stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from training.engine.progress import SILENT, Progress
from training.engine.trainer import Trainer, TrainerOptions
from training.nano.corpus.corpus import CorpusOptions, load_voice, make_corpus, voice_paths
from training.nano.hubert.tokens import make_tokens
from training.nano.hubert.train import HubertOptions, train_hubert

from .assemble import assemble, make_voices
from .codec import CodecObjective, CodecRecipe, CodecTraining, SpeechPool
from .decoder import train_decoder
from .mel_decoder import train_mel_decoder
from .options import NanoOptions as NanoOptions
from .quantizer import QuantizerOptions, speak_pairs, train_quantizer
from .stages import HUBERT, STAGES, StageOptions, train_stage

STEPS_OF_TRAINING = {"codec": 4500, "semantic": 9000, "coarse": 16000, "fine": 4000}


def train_codec(options: NanoOptions, progress: Progress = SILENT) -> None:
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
    shown: dict[str, Any] = {"progress": progress, "what": "training the codec"}
    Trainer(network, objective, options.work / "runs" / "codec", trainer_options, **shown).run()
    MelCodec(network.autoencoder).save(options.work / "codec")


def encode_corpus(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Write ``codes/<voice>.npz`` for every voice: ``codes`` (8, N / 320) int16, utterance by
    utterance.
    """
    codec = MelCodec.load(options.work / "codec").to(choose_device(options.device or "auto"))
    mark = weights_digest(codec.network)
    paths = voice_paths(options.work)
    with progress.task("codes", len(paths), "voice") as advance:
        for path in paths:
            target = options.work / "codes" / path.name
            if not _is_current(target, path, mark):
                _encode_voice(codec, path, target, mark)
            advance(1)


def _encode_voice(codec: MelCodec, path: Path, target: Path, mark: str) -> None:
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


def train(stage: str, options: NanoOptions, progress: Progress = SILENT) -> None:
    """Train one of the three stages in ``runs/<stage>``."""
    chosen = StageOptions(
        steps=options.steps or STEPS_OF_TRAINING[stage],
        seed=options.seed,
        device=options.device,
        init=options.init,
        learning_rate=options.learning_rate,
        **({} if options.real_share is None else {"real_share": options.real_share}),
        width=options.width,
        layers=options.layers,
    )
    result = train_stage(stage, options.work, chosen, progress)
    progress.line(
        f"{stage}: best validation loss {result.best_loss:.3f} at step {result.best_step}"
    )


def make_speech(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Synthesise the corpus and convert the recordings into ``corpus/``."""
    sizes: dict[str, Any] = {"hours": options.hours, "voices": options.voices, "seed": options.seed}
    make_corpus(
        CorpusOptions(options.work, options.real, processes=torch.get_num_threads(), **sizes),
        progress,
    )


def train_listener(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Train HuBERT-nano and its k-means units and write ``hubert_nano/``."""
    given = options.steps
    steps: dict[str, Any] = {} if given is None else {"steps": given, "teacher_steps": given}
    steps["device"] = options.device
    train_hubert(
        HubertOptions(options.work, options.work / HUBERT, seed=options.seed, **steps), progress
    )


def tokenise_corpus(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Write ``tokens/<voice>.npz``: the semantic tokens of every voice."""
    threads = torch.get_num_threads()
    make_tokens(options.work, options.work / HUBERT, processes=threads, progress=progress)


def write_model(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Assemble ``model/`` and clone its preset voices."""
    assemble(options.work, options.work / "model")
    make_voices(options.work, options.work / "model")


def train_own_quantizer(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Let ``model/`` speak pairs and train its LSTM quantizer on them, in ``hubert_nano/``."""
    given = options.steps
    sizes: dict[str, Any] = (
        {} if given is None else {"steps": given, "pairs": min(given, QuantizerOptions.pairs)}
    )
    plan = QuantizerOptions(seed=options.seed, device=options.device, **sizes)
    model, hubert = options.work / "model", options.work / HUBERT
    device = options.device or "auto"
    pairs = speak_pairs(model, hubert, options.work / "pairs", plan.pairs, device, progress)
    found = train_quantizer(pairs, options.work / "runs" / "quantizer", hubert, plan, progress)
    progress.line(f"quantizer: {1 - found.top1:.1%} of the test tokens named wrong")


WORK_OF: dict[str, Callable[[NanoOptions, Progress], None]] = {
    "corpus": make_speech,
    "codec": train_codec,
    "decoder": train_decoder,
    "codes": encode_corpus,
    "hubert": train_listener,
    "tokens": tokenise_corpus,
    **{stage: partial(train, stage) for stage in STAGES},
    "mel": train_mel_decoder,
    "model": write_model,
    "quantizer": train_own_quantizer,
}
# Lanes of a wave run side by side and share the threads; a step needs all earlier waves. Semantic
# and coarse, which take most of the hours, need little more than half of them with two threads:
# each has all in turn.
WAVES = (
    (("corpus",),),
    (("codec", "codes", "fine", "mel"), ("hubert", "tokens")),
    (("semantic", "coarse", "model", "quantizer"),),
)


def run_all(options: NanoOptions) -> None:
    """Run every step, the lanes of a wave side by side."""
    for wave in WAVES:
        threads = max(1, torch.get_num_threads() // len(wave))
        with ThreadPoolExecutor(len(wave)) as lanes:
            lines = len(wave) > 1  # bars of two processes would overwrite each other
            work = partial(_run_lane, options, threads, lines)
            list(lanes.map(work, wave))  # raises what a lane raised


def _run_lane(options: NanoOptions, threads: int, lines: bool, steps: Sequence[str]) -> None:
    """Run steps one after the other, each in a process of so many threads."""
    given = {
        "--work": options.work,
        "--steps": options.steps,
        "--hours": options.hours,
        "--voices": options.voices,
        "--seed": options.seed,
        "--device": options.device,
    }
    flags = [
        str(part) for flag, value in given.items() if value is not None for part in (flag, value)
    ]
    flags += [str(part) for folder in options.real for part in ("--real", folder)]
    flags += ["--lines"] if lines else []
    for step in steps:
        command = [sys.executable, "-m", "training.nano", step, *flags]
        done = subprocess.run(
            command, check=False, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
        )
        if done.returncode:
            raise BarkError(
                f"step {step} failed", got=f"exit code {done.returncode}", fix="Run it by itself"
            )
