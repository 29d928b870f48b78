"""What a step of nano's making can be told, and the names of the steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .corpus.corpus import CorpusOptions

STAGES = ("semantic", "coarse", "fine")
STEPS = (
    *("corpus", "codec", "codes", "decoder", "hubert", "tokens"),
    *(*STAGES, "mel", "model", "quantizer"),
)
MEL_CODEC = "mel_codec"  # folder, in the work folder, of the codec as the step mel leaves it


@dataclass(frozen=True)
class NanoOptions:
    """What a step is told."""

    work: Path
    real: tuple[Path, ...] = ()  # folders of recordings, for codec, coarse and fine
    steps: int | None = None  # training steps, instead of the recipe's
    hours: float = CorpusOptions.hours  # synthetic speech
    voices: int = CorpusOptions.voices  # synthetic training voices
    seed: int = 0
    device: str | None = None
    init: Path | None = None  # weights that a stage begins with
    learning_rate: float | None = None  # of a stage; none: the recipe's
    real_share: float | None = None  # of a stage's items, from recordings; none: the recipe's
    width: int | None = None  # of a stage's network; none: the recipe's
    layers: int | None = None
    lines: bool = False  # plain lines instead of a bar
