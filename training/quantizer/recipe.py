"""Says which quantizer to train, and how, before torch is imported: for the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark.errors import SettingError
from bark.languages import SUPPORTED_LANGS
from training.engine.options import TrainerOptions

LANGUAGES = tuple(code for _, code in SUPPORTED_LANGS)  # that Bark speaks
VERSIONS = (0, 1, 2)  # the keys of `hubert.quantizer.networks.NETWORKS`
# Token t belongs to frame t: both start at 0 s. Measured on 40 test pairs of nano: the k-means
# centre nearest to frame t + shift is not that of token t for .86, .60, .27, .62, .86 of the tokens
# at shifts -2 to 2. Trained at these shifts (quantizer_report --shifts) version 0 is wrong on .41,
# .34, .30, .30, .32 of the validation tokens, version 2 on .27, .26, .26, .26, .26.
SHIFT = 0


@dataclass(frozen=True)
class QuantizerRecipe:
    """Which quantizer to train, on which batches."""

    version: int = 2  # 0 and 1: gitmylo's networks; 2: ours
    hidden_size: int | None = None  # None: the width its version is made for
    batch: int = 16  # utterances of one step, over all processes together
    shift: int = SHIFT  # token t belongs to frame t + shift
    init: Path | None = None  # a quantizer to start from; it decides version and width
    language: str | None = None  # what the pairs speak, for the model card
    # frames of training pairs that version 2 looks up besides, at most; 0: none
    datastore: int = 100_000

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise SettingError(
                "quantizer version", got=self.version, allowed=", ".join(map(str, VERSIONS))
            )
        for name, value in (("hidden_size", self.hidden_size), ("batch", self.batch)):
            if value is not None and value < 1:
                raise SettingError(name, got=value, allowed="1 or more")
        if self.language is not None and self.language not in LANGUAGES:
            raise SettingError(
                "Bark does not speak this language", got=self.language, allowed=", ".join(LANGUAGES)
            )


def quantizer_options(**changes: Any) -> TrainerOptions:
    """Return the trainer's options for a quantizer, some of them changed."""
    own: dict[str, Any] = {
        "steps": 4000,
        "learning_rate": 1e-3,
        "warmup": 100,
        "weight_decay": 0.01,
    }
    own |= {"patience": 8}
    return TrainerOptions(**own | changes)
