"""The speech corpus to HuBERT-nano, its k-means units, and every utterance's semantic tokens.

    python -m training.hubert train  --work DIR [--steps N] [--clusters K] [--out FOLDER]
    python -m training.hubert tokens --work DIR [--out FOLDER] [--processes 2]
    python -m training.hubert report --work DIR [--out FOLDER] [--real-eval DIR]

`train` teaches a log-mel network by flite's alignments, then HuBERT-nano by both; interrupted, it goes on
from its last checkpoint. `tokens` writes `DIR/tokens/<voice>.npz`: `semantic` (N / 480,) uint16 and the
corpus's `starts`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from bark.errors import BarkError
from bark.files import atomic_write

from .corpus import iter_voices
from .crops import Crops, Listening, to_listening
from .hubert_model import Student, new_hubert
from .synthesis import UNKNOWN
from .teacher import Teacher, train_teacher
from .tokens import make_tokens, save_listener, unit_report

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubertOptions:
    work: Path
    out: Path  # the finished HuBERT folder
    steps: int = 1800
    teacher_steps: int = 1600
    batch: int = 16  # crops; a quarter of them without phone labels
    units: int = 150  # length of a crop, 3 s
    lr: float = 2e-3
    warmup: int = 100  # steps
    clusters: int = 250
    kmeans_crops: int = 700  # of 6 s each: 210 000 features
    save_every: int = 200  # steps
    seed: int = 0


def train_hubert(options: HubertOptions) -> None:
    """Train teacher, student and k-means and write the HuBERT folder."""
    voices = to_listening(iter_voices(options.work, "train"))
    labelled = [voice for voice in voices if (voice.phones != UNKNOWN).any()]
    unlabelled = [voice for voice in voices if not (voice.phones != UNKNOWN).any()]
    logger.info("%d labelled voices, %d without labels", len(labelled), len(unlabelled))
    teacher = _teacher(options, labelled)
    hubert = _student(options, teacher, labelled, unlabelled).hubert.eval()
    save_listener(
        hubert,
        voices,
        options.out,
        clusters=options.clusters,
        crops=options.kmeans_crops,
        seed=options.seed,
    )


def _teacher(options: HubertOptions, labelled: list[Listening]) -> Teacher:
    path = options.work / "hubert" / "teacher.pt"
    if path.exists():
        teacher = Teacher()
        teacher.load_state_dict(torch.load(path, weights_only=True))
        return teacher.eval().requires_grad_(False)
    teacher = train_teacher(
        Crops(labelled, seed=options.seed), steps=options.teacher_steps, seed=options.seed
    )
    with atomic_write(path) as temporary:
        torch.save(teacher.state_dict(), temporary)
    return teacher


def _student(
    options: HubertOptions, teacher: Teacher, labelled: list[Listening], unlabelled: list[Listening]
) -> Student:
    """Train HuBERT-nano, or finish training it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = options.work / "hubert" / "student.pt"
    student = Student(new_hubert(options.seed)).train().to(device)
    teacher = teacher.to(device)
    optimizer = torch.optim.AdamW(student.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=0.01)
    done = 0
    if path.exists():
        state = torch.load(path, weights_only=True, map_location=device)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["step"]
    spread = _bottleneck_spread(teacher, labelled, options.seed)
    known = Crops(labelled, seed=options.seed * 1_000_003 + done)
    unknown = Crops(unlabelled, seed=options.seed * 1_000_003 + done + 1) if unlabelled else None
    for step in range(done, options.steps):
        warm = min(1.0, (step + 1) / options.warmup)
        for group in optimizer.param_groups:
            group["lr"] = options.lr * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * step / options.steps)))
        loss, accuracy = _student_loss(student, teacher, known, unknown, options, spread)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            logger.info("student step %d loss %.3f phone accuracy %.3f", step, loss.item(), accuracy)
        if (step + 1) % options.save_every == 0 or step + 1 == options.steps:
            with atomic_write(path) as temporary:
                state = {
                    "student": student.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                }
                torch.save(state, temporary)
    return student.cpu()


def _student_loss(
    student: Student,
    teacher: Teacher,
    known: Crops,
    unknown: Crops | None,
    options: HubertOptions,
    spread: tuple[torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, float]:
    """Return the loss of one batch and the share of labelled frames heard rightly.

    Phones by their labels, where there are any; the teacher's phone probabilities; its bottleneck, whitened.
    The teacher hears the crop clean, the student augmented.
    """
    mean, std = spread
    extra = options.batch // 4 if unknown is not None else 0
    waves, phones = known.draw(options.batch - extra, options.units)
    if unknown is not None and extra:
        more, no_phones = unknown.draw(extra, options.units)
        waves, phones = torch.cat([waves, more]), torch.cat([phones, no_phones])
    heard, waves, phones = known.augment(waves).to(mean.device), waves.to(mean.device), phones.to(mean.device)
    with torch.autocast(mean.device.type, torch.bfloat16):
        with torch.no_grad():
            true_bottleneck, true_logits = teacher(waves)
        _, logits, bottleneck = student(heard)
    logits = logits.float().flatten(0, 1)
    phones = phones.flatten()
    by_label = functional.cross_entropy(logits, phones, ignore_index=-100)
    by_teacher = functional.cross_entropy(logits, true_logits.float().softmax(-1).flatten(0, 1))
    whitened = (true_bottleneck.float() - mean) / std
    by_bottleneck = functional.mse_loss(bottleneck.float(), whitened)
    with torch.no_grad():
        labelled = phones >= 0
        accuracy = (logits.argmax(1) == phones)[labelled].float().mean().item()
    return by_label + 0.5 * by_teacher + 0.5 * by_bottleneck, accuracy


@torch.no_grad()
def _bottleneck_spread(
    teacher: Teacher, voices: list[Listening], seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of the teacher's bottleneck, (96,) each."""
    waves, _ = Crops(voices, seed=seed).draw(64, 100)
    bottleneck = teacher(waves.to(teacher.filters.device))[0].flatten(0, 1)
    return bottleneck.mean(0), bottleneck.std(0) + 1e-3


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.hubert STEP`."""
    parser = argparse.ArgumentParser(prog="python -m training.hubert", description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("train", "tokens", "report"))
    parser.add_argument("--work", type=Path, required=True, help="folder for everything the recipes make")
    parser.add_argument("--out", type=Path, help="the HuBERT folder; default: WORK/hubert_nano")
    parser.add_argument(
        "--steps", type=int, default=HubertOptions.steps, help="training steps of HuBERT-nano"
    )
    parser.add_argument("--clusters", type=int, default=HubertOptions.clusters, help="semantic vocabulary")
    parser.add_argument("--seed", type=int, default=HubertOptions.seed)
    parser.add_argument("--processes", type=int, default=2, help="for tokens")
    parser.add_argument("--real-eval", type=Path, help="recordings never trained on, for the report")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    out = args.out or args.work / "hubert_nano"
    try:
        if args.step == "train":
            train_hubert(
                HubertOptions(args.work, out, steps=args.steps, clusters=args.clusters, seed=args.seed)
            )
        elif args.step == "tokens":
            logger.info("%d voices tokenised", make_tokens(args.work, out, processes=args.processes))
        else:
            report = unit_report(args.work, out, args.real_eval)
            print(json.dumps(report, indent=1))  # noqa: T201
    except BarkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
