"""Trains HuBERT-nano on the corpus, with a teacher that knows phones.

    python -m training.nano.hubert.train train  --work DIR [--steps N] [--clusters K] [--out FOLDER]
    python -m training.nano.hubert.train tokens --work DIR [--out FOLDER] [--processes 2]
    python -m training.nano.hubert.train report --work DIR [--out FOLDER] [--real-eval DIR]

`train` teaches a log-mel network by flite's alignments, then HuBERT-nano by both; interrupted, it
goes on from its last checkpoint. `tokens` writes `DIR/tokens/<voice>.npz`: `semantic` (N / 480,)
uint16 and the corpus's `starts`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bark.commandline import log_to_stderr
from bark.errors import BarkError
from training.engine.progress import SILENT, Progress
from training.engine.trainer import Trainer, TrainerOptions
from training.nano.corpus.corpus import iter_voices
from training.stages.alignment import UNKNOWN

from .crops import Crops, augment, to_listening
from .network import Student, new_hubert
from .teacher import Teacher, TeacherObjective, phone_loss
from .tokens import make_tokens, save_listener, unit_report

logger = logging.getLogger(__name__)

RUNS = "runs"  # folder of the trainer's checkpoints, below the work folder


@dataclass(frozen=True)
class HubertOptions:
    work: Path
    out: Path  # the finished HuBERT folder
    steps: int = 9000
    teacher_steps: int = 6000
    batch: int = 16  # crops; a quarter of them without phone labels
    units: int = 150  # length of a crop, 3 s
    clusters: int = 250
    kmeans_crops: int = 700  # of 6 s each: 210 000 features
    seed: int = 0
    device: str | None = None  # "cpu" keeps off a GPU


def train_hubert(options: HubertOptions, progress: Progress = SILENT) -> None:
    """Train teacher, student and k-means and write the HuBERT folder; skip what is done already."""
    voices = to_listening(iter_voices(options.work, "train"))
    held_out = Crops(to_listening(iter_voices(options.work, "heldout")))
    known = [voice for voice in voices if (voice.phones != UNKNOWN).any()]
    unknown = [voice for voice in voices if not (voice.phones != UNKNOWN).any()]
    logger.info("%d voices with phone labels, %d without", len(known), len(unknown))
    teacher = train_teacher(options, Crops(known), held_out, progress)
    student = train_student(
        options, teacher, Crops(known), Crops(unknown) if unknown else None, held_out, progress
    )
    newest = max(
        path.stat().st_mtime for path in (options.work / RUNS / "hubert").glob("checkpoint-*")
    )
    centers = options.out / "kmeans.npz"
    if not centers.is_file() or centers.stat().st_mtime < newest:
        hubert = student.hubert.cpu().eval()
        sizes = {"clusters": options.clusters, "crops": options.kmeans_crops}
        save_listener(hubert, voices, options.out, **sizes, seed=options.seed)


def train_teacher(
    options: HubertOptions, crops: Crops, held_out: Crops, progress: Progress = SILENT
) -> Teacher:
    """Train the log-mel network, or take it from its checkpoint."""
    torch.manual_seed(options.seed)
    teacher = Teacher()
    objective = TeacherObjective(crops, held_out, batch=options.batch)
    rates = TrainerOptions(
        steps=options.teacher_steps,
        learning_rate=2e-3,
        warmup=20,
        seed=options.seed,
        device=options.device,
    )
    shown: dict[str, Any] = {"progress": progress, "what": "training the teacher"}
    Trainer(teacher, objective, options.work / RUNS / "teacher", rates, **shown).run()
    return teacher.cpu().eval().requires_grad_(False)


def train_student(
    options: HubertOptions,
    teacher: Teacher,
    known: Crops,
    unknown: Crops | None,
    held_out: Crops,
    progress: Progress = SILENT,
) -> Student:
    """Train HuBERT-nano, or take it from its checkpoint."""
    student = Student(new_hubert(options.seed))
    student.hubert.set_attn_implementation(
        "eager"
    )  # on a CPU a step takes two thirds of the time with it
    objective = StudentObjective(teacher, known, unknown, held_out, options)
    rates = TrainerOptions(
        steps=options.steps,
        learning_rate=2e-3,
        warmup=100,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        seed=options.seed,
        device=options.device,
    )
    shown: dict[str, Any] = {"progress": progress, "what": "training HuBERT"}
    Trainer(student, objective, options.work / RUNS / "hubert", rates, **shown).run()
    return student


class StudentObjective:
    """What the trainer asks of HuBERT-nano: augmented crops, and its distance from labels and
    teacher.
    """

    def __init__(
        self,
        teacher: Teacher,
        known: Crops,
        unknown: Crops | None,
        held_out: Crops,
        options: HubertOptions,
    ) -> None:
        self.teacher, self.known, self.unknown, self.held_out = teacher, known, unknown, held_out
        self.rows, self.units = options.batch, options.units
        clean, _ = known.draw(64, 100, np.random.default_rng(options.seed))
        with torch.no_grad():
            bottleneck = teacher(clean)[0].flatten(0, 1)
        self.mean, self.std = bottleneck.mean(0), bottleneck.std(0) + 1e-3  # (96,) each, to whiten

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        """Draw ``clean`` and ``heard`` (B, N) and ``phones`` (B, S); a quarter has no labels."""
        extra = self.rows // 4 if self.unknown is not None else 0
        waves, phones = self.known.draw(self.rows - extra, self.units, generator)
        if self.unknown is not None and extra:
            more, no_phones = self.unknown.draw(extra, self.units, generator)
            waves, phones = torch.cat([waves, more]), torch.cat([phones, no_phones])
        return {"clean": waves, "heard": augment(waves, generator), "phones": phones}

    def validation(self) -> Iterator[dict[str, Tensor]]:
        """Yield four fixed batches of held-out voices, clean."""
        generator = np.random.default_rng(2**31)
        for _ in range(4):
            waves, phones = self.held_out.draw(self.rows, self.units, generator)
            yield {"clean": waves, "heard": waves, "phones": phones}

    def begin_step(self, network: Student, step: int, seed: int) -> None:
        """Do nothing."""

    def loss(
        self, network: Student, batch: dict[str, Tensor], step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and the share of labelled frames whose phone is right.

        Phones by their labels, where there are any; the teacher's phone probabilities; its
        bottleneck, whitened. The teacher gets the clean crop, the student the augmented."""
        device = batch["clean"].device
        with torch.no_grad():
            true_bottleneck, true_logits = self.teacher.to(device)(batch["clean"])
        _, logits, bottleneck = network(batch["heard"])
        by_label, figures = phone_loss(logits, batch["phones"])
        odds = true_logits.float().softmax(-1).flatten(0, 1)
        by_teacher = functional.cross_entropy(logits.float().flatten(0, 1), odds)
        whitened = (true_bottleneck.float() - self.mean.to(device)) / self.std.to(device)
        by_bottleneck = functional.mse_loss(bottleneck.float(), whitened)
        return by_label + 0.5 * by_teacher + 0.5 * by_bottleneck, figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.nano.hubert.train STEP`."""
    parser = argparse.ArgumentParser(
        prog="python -m training.nano.hubert.train", description=__doc__.splitlines()[0]
    )
    parser.add_argument("step", choices=("train", "tokens", "report"))
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for everything the recipes make"
    )
    parser.add_argument("--out", type=Path, help="the HuBERT folder; default: WORK/hubert_nano")
    parser.add_argument(
        "--steps", type=int, default=HubertOptions.steps, help="training steps of HuBERT-nano"
    )
    parser.add_argument(
        "--clusters", type=int, default=HubertOptions.clusters, help="semantic vocabulary"
    )
    parser.add_argument("--seed", type=int, default=HubertOptions.seed)
    parser.add_argument("--processes", type=int, default=2, help="for tokens")
    parser.add_argument(
        "--real-eval", type=Path, help="recordings never trained on, for the report"
    )
    args = parser.parse_args(argv)
    log_to_stderr(logging.INFO, times=True)
    torch.set_num_threads(1)
    out, shown = args.out or args.work / "hubert_nano", Progress(sys.stderr)
    try:
        if args.step == "train":
            train_hubert(
                HubertOptions(
                    args.work, out, steps=args.steps, clusters=args.clusters, seed=args.seed
                ),
                shown,
            )
        elif args.step == "tokens":
            logger.info(
                "%d voices tokenised",
                make_tokens(args.work, out, processes=args.processes, progress=shown),
            )
        else:
            report = unit_report(args.work, out, args.real_eval)
            print(json.dumps(report, indent=1))  # noqa: T201
    except BarkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
