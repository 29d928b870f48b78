"""Makes the clips that the report measures: held-out voices cloned, spoken and copied.

A trial has a voice, a text and the audio made of it. Reference clips go through the cloner as a
user's would: audio in, voice out. Likeness is measured against utterances that the cloner did not
see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bark.errors import MissingFileError
from bark.pipeline import Bark
from bark.voice.voice import Voice
from training.nano.corpus.corpus import iter_voices
from training.nano.corpus.synthesis import SAMPLE_RATE

PROMPT_SECONDS = 6.0  # of reference audio for the cloner
GROUP = 10  # clips generated together

Listen = Callable[[np.ndarray], np.ndarray]  # (N,) float32 at 24 kHz → semantic tokens (S,)


@dataclass(frozen=True)
class TestVoice:
    """A voice kept out of training."""

    name: str
    prompt: np.ndarray  # (N,) float32 at 24 kHz, what is cloned
    references: tuple[np.ndarray, ...]  # other utterances, for likeness
    tests: tuple[tuple[str, str, np.ndarray], ...]  # kind, text, original audio


@dataclass(frozen=True)
class Clip:
    """One trial."""

    voice: int  # index into the test voices
    kind: str  # digits, number, template, open
    text: str
    audio: np.ndarray  # (N,) float32


def held_out_voices(work: Path) -> list[TestVoice]:
    """Return the synthetic voices that were never trained on, with texts that were never trained
    on.
    """
    voices = []
    for voice in iter_voices(work, "heldout"):
        audio = voice.audio.astype(np.float32) / 32768
        clips = [audio[a:b] for a, b in zip(voice.starts[:-1], voice.starts[1:], strict=True)]
        prompts = [index for index in range(len(clips)) if voice.roles[index] == "prompt"]
        used, count = 0.0, 0
        while count < len(prompts) - 4 and used < PROMPT_SECONDS:
            used += len(clips[prompts[count]]) / SAMPLE_RATE
            count += 1
        tests = tuple(
            (str(voice.kinds[index]), str(voice.texts[index]), clips[index])
            for index in range(len(clips))
            if voice.roles[index] == "test"
        )
        prompt = np.concatenate([clips[index] for index in prompts[:count]])
        voices.append(
            TestVoice(voice.name, prompt, tuple(clips[index] for index in prompts[count:]), tests)
        )
    return voices


def recorded_voices(folder: Path) -> list[TestVoice]:
    """Return real speakers: a folder each, the first long recording as prompt, the others for
    likeness.
    """
    voices = []
    for speaker in sorted(path for path in folder.iterdir() if path.is_dir()):
        clips = []
        for path in sorted([*speaker.glob("*.flac"), *speaker.glob("*.wav")]):
            audio, rate = soundfile.read(path, dtype="float32")
            clips.append(soxr.resample(audio, rate, SAMPLE_RATE).astype(np.float32))
        long_enough = [
            index for index, clip in enumerate(clips) if len(clip) >= PROMPT_SECONDS * SAMPLE_RATE
        ]
        first = long_enough[0] if long_enough else int(np.argmax([len(clip) for clip in clips]))
        prompt = clips[first][: int(PROMPT_SECONDS * SAMPLE_RATE)]
        others = tuple(clip for index, clip in enumerate(clips) if index != first)
        voices.append(TestVoice(speaker.name, prompt, others, ()))
    if not voices:
        raise MissingFileError(
            f"no speakers in {folder}", fix="Name a folder with one folder for each speaker"
        )
    return voices


def choose(voice: TestVoice, kinds: Sequence[str], count: int) -> list[tuple[str, str, np.ndarray]]:
    """Return the first `count` tests of each kind."""
    return [test for kind in kinds for test in [t for t in voice.tests if t[0] == kind][:count]]


def speak(
    bark: Bark, voices: Sequence[Voice], wanted: Sequence[Sequence[tuple[str, str]]]
) -> Iterator[Clip]:
    """Speak for each voice its list of (kind, text)."""
    for index, (voice, texts) in enumerate(zip(voices, wanted, strict=True)):
        for start in range(0, len(texts), GROUP):
            group = texts[start : start + GROUP]
            seeds = [1000 * index + start + offset for offset in range(len(group))]
            made = bark.generate_batch([text for _, text in group], voice, seeds=seeds)
            for (kind, text), generation in zip(group, made, strict=True):
                yield Clip(index, kind, text, generation.audio)


def copy_synthesis(
    bark: Bark,
    listen: Listen,
    voices: Sequence[Voice],
    tests: Sequence[Sequence[tuple[str, str, np.ndarray]]],
    fine: bool = True,
) -> Iterator[Clip]:
    """Speak the true semantic tokens of the original audio, in the voice of the prompt.

    Without `fine` only the two coarse codebooks are decoded.
    """
    for index, (voice, items) in enumerate(zip(voices, tests, strict=True)):
        for start in range(0, len(items), GROUP):
            group = items[start : start + GROUP]
            semantic = [listen(audio) for _, _, audio in group]
            seeds = [1000 * index + start + offset for offset in range(len(group))]
            spoken = bark.speak_tokens(semantic, voice, seeds=seeds)
            codes = [tokens.fine if fine else tokens.coarse for tokens in spoken]
            for (kind, text, _), rows in zip(group, codes, strict=True):
                yield Clip(index, kind, text, bark.decode(rows))
