"""What voice swap (`hubert.convert_voice`) keeps of the words and changes of the speaker, on nano.

    python -m benchmarks.voice_swap FOLDER [--model nano] [--seconds 5] [--clips 1]
    python -m benchmarks.voice_swap --synthetic [--clips 4]

FOLDER holds a folder for each speaker. A clip of each speaker is spoken in two ways: in the
speaker's own voice, cloned from another clip (copy synthesis), and in a preset voice. Phones that
pocketsphinx hears are compared with those it hears in the recording; likeness is resemblyzer's
cosine to the preset voice's own sound and to the recording.

With --synthetic the ten voices that nano never heard are sources and targets; each speaks held-out
texts, so that words can be counted, by a recogniser of each text's grammar. A swap is nearest to
its target if no other of the ten voices' own utterances is more like it. Needs flite.

Both need the extra ``judge``. The last line is one JSON object.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bark.audio.read import load_audio
from bark.pipeline import Bark
from bark.voice.voice import Voice
from hubert.clone import Cloner
from hubert.convert import convert_voice
from hubert.judge import Recogniser, VoiceEmbedder
from training.engine.metrics import edit_distance
from training.nano.corpus.texts import jsgf
from training.nano.report.measures import centroid

from .refine import KINDS, synthetic_voices

RATE = 24_000  # Hz
PRESETS = ("alba", "bruno", "clara", "dario", "edith", "felix", "greta", "hugo")
APART = 3  # places between source and target, so that they have no engine's voice in common

Row = dict[str, float]


def real(folder: Path, cloner: Cloner, bark: Bark, seconds: float, clips: int) -> Iterator[Row]:
    """Swap real speakers for presets; the words are not known, so phones are counted."""
    phones, likeness = Recogniser(None), VoiceEmbedder()
    own_sound = [likeness(bark.decode(bark.resolve_voice(name).fine), RATE) for name in PRESETS]
    for number, speaker in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        files = sorted(speaker.glob("*.flac"), key=lambda path: -path.stat().st_size)
        voice = cloner.clone(files[0]).voice
        for index, path in enumerate(files[1 : 1 + clips]):
            source = load_audio(path, RATE)[: round(seconds * RATE)]
            target = (number + 3 * index) % len(PRESETS)
            copied, swapped = said_again(
                source, (voice, bark.resolve_voice(PRESETS[target])), cloner, bark, number
            )
            truth = phones(source, RATE)
            before, after = likeness(source, RATE), likeness(swapped, RATE)
            yield {
                "phones": len(truth),
                "copy": edit_distance(truth, phones(copied, RATE)),
                "swap": edit_distance(truth, phones(swapped, RATE)),
                "to the target before": float(before @ own_sound[target]),
                "to the target after": float(after @ own_sound[target]),
                "to the source after": float(after @ before),
                "nearest is the target": nearest(after, own_sound, target),
            }


def synthetic(cloner: Cloner, bark: Bark, clips: int) -> Iterator[Row]:
    """Swap held-out voices for one another, and count words."""
    voices, likeness = synthetic_voices(), VoiceEmbedder()
    clones = [cloner.clone(voice.prompt, sample_rate=RATE).voice for voice in voices]
    sounds = [centroid([likeness(audio, RATE) for audio in v.references]) for v in voices]
    hear = {kind: Recogniser(jsgf(kind)) for kind in KINDS}
    for number, voice in enumerate(voices):
        target = (number + APART) % len(voices)
        for kind, text, source in voice.tests[:clips]:
            copied, swapped = said_again(
                source, (clones[number], clones[target]), cloner, bark, number
            )
            words = text.split()
            after = likeness(swapped, RATE)
            yield {
                "words": len(words),
                "recording": edit_distance(words, hear[kind](source, RATE)),
                "copy": edit_distance(words, hear[kind](copied, RATE)),
                "swap": edit_distance(words, hear[kind](swapped, RATE)),
                "to the target before": float(likeness(source, RATE) @ sounds[target]),
                "to the target after": float(after @ sounds[target]),
                "to the source after": float(after @ sounds[number]),
                "nearest is the target": nearest(after, sounds, target),
            }


def said_again(
    source: np.ndarray, voices: Sequence[Voice], cloner: Cloner, bark: Bark, seed: int
) -> list[np.ndarray]:
    """Say a clip (N,) again in each voice."""
    return [
        convert_voice(
            source, voice, model=bark, encoder=cloner.encoder, sample_rate=RATE, seed=seed
        ).audio
        for voice in voices
    ]


def nearest(embedding: np.ndarray, sounds: Sequence[np.ndarray], target: int) -> float:
    """Return 1 if no other voice is more like a clip than the target is."""
    return float(np.argmax([embedding @ sound for sound in sounds]) == target)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each clip of FOLDER")
    parser.add_argument("--clips", type=int, default=1, help="of each speaker")
    options = parser.parse_args(argv)
    if options.synthetic == (options.folder is not None):
        parser.error("give a folder or --synthetic")
    bark = Bark.from_pretrained(options.model)
    cloner = Cloner.from_pretrained(options.model, codec=bark.codec)
    made = (
        synthetic(cloner, bark, options.clips)
        if options.synthetic
        else real(options.folder, cloner, bark, options.seconds, options.clips)
    )
    rows: list[Row] = []
    for row in made:
        rows.append(row)
        print({name: round(value, 3) for name, value in row.items()}, flush=True)
    unit, *names = rows[0]
    total = sum(row[unit] for row in rows)
    figures = {"clips": float(len(rows)), unit: total}
    for name in names:
        counted = name in ("recording", "copy", "swap")
        value = sum(row[name] for row in rows) / (total if counted else len(rows))
        figures[f"{unit} wrong, {name}" if counted else name] = round(value, 3)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
