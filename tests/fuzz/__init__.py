"""Campaigns that look for faults: ``make fuzz`` and ``make test-kill``; a few seconds of each are tests."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What a campaign found."""

    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    growth: int = 0  # bytes of memory at most
    kinds: Counter[str] = field(default_factory=Counter)  # "target: result" → inputs
    faults: list[str] = field(default_factory=list)  # each with the seed that gives it again

    def __str__(self) -> str:
        lines = [
            f"{self.inputs:,} inputs in {self.seconds:.0f} s, the slowest {self.slowest:.2f} s, "
            f"memory + {self.growth >> 20} MiB, {len(self.faults)} faults"
        ]
        found: dict[str, list[str]] = {}
        for kind, count in sorted(self.kinds.items()):
            name, _, result = kind.partition(": ")
            found.setdefault(name, []).append(f"{result or name} {count:,}")
        lines += [f"{name:18} {', '.join(results)}" for name, results in found.items()]
        return "\n".join([*lines, *self.faults[:50]])
