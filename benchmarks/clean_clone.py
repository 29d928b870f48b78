"""What `bark clone --clean` does for the clone of a degraded recording.

    python -m benchmarks.clean_clone FOLDER [--kinds hum quiet ...] [--denoiser NAME]

FOLDER holds a folder of flac files (16 kHz) for each speaker. Of each the longest file is degraded
as in `benchmarks.doctor`, and with rumble; each copy is cloned as it is
and cleaned, and both clones say two sentences. Likeness is resemblyzer's cosine to the speaker's
other recordings. The last line is one JSON object.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from bark.audio.postprocess import step_of
from bark.pipeline import Bark
from hubert.clone import Cloner
from hubert.likeness import VoiceEmbedder

from .doctor import KINDS, RATE, Degradation, added

SAID = (
    "The weather was fine, so we walked along the river until it was dark.",
    "She asked him twice for the key, but he had left it on the kitchen table.",
)


def rumble(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
    """Traffic and knocks on the table: noise of 15 to 45 Hz, 0 to 6 dB louder than the speech."""
    spectrum = np.fft.rfft(rng.normal(size=len(audio)))
    frequency = np.fft.rfftfreq(len(audio), 1 / RATE)
    spectrum[(frequency < 15) | (frequency > 45)] = 0
    return added(audio, np.fft.irfft(spectrum, len(audio)), -rng.uniform(0, 6))


COPIES: dict[str, Degradation] = {"rumble": rumble} | {
    kind: KINDS[kind][0] for kind in ("clean", "hum", "quiet", "noise 5-10 dB", "noise 10-15 dB")
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--kinds", nargs="+", choices=COPIES, default=list(COPIES))
    parser.add_argument("--denoiser", help="a step as for bark --postprocess")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    denoiser = None if options.denoiser is None else step_of(options.denoiser)
    bark, embed = Bark.from_pretrained(options.model), VoiceEmbedder()
    cloner, rate = Cloner.from_pretrained(options.model, codec=bark.codec), bark.layout.sample_rate
    gains: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number, folder in enumerate(sorted(p for p in options.folder.iterdir() if p.is_dir())):
        files = sorted(folder.glob("*.flac"), key=lambda path: -path.stat().st_size)
        audio = soundfile.read(files[0])[0]
        unheard = [embed(soundfile.read(path)[0], RATE) for path in files[1:6]]
        rng = np.random.default_rng([options.seed, number])
        for kind in options.kinds:
            copy = COPIES[kind](audio, rng, []).astype(np.float32)
            found = []
            for how in ({}, {"clean": True, "denoiser": denoiser}):
                voice = cloner.clone(copy, sample_rate=RATE, **how).voice
                said = bark.generate_batch(SAID, voice, seeds=range(len(SAID)))
                alike = [embed(one.audio, rate) @ other for one in said for other in unheard]
                found.append(float(np.mean(alike)))
            gains[kind].append((found[0], found[1]))
            print(f"{folder.name:12}{kind:16}{found[0]:7.3f}{found[1]:7.3f}", flush=True)
    figures = {
        kind: {"before": round(before, 3), "after": round(after, 3), "speakers": len(found)}
        for kind, found in gains.items()
        for before, after in [np.mean(found, axis=0)]
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
