"""Seeds: one number for a call, and what each stage, part and take draws from it.

The way of a seed, the same by every door:

    take_seed(seed, n)     take n of a run; the first has the run's own
    part_seed(seed, p, k)  draw k of part p of a long text; part 1 first has the take's own
    stage_seed(seed, s)    stage s of an utterance: seed, seed + 1, seed + 2

So a short text spoken by the command line, by `speak_long` and by `generate` draws the same tokens.
"""

import hashlib

import numpy as np
import torch

from bark.errors import SettingError

STAGES = ("semantic", "coarse", "fine")
MAX_SEED = 2**63 - 1


def check_seed(seed: object) -> int:
    """Return a seed as an int; refuse anything but a whole number from 0 to 2**63 - 1."""
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not whole or not 0 <= seed <= MAX_SEED:  # type: ignore[operator]
        raise SettingError("seed", repr(seed), f"a whole number from 0 to {MAX_SEED}")
    return int(seed)  # type: ignore[call-overload, no-any-return]


def new_seed(seed: int | None = None) -> int:
    """Return the seed given, checked, or one drawn from torch's global generator."""
    return int(torch.randint(2**31, ())) if seed is None else check_seed(seed)


def stage_seed(seed: int, stage: str) -> int:
    """Return the seed of one stage, so that its draws never depend on another stage's length."""
    return (seed + STAGES.index(stage)) % (MAX_SEED + 1)


def part_seed(seed: int, number: int, draw: int = 0) -> int:
    """Return the seed of part `number` (from 1) of a long text, drawn again `draw` times."""
    return seed if (number, draw) == (1, 0) else _derived(f"{seed}/{number}/{draw}", 8)


def take_seed(seed: int, number: int) -> int:
    """Return the seed of take `number` (from 0) of a run."""
    return seed if number == 0 else _derived(f"take {seed}/{number}", 4)


def _derived(name: str, count: int) -> int:
    """Return a seed of ``8 * count - 1`` bits from the hash of a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:count], "big") >> 1
