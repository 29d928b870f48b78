"""What the three stages have in common: the network, the token layout, and the checks of what they
are given.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from bark.errors import BarkError, SettingError
from bark.tokens import BARK, TokenLayout

from .fit import check_fit
from .sampling import draw_rows

Draw = Callable[[torch.Tensor, Sequence[torch.Generator | None]], torch.Tensor]
"""How a stage turns probabilities (B, ..., V) into tokens (B, ...); one generator a sequence."""


class Stage:
    """A stage of Bark: its network, ready; its token numbers; how tokens are drawn from
    probabilities (B, V).

    A network that does not fit the token numbers is a `SettingError`.
    """

    name: str  # "semantic", "coarse" or "fine"

    def __init__(
        self,
        model: Any,
        layout: TokenLayout = BARK,
        draw: Draw = draw_rows,
        use_cache: bool = True,
    ) -> None:
        self.model, self.layout, self.draw = model, layout, draw
        self.use_cache = use_cache  # False recomputes everything at every step, for checks
        check_fit(model.config, self.name, layout)

    def generate(
        self,
        given: Any,
        history: Any = None,
        *,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> np.ndarray:
        """Make one utterance; arguments as of the stage's `generate_batch`, one of each."""
        stage: Any = self
        made: list[np.ndarray] = stage.generate_batch(
            [given], history, generators=[generator], **options
        )
        return made[0]


def per_item(what: str, values: Any, count: int) -> list[Any]:
    """Return one value for each item of a batch, of a list with as many or of one value for all."""
    if not isinstance(values, (list, tuple)):
        return [values] * count
    if len(values) != count:
        raise SettingError(
            what, f"{len(values)} of them", f"{count}, one for each item, or one for all"
        )
    return list(values)


def check_tokens(
    what: str, values: object, below: int, ndim: int, error: type[BarkError] = SettingError
) -> np.ndarray:
    """Return an array of token ids as int64; raise `error` for anything else.

    Whole or floating numbers in [0, below - 1] pass, the latter truncated as Suno's code does.
    """
    if not isinstance(values, np.ndarray):
        raise error(what, f"a {type(values).__name__}", "a numpy array")
    if values.ndim != ndim or values.size == 0:
        raise error(what, f"shape {values.shape}", f"a non-empty array with {ndim} dimension(s)")
    if values.dtype.kind not in "iuf":
        raise error(what, f"type {values.dtype}", "whole numbers")
    if not (values.min() >= 0 and values.max() <= below - 1):
        raise error(what, f"values {values.min()} … {values.max()}", f"0 … {below - 1}")
    return values.astype(np.int64)
