"""The settings of a training run, its learning rate step by step, and how it ended.

Apart from the trainer, so that a command line can show them without importing torch.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainerOptions:
    """How long and how fast to train, and what to keep."""

    steps: int
    learning_rate: float = 1.5e-3
    warmup: int = 60  # steps
    final_rate: float = 0.02  # share of the learning rate left at the last step
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.03  # matrices only; vectors and tables of positions are left alone
    # or "muon": Muon for the matrices of hidden layers, AdamW for the rest
    optimizer: str = "adamw"
    clip: float = 1.0  # norm of all gradients
    seed: int = 0
    validate_every: int = 250  # steps
    # validations without a better loss before the run stops; none: never
    patience: int | None = None
    checkpoint_every: int = 250  # steps
    checkpoint_seconds: float = 30.0  # at the latest; rarer where writing one takes long
    keep: int = 2  # checkpoints
    log_every: int = 25  # steps
    mixed_precision: str = "auto"  # `choose_precision`; or "bf16", "fp16" (CUDA), "no"
    device: str | None = None  # "cpu" keeps off a GPU


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended."""

    step: int  # steps done
    best_step: int
    best_loss: float  # validation loss at that step
    early: bool  # stopped for want of progress


def learning_rate(step: int, options: TrainerOptions) -> float:
    """Return the rate of a step: linear warm-up times a cosine down to the final share."""
    rise = min(1.0, (step + 1) / max(1, options.warmup))
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / options.steps)))
    return options.learning_rate * rise * (options.final_rate + (1 - options.final_rate) * fall)
