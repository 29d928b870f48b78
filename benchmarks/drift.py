"""Whether `--drift repair` keeps a long text the same person, part by part.

    python -m benchmarks.drift [--model nano] [--parts 30] [--voices alba bruno] [--picture FILE]

The same text is spoken with the same seed in each mode, measured only and repaired. "out" are the
parts that cross a limit beside the first part; likeness is resemblyzer's cosine to the voice; the
other figures are how far parts are from the first, in the mean. The last line is one JSON object.
Needs the extra ``judge`` and ``python -m hubert.likeness``.
"""

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np

from bark.longform.drift import Drift, Heard, Limits
from bark.longform.speak import Part, speak_parts
from bark.pipeline import Bark
from bark.text.dialogue import Turn
from hubert.drift import PartListener

SENTENCES = (  # of about two seconds
    "The old clock had stopped.",
    "Nobody seemed to mind at all.",
    "She opened the kitchen window.",
    "The grass was wet with rain.",
    "A grey bird sat on the wall.",
    "He put the letter back.",
    "There were steps on the stairs.",
    "We waited for the morning train.",
    "A man was reading his paper.",
    "Three children ran along with a dog.",
)


def figures(parts: Sequence[Part]) -> dict[str, float]:
    """Return how far the parts are from the first."""
    heard = [Heard.of(part.heard or {}) for part in parts]
    limits = Limits()
    far = [limits.distances(one, heard[0]) for one in heard[1:]]
    likeness = [one.likeness for one in heard if one.likeness is not None]
    last = likeness[-10:]
    return {
        "out": sum(any(value > 1 for value in one.values()) for one in far),
        "likeness": float(np.mean(likeness)),
        "least likeness": min(likeness),
        "likeness of the last 10": float(np.mean(last)),
        "clarity": float(np.mean([one.clarity for one in heard if one.clarity is not None])),
        "dB": limits.loudness * float(np.mean([one["loudness"] for one in far])),
        "semitones": limits.pitch * float(np.mean([one["pitch"] for one in far])),
        "speed": limits.speed ** float(np.mean([one["speed"] for one in far])),
        "takes": sum(part.spoken for part in parts),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--parts", type=int, default=30)
    parser.add_argument("--voices", nargs="+", default=["alba", "bruno"])
    parser.add_argument("--modes", nargs="+", default=["anchored", "chained"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", help="of the last mode and voice, without and with")
    options = parser.parse_args(argv)
    bark = Bark.from_pretrained(options.model)
    listener = PartListener(bark)
    turns = [Turn(None, SENTENCES[n % len(SENTENCES)]) for n in range(options.parts)]
    rows: dict[str, dict[str, float]] = {}
    taken: dict[str, list[Part]] = {}
    for voice in options.voices:
        for mode in options.modes:
            for how in ("measured", "repaired"):
                drift = Drift(listener, repair=how == "repaired")
                spoken = speak_parts(
                    bark, turns, voice, seed=options.seed, mode=mode, drift=drift, min_eos_p=0.05
                )
                taken[how] = list(spoken)
                rows[f"{voice}, {mode}, {how}"] = row = figures(taken[how])
                print(f"{voice:8}{mode:10}{how:10}", {k: round(v, 3) for k, v in row.items()},
                      flush=True)  # fmt: skip
    if options.picture:
        from booth.plots import drift_figure, save_figure

        parts = [
            part.record(bark.layout.sample_rate) | {"speaker": how}
            for how, found in taken.items()
            for part in found
        ]
        save_figure(drift_figure(parts, f"{options.voices[-1]}, {mode}"), options.picture)
    print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
