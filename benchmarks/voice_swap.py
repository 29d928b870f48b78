"""What voice swap (`hubert.convert_voice`) keeps of the words and changes of the speaker, on nano.

    python -m benchmarks.voice_swap FOLDER [--model nano] [--seconds 5] [--clips 1]

FOLDER holds a folder for each speaker. A clip of each speaker is spoken in two ways: in the
speaker's own voice, cloned from another clip (copy synthesis), and in a preset voice. Phones that
pocketsphinx hears are compared with those it hears in the recording; likeness is resemblyzer's
cosine to the preset voice's own sound and to the recording. Needs the extra ``judge``. The
last line is one JSON object.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bark.audio.read import load_audio
from bark.pipeline import Bark
from hubert.clone import Cloner
from hubert.convert import convert_voice
from hubert.judge import Recogniser, VoiceEmbedder
from training.engine.metrics import edit_distance

RATE = 24_000  # Hz
PRESETS = ("alba", "bruno", "clara", "dario", "edith", "felix", "greta", "hugo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each clip")
    parser.add_argument("--clips", type=int, default=1, help="of each speaker")
    options = parser.parse_args(argv)
    bark, phones, embed = Bark.from_pretrained(options.model), Recogniser(None), VoiceEmbedder()
    cloner = Cloner.from_pretrained(options.model, codec=bark.codec)
    own_sound = [embed(bark.decode(bark.resolve_voice(name).fine), RATE) for name in PRESETS]
    rows: list[dict[str, float]] = []
    for number, folder in enumerate(sorted(p for p in options.folder.iterdir() if p.is_dir())):
        files = sorted(folder.glob("*.flac"), key=lambda path: -path.stat().st_size)
        voice = cloner.clone(files[0]).voice
        for index, path in enumerate(files[1 : 1 + options.clips]):
            source = load_audio(path, RATE)[: round(options.seconds * RATE)]
            target = (number + 3 * index) % len(PRESETS)
            copied, swapped = (
                convert_voice(source, to, model=bark, encoder=cloner.encoder, sample_rate=RATE,
                              seed=number).audio
                for to in (voice, PRESETS[target])
            )  # fmt: skip
            truth = phones(source, RATE)
            before, after = embed(source, RATE), embed(swapped, RATE)
            rows.append(
                {
                    "phones": len(truth),
                    "copy": edit_distance(truth, phones(copied, RATE)),
                    "swap": edit_distance(truth, phones(swapped, RATE)),
                    "to the target before": float(before @ own_sound[target]),
                    "to the target after": float(after @ own_sound[target]),
                    "to the source after": float(after @ before),
                    "nearest preset is the target": float(
                        np.argmax([after @ sound for sound in own_sound]) == target
                    ),
                }
            )
            print(path.name, PRESETS[target], {k: round(v, 3) for k, v in rows[-1].items()})
    total = sum(row["phones"] for row in rows)
    figures = {f"phone error, {how}": sum(row[how] for row in rows) / total
               for how in ("copy", "swap")}  # fmt: skip
    names = list(rows[0])[3:]
    figures |= {name: float(np.mean([row[name] for row in rows])) for name in names}
    print(json.dumps({"clips": len(rows)} | {k: round(v, 3) for k, v in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
