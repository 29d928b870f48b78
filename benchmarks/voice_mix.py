"""Where a mix of two voices lies between them (`bark voices mix`), by who it is heard to be like.

    python -m benchmarks.voice_mix [--model nano] [--pairs 8] [--texts 2]

Nano's eight voices in pairs, each mixed by "concat" and "alternate" in shares of the second voice;
the mix speaks texts that no voice has said. Likeness is resemblyzer's cosine to other speech of
either voice (nano speaking other texts in it). "place" is where the mix lies on the line from the
first voice's speech (0) to the second's (1): how far apart its two likenesses are, next to how far
apart they are for either voice alone. Needs ``python -m hubert.likeness``. The last line is one
JSON object.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bark.pipeline import Bark
from bark.voice import Voice, mix_voices
from hubert.likeness import VoiceEmbedder

PRESETS = ("alba", "bruno", "clara", "dario", "edith", "felix", "greta", "hugo")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SAID = (
    "The weather was fine, so we walked along the river until it was dark.",
    "She asked him twice for the key, but he had left it on the kitchen table.",
    "Seven boats came back in the evening, and one of them was full of silver fish.",
)
OTHER = (
    "In the morning the train was late again, and nobody could tell us why.",
    "My brother keeps his books in a wooden box under the stairs.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--texts", type=int, default=2, help="that each mix says, up to 3")
    options = parser.parse_args(argv)
    bark, embed = Bark.from_pretrained(options.model), VoiceEmbedder()
    rate = bark.layout.sample_rate

    def sound(voice: Voice, texts: Sequence[str], seed: int) -> np.ndarray:
        """Return the mean embedding of a voice that says texts."""
        made = bark.generate_batch(texts, voice, seeds=range(seed, seed + len(texts)))
        mean = np.mean([embed(one.audio, rate) for one in made], axis=0)
        return mean / np.linalg.norm(mean)

    voices = [Voice.load(bark.voices_folder / f"{name}.npz") for name in PRESETS]
    own = [sound(voice, OTHER, 100) for voice in voices]
    rows: dict[tuple[str, float], list[tuple[float, float]]] = defaultdict(list)
    steps = (1, 3, 2)  # neighbours first, then those three apart, ...
    pairs = [(a, (a + step) % 8) for step in steps for a in range(8)][: options.pairs]
    for number, (a, b) in enumerate(pairs):
        for by in ("concat", "alternate"):
            for share in SHARES:
                if by == "alternate" and share in (0.0, 1.0):  # one voice alone, as by concat
                    rows[by, share].append(rows["concat", share][-1])
                    continue
                mixed = mix_voices(voices[a], voices[b], by=by, share=share, layout=bark.layout)
                heard = sound(mixed, SAID[: options.texts], 10 * number)
                rows[by, share].append((float(heard @ own[a]), float(heard @ own[b])))
        print(PRESETS[a], PRESETS[b], flush=True)
    figures = []
    print(f"{'by':10}{'share':>6}{'to a':>8}{'to b':>8}{'place':>8}{'nearer b':>10}")
    for (by, share), found in rows.items():
        to_a, to_b = np.array(found).T
        ends = [np.array(rows[by, end]) for end in (0.0, 1.0)]
        low, high = (end[:, 1] - end[:, 0] for end in ends)
        place = float(np.mean((to_b - to_a - low) / (high - low)))
        nearer = float((to_b > to_a).mean())
        row = (round(float(value), 3) for value in (to_a.mean(), to_b.mean(), place, nearer))
        figures.append(dict(zip(("to a", "to b", "place", "nearer b"), row, strict=True)))
        figures[-1] |= {"by": by, "share": share}
        print(f"{by:10}{share:6.2f}" + "".join(f"{v:9.3f}" for v in list(figures[-1].values())[:4]))
    print(json.dumps({"pairs": len(pairs), "rows": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
