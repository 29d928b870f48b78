"""What int8 and cheaper schedules cost in likeness and words: the same texts, voices and seeds on
nano, spoken each way.

Likeness is the speaker encoder's cosine to the voice; words are those a recogniser that knows the
text's words alone gets wrong, of those in the text; clarity is in nats a frame. Differences are
paired with the exact schedule, with bootstrap intervals of 95 %.
`python -m benchmarks.schedules [--texts 13]`; each text is spoken by nano's eight voices. It takes
a quarter of an hour on one core."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bark import Bark, Voice
from bark.storage.weights import weights_digest
from hubert.judge import Aligner, own_words, spoken_words
from hubert.likeness import VoiceEmbedder
from training.engine.metrics import edit_distance
from training.nano.report.measures import figure

TEXTS = (
    "Seven two nine four one three eight zero five six seven two.",
    "The train to London leaves at half past nine, and the next one leaves at eleven.",
    "One hundred and twenty four people came, and thirty nine of them stayed until the end.",
    "My brother wrote a long letter about the house near the river and the old garden.",
    "Nine eight seven six five four three two one zero, and then again from nine.",
    "We had bread and cheese in the morning, and soup with rice in the evening.",
    "There are fourteen rooms on the second floor, but only six of them have a window.",
    "The doctor said that you should rest for two days and drink a lot of water.",
    "Four hundred and fifty three, six hundred and eighteen, and nine hundred and seven.",
    "It was cold and dark outside, so we stayed by the fire and told each other stories.",
    "Please bring three apples, two lemons and a bottle of milk from the shop.",
    "She opened the door, looked at the street for a while, and closed it again.",
    "Zero one one two three five eight, and the number after that is thirteen.",
)
VOICES = ("alba", "bruno", "clara", "dario", "edith", "felix", "greta", "hugo")
BOOKS = (6, 4)  # codebooks that are decoded instead of eight
SCORES = ("likeness", "clarity", "words wrong")
EXACT = "Suno's schedule"
SUNO = {"max_coarse_history": 630, "sliding_window_len": 60, "coarse_anchor": 0}
# the longer a window, the less often its beginning is read; what the positions do not hold is taken
# from the context
LONGER = {
    "windows of 120": {"sliding_window_len": 120},
    "windows of 240": {"sliding_window_len": 240, "max_coarse_history": 510},
}


def ways() -> dict[str, Bark]:
    """Return nano as each way loads it; the first is what the others are compared with."""
    plain, small = (
        Bark.from_pretrained("nano", device="cpu", dtype=dtype) for dtype in ("float32", "int8")
    )
    plain, small = (replace(bark, defaults=bark.defaults.changed(SUNO)) for bark in (plain, small))
    longer = {
        name: replace(plain, defaults=plain.defaults.changed(windows))
        for name, windows in LONGER.items()
    }
    return {EXACT: plain, **longer, "int8": small}


def digests(bark: Bark) -> dict[str, str]:
    """Return what tells one training of the weights from another, by stage."""
    stages = {"semantic": bark.semantic, "coarse": bark.coarse, "fine": bark.fine}
    return {name: weights_digest(stage.model) for name, stage in stages.items()}


def speak(
    barks: dict[str, Bark], texts: Sequence[str], voice: Voice
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield each way and the audio of the texts spoken so, side by side with the same seeds."""
    for name, bark in barks.items():
        made = bark.generate_batch(texts, voice, seeds=range(len(texts)))
        yield name, [one.audio for one in made]
        for count in BOOKS if name == EXACT else ():
            yield f"{count} books", [bark.decode(one.tokens.fine[:count]) for one in made]


def run(texts: Sequence[str], keep: Path | None) -> dict[str, dict[str, list[float]]]:
    """Speak texts in each voice, each way → way → score → clips, in the same order."""
    barks = ways()
    print(
        ", ".join(f"{name} {digest}" for name, digest in digests(barks[EXACT]).items()), flush=True
    )
    plain, embed, aligner = barks[EXACT], VoiceEmbedder(), Aligner()
    words = [spoken_words(text) for text in texts]
    hear = [own_words(text) for text in texts]
    found: dict[str, dict[str, list[float]]] = {}
    for name in VOICES:
        voice = plain.resolve_voice(name)
        if voice is None:
            raise SystemExit(f"nano has no voice {name}")
        own = embed(plain.decode(voice.fine))
        for way, clips in speak(barks, texts, voice):
            scores = found.setdefault(way, {score: [] for score in SCORES})
            for said, listen, audio in zip(words, hear, clips, strict=True):
                scores["likeness"].append(float(embed(audio) @ own))
                scores["clarity"].append(aligner.clarity(said, audio))
                scores["words wrong"].append(edit_distance(said, listen(audio)) / len(said))
            print(f"{name}, {way}", flush=True)
        if keep:
            keep.write_text(json.dumps(found))
    return found


def table(found: dict[str, dict[str, list[float]]]) -> list[str]:
    """Return a Markdown table: each way's scores, and their paired differences from exact."""
    lines = [
        f"| | {' | '.join(f'{score} | change' for score in SCORES)} |",
        "|---" * (2 * len(SCORES) + 1) + "|",
    ]
    for way, scores in found.items():
        cells = [way]
        for score, values in scores.items():
            change = figure(np.subtract(values, found[EXACT][score]).tolist())
            cells.append(f"{np.mean(values):.3f}")
            cells.append(f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=len(TEXTS), help="for each of eight voices")
    parser.add_argument("--json", type=Path, help="keep the scores of every clip here")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    found = run(TEXTS[: options.texts], options.json)
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
