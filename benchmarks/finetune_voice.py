"""What fine-tuning on minutes of one voice adds to a clone of it: likeness and word errors on
unseen texts.

    python -m benchmarks.finetune_voice [--model nano] [--voice far_espeak_f5] [--minutes 10]
        [--lora R]

A synthetic voice that nano never trained on speaks texts; `training.finetune.prepare` and
`training.finetune` teach the stages one after the other. Both models then speak the same texts of
the closed grammars, none of them among the training texts, with the same prompt and seeds. Likeness
is resemblyzer's cosine to the mean of other utterances of the voice, words are pocketsphinx's.
Nothing can pass the original through the codec. Run it again after an interruption or with new
weights: recordings are kept, runs belong to the weights. The last line is one JSON object."""

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bark.audio.write import save_audio
from bark.checkpoints.find import find_model
from bark.codec.base import Codec
from bark.errors import BarkError
from bark.pipeline import Bark
from bark.storage.atomic import atomic_write_text
from bark.storage.weights import weights_digest
from bark.voice.voice import Voice
from hubert.clone import Cloner
from training.finetune.encode import prepare
from training.finetune.train import FinetuneOptions, finetune
from training.nano.corpus.synthesis import SAMPLE_RATE
from training.nano.corpus.synthesis import speak as say
from training.nano.corpus.texts import TextSource
from training.nano.corpus.voices import HELD_OUT, VoiceRecipe
from training.nano.report.measures import Figure, centroid, figure
from training.nano.report.report import Judges
from training.nano.report.trials import Clip, speak
from training.nano.stages import STAGES

OUT = Path("out/finetune_voice")
KINDS = ("digits", "number", "template")
TRAINING_KINDS = ("template", "number", "template", "digits")
REFERENCES = 12  # utterances that likeness is measured against
PROMPT_SECONDS = 6.0
LONGEST = 8.0  # s of an utterance
FAR = VoiceRecipe(
    "far_espeak_f5", "espeak", "f5", 1.0, 200.0, 1.0
)  # nano heard other voices of its maker
VOICES = {voice.name: voice for voice in (*HELD_OUT, FAR)}


def record_voice(voice: VoiceRecipe, minutes: float, folder: Path) -> None:
    """Write recordings and ``metadata.csv`` as LJSpeech lays them out, unless they are there."""
    if (folder / "metadata.csv").is_file():
        return
    source = TextSource((), 0, 1, seed=1)
    rows: list[str] = []
    seconds = 0.0
    while seconds < 60 * minutes:
        text = source.draw(
            held_out=False, kind=TRAINING_KINDS[len(rows) % len(TRAINING_KINDS)]
        ).words
        audio = say(text, voice).audio
        if len(audio) > LONGEST * SAMPLE_RATE:
            continue
        save_audio(folder / "wavs" / f"u{len(rows):04d}.wav", audio, SAMPLE_RATE)
        rows.append(f"u{len(rows):04d}|{text}")
        seconds += len(audio) / SAMPLE_RATE
    atomic_write_text(folder / "metadata.csv", "\n".join(rows) + "\n")


def unseen(voice: VoiceRecipe, texts: int) -> tuple[list[Clip], list[np.ndarray], np.ndarray]:
    """Return clips of held-out texts of each kind, other utterances of the voice, and a prompt
    (N,).
    """
    source = TextSource((), 0, 1, seed=2)

    def utterance(kind: str) -> Clip:
        text = source.draw(held_out=True, kind=kind).words
        return Clip(0, kind, text, say(text, voice).audio)

    clips = [utterance(kind) for kind in KINDS for _ in range(texts)]
    others = [utterance("template").audio for _ in range(REFERENCES)]
    prompt: list[np.ndarray] = []
    while sum(map(len, prompt)) < PROMPT_SECONDS * SAMPLE_RATE:
        prompt.append(utterance("template").audio)
    return clips, others, np.concatenate(prompt)


def tune(base: str, data: Path, options: argparse.Namespace) -> str:
    """Fine-tune the stages one after the other, each from the result of the one before."""
    runs = options.out / weights_mark(base)
    for stage in options.stages:
        settings = FinetuneOptions(
            stage, data, runs / stage, base, lora=options.lora, steps=options.steps, samples=0
        )
        if options.learning_rate:
            settings = replace(settings, learning_rate=options.learning_rate)
        result = finetune(settings)
        print(
            f"{stage}: validation loss {result.loss_before:.3f} before, {result.best_loss:.3f} "
            "after "
            f"{result.best_step} of {result.step} steps",
            flush=True,
        )
        base = str(result.model)
    return base


def weights_mark(model: str) -> str:
    """Return a few letters that stand for the weights of a model."""
    digests = "".join(weights_digest(find_model(model).load(stage)) for stage in STAGES)
    return f"weights-{hashlib.sha256(digests.encode()).hexdigest()[:8]}"


class Judge:
    """Measures clips of one voice."""

    def __init__(self, references: Sequence[np.ndarray]) -> None:
        self.judges = Judges()
        self.voice = centroid([self.judges.embed(audio) for audio in references])

    def row(self, name: str, clips: Sequence[Clip]) -> tuple[np.ndarray, Figure]:
        """Print likeness and word error rate; return each clip's cosine with the voice, and the
        latter.
        """
        likeness = np.array([float(self.judges.embed(clip.audio) @ self.voice) for clip in clips])
        words = self.judges.word_errors(clips, KINDS)
        print(f"| {name} | {figure(likeness.tolist())} | {words} |", flush=True)
        return likeness, words


def compare(options: argparse.Namespace) -> dict[str, object]:
    """Do everything and return the record."""
    voice = VOICES[options.voice]
    record_voice(voice, options.minutes, options.out / "recordings")
    originals, others, prompt_audio = unseen(voice, options.texts)
    cloner = Cloner.from_pretrained(options.model)
    tokenizer = find_model(options.model).load_tokenizer()
    prepared = prepare(options.out / "recordings", options.out / "data", cloner, tokenizer)
    tuned = tune(options.model, prepared.data.folder, options)
    prompt = cloner.clone(prompt_audio, sample_rate=SAMPLE_RATE).voice
    judge = Judge(others)
    print("| | likeness (95 %) | word error rate (95 %) |\n|---|---|---|")
    judge.row("original voice", originals)
    copied, _ = judge.row("original voice, through the codec", through(cloner.codec, originals))
    before, words_before = judge.row("clone, not tuned", say_all(options.model, prompt, originals))
    after, words_after = judge.row("clone, fine-tuned", say_all(tuned, prompt, originals))
    gain = figure((after - before).tolist())
    print(f"gain in likeness, clip by clip: {gain}")
    return {
        "voice": options.voice,
        "model": [options.model, weights_mark(options.model)],
        "minutes": round(prepared.seconds / 60, 1),
        "stages": options.stages,
        "lora": options.lora,
        "likeness": [round(float(likeness.mean()), 3) for likeness in (before, after, copied)],
        "word_errors": [round(words.value, 3) for words in (words_before, words_after)],
        "gain": [round(gain.value, 3), round(gain.low, 3), round(gain.high, 3)],
        "clips": len(originals),
    }


def through(codec: Codec, clips: Sequence[Clip]) -> list[Clip]:
    """Return clips encoded and decoded."""
    return [replace(clip, audio=codec.decode(codec.encode(clip.audio))) for clip in clips]


def say_all(model: str, prompt: Voice, clips: Sequence[Clip]) -> list[Clip]:
    """Speak the texts of clips with a model."""
    bark = Bark.from_pretrained(model)
    return list(speak(bark, [prompt], [[(clip.kind, clip.text) for clip in clips]]))


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.finetune_voice", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--model", default="nano", help="default: nano")
    parser.add_argument("--voice", choices=VOICES, default=FAR.name, help=f"default: {FAR.name}")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of speech to learn from (default: 10)"
    )
    parser.add_argument(
        "--texts", type=int, default=20, help="of each kind, to measure (default: 20)"
    )
    parser.add_argument(
        "--stages",
        nargs="+",
        choices=STAGES,
        default=["coarse", "fine"],
        help="default: coarse fine",
    )
    parser.add_argument("--lora", type=int, help="rank; default: all weights learn")
    parser.add_argument(
        "--steps", type=int, default=250, help="of each stage, at most (default: 250)"
    )
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="default: 5e-4")
    parser.add_argument("--out", type=Path, default=OUT, help=f"default: {OUT}")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    torch.set_num_threads(options.threads)
    try:
        record = compare(options)
    except BarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
