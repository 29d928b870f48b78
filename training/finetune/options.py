"""The settings of a fine-tuning, apart from the work: the command line needs them alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

VALIDATION = 0.05  # share of utterances that validate, if the transcript does not say which
RATES = {"full": 1e-4, "lora": 5e-4}  # learning rates


@dataclass(frozen=True)
class FinetuneOptions:
    """What to train, and how long."""

    stage: str  # "semantic", "coarse" or "fine"
    data: Path  # made by training.finetune.prepare
    out: Path  # folder of the run
    model: str | None = None  # the Bark to start from; none: the one the data was prepared for
    init: Path | None = None  # weights to start the stage from instead of that Bark's
    lora: int | None = None  # rank of adapters; none: all weights learn
    steps: int = 1000  # at most
    batch_size: int = 4  # items as long as the stage's window
    learning_rate: float | None = None  # none: RATES
    # between validations and samples; none: an epoch, a tenth of the steps at most
    validate_every: int | None = None
    patience: int = 8  # validations without a better loss before the run stops
    samples: int = 1  # validation texts spoken at each validation
    seed: int = 0
    mixed_precision: str = "auto"
    device: str = "auto"
    log_every: int = 10  # steps
    checkpoint_seconds: float = 30.0  # after which a checkpoint is written at the latest
