"""How many words or tokens differ between what was wanted and what was heard."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def edit_distance(reference: Sequence[Any] | np.ndarray, heard: Sequence[Any] | np.ndarray) -> int:
    """Return the fewest insertions, deletions and replacements that turn one sequence into the
    other.

    >>> edit_distance([1, 2, 3, 4], [2, 3, 5, 4, 4])
    3
    >>> edit_distance("one two three".split(), "one three".split())
    1
    """
    theirs = np.array(list(heard), dtype=object)
    steps = np.arange(len(theirs) + 1)
    row = steps.copy()
    for count, token in enumerate(reference, start=1):
        replaced = row[:-1] + (theirs != token).astype(np.int64)
        best = np.concatenate([[count], np.minimum(replaced, row[1:] + 1)])
        row = np.minimum.accumulate(best - steps) + steps  # insertions run along the row
    return int(row[-1])
