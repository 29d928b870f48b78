"""Runs the campaigns: ``python -m tests.fuzz [all|files|audio|texts|http] SEED MINUTES`` and
``python -m tests.fuzz kills SEED COUNT``; ends with 1 if anything was found."""

import logging
import sys
from collections.abc import Callable

from . import Outcome, audio, files, http, kills, texts

TIMED: dict[str, Callable[[int, float], Outcome]] = {
    "files": files.campaign,
    "audio": audio.outcome,
    "texts": texts.campaign,
    "http": http.campaign,
}


def main(kind: str, seed: str, most: str) -> int:
    logging.basicConfig(handlers=[logging.NullHandler()])  # our own warnings are no faults
    names = list(TIMED) if kind == "all" else [kind]
    faults = 0
    for name in names:
        if name == "kills":
            done = kills.campaign(int(seed), int(most))
        else:
            done = TIMED[name](int(seed), 60 * float(most) / len(names))
        sys.stdout.write(f"{name}, seed {seed}\n{done}\n")
        sys.stdout.flush()
        faults += len(done.faults)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
