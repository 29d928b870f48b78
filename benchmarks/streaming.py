"""What an early start costs: `Bark.stream` exact and with latency="low", on nano.

    python -m benchmarks.streaming [--texts 12]

For each text, in turns: seconds to the first piece over seconds for the whole (one process, so the
ratio holds on a busy machine), speaker similarity to the voice, and words heard wrong.
"""

import argparse
import statistics
import sys
import time

import numpy as np

from bark import Bark, Voice
from bark.voice.names import NANO_VOICES
from hubert.judge import own_words, spoken_words
from hubert.likeness import VoiceEmbedder
from hubert.refine.trial import Interval
from training.engine.metrics import edit_distance

VOICES = ("alba", "bruno", "clara")
TEXTS = (
    "The sun began to shine, and the traveller took off his cloak and sat down under a tree.",
    "The old captain put seven wooden boxes on the table and asked who would like to open them.",
    "In the evening the children walked along the river and counted the boats that came home.",
)


def measure(
    bark: Bark, embed: VoiceEmbedder, voice: str, text: str, seed: int, latency: str
) -> dict:
    """Speak one text and return its figures."""
    begin, first, pieces = time.perf_counter(), 0.0, []
    for piece in bark.stream(text, voice, seed=seed, latency=latency):  # type: ignore[arg-type]
        first = first or time.perf_counter() - begin
        pieces.append(piece)
    whole, audio = time.perf_counter() - begin, np.concatenate(pieces)
    known = Voice.load(NANO_VOICES / f"{voice}.npz", bark.layout)
    similarity = float(embed(audio) @ embed(bark.decode(known.fine)))
    words = spoken_words(text)
    wrong = edit_distance(words, own_words(text)(audio)) / len(words)
    return {"share": first / whole, "first": first, "similarity": similarity, "wrong": wrong}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=12, help="utterances for each way")
    options = parser.parse_args()
    bark, embed = Bark.from_pretrained("nano", device="cpu"), VoiceEmbedder()
    found: dict[str, list[dict]] = {"exact": [], "low": []}
    for index in range(options.texts):
        voice, text = VOICES[index % len(VOICES)], TEXTS[index % len(TEXTS)]
        for latency, rows in found.items():
            rows.append(measure(bark, embed, voice, text, index, latency))
    print("| latency | first sound / whole time | first sound, s | similarity | words wrong |")
    print("|---|---|---|---|---|")
    for latency, rows in found.items():
        means = [statistics.mean(row[name] for row in rows) for name in ("similarity", "wrong")]
        middle = [statistics.median(row[name] for row in rows) for name in ("share", "first")]
        print(
            f"| {latency} | {middle[0]:.2f} | {middle[1]:.2f} | {means[0]:.3f} | {means[1]:.3f} |"
        )
    for name in ("similarity", "wrong"):
        pairs = zip(found["exact"], found["low"], strict=True)
        print(
            f"{name}, low less exact: {Interval.of([low[name] - one[name] for one, low in pairs])}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
