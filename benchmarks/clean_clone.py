"""What `bark clone --clean` does for the clone of a degraded recording.

    python -m benchmarks.clean_clone [REAL] [--kinds hum quiet ...] [--denoiser NAME]

REAL holds a folder for each real speaker, as for `benchmarks.refine`; ten held-out synthetic voices
are made besides where flite is installed. Each recording is degraded as in `benchmarks.doctor`, and
with rumble; each copy is cloned as it is and cleaned, and both clones say the same sentences with
the same seeds. Likeness is resemblyzer's cosine to other recordings of the speaker; gains are
paired, one for each voice. Where nothing was cleaned the clones are one and it is 0. The last line
is one JSON object.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bark.audio.postprocess import step_of
from bark.audio.read import resample
from bark.errors import BarkError
from bark.pipeline import Bark
from bark.voice.voice import Voice
from hubert.clone import Cloner
from hubert.likeness import VoiceEmbedder
from hubert.refine.trial import Interval
from training.nano.report.measures import centroid
from training.nano.report.trials import recorded_voices

from .doctor import KINDS, RATE, Degradation, added
from .refine import RATE as SPOKEN_RATE
from .refine import synthetic_voices

SAID = (
    "The weather was fine that day.",
    "She asked him twice for the key.",
    "We walked along the river until dark.",
    "Nobody knows where the old road goes.",
    "The train to the north leaves at ten.",
    "He left his hat on the kitchen table.",
    "There was a light in the upper window.",
    "My brother has never liked the sea.",
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
    parser.add_argument("real", type=Path, nargs="?")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--kinds", nargs="+", choices=COPIES, default=list(COPIES))
    parser.add_argument("--denoiser", help="a step as for bark --postprocess")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    denoiser = None if options.denoiser is None else step_of(options.denoiser)
    bark, embed = Bark.from_pretrained(options.model), VoiceEmbedder()
    cloner, rate = Cloner.from_pretrained(options.model, codec=bark.codec), bark.layout.sample_rate
    voices = recorded_voices(options.real) if options.real else []
    try:
        voices += synthetic_voices()
    except BarkError as error:
        print(f"no synthetic voices: {error}")
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number, person in enumerate(voices):
        own = centroid([embed(audio, SPOKEN_RATE) for audio in person.references])
        recording = resample(person.prompt, SPOKEN_RATE, RATE)
        rng = np.random.default_rng([options.seed, number])

        def likeness(voice: Voice, own: np.ndarray = own) -> float:
            said = bark.generate_batch(SAID, voice, seeds=range(len(SAID)))
            return float(np.mean([embed(one.audio, rate) @ own for one in said]))

        for kind in options.kinds:
            copy = COPIES[kind](recording, rng, []).astype(np.float32)
            before = likeness(cloner.clone(copy, sample_rate=RATE).voice)
            made = cloner.clone(copy, sample_rate=RATE, clean=True, denoiser=denoiser)
            after = likeness(made.voice) if made.cleaned else before
            found[kind].append((before, after))
            done = ", ".join(made.cleaned)
            print(f"{person.name:12}{kind:16}{before:7.3f}{after:7.3f}  {done}", flush=True)
    figures = {}
    for kind, pairs in found.items():
        before, after = np.mean(pairs, axis=0)
        gain = Interval.of([two - one for one, two in pairs])
        figures[kind] = f"{before:.3f} to {after:.3f}: {gain}"
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
