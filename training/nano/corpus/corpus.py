"""Makes and reads the corpus of speech that nano learns from, one file for each voice.

    python -m training.nano.corpus.corpus --work DIR [--real DIR]... [--hours 8.5]
        [--voices 126] [--processes 2]

`DIR/corpus/<voice>.npz` holds every utterance of one voice in one array, cut by `starts`. A file is
written whole and carries its own recipe: an interrupted run goes on where it stopped, and a changed
recipe is made anew."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bark.commandline import log_to_stderr
from bark.errors import BarkError, MissingFileError, SettingError
from bark.storage.atomic import atomic_write
from training.engine.progress import SILENT, Progress
from training.stages.alignment import UNKNOWN

from .recordings import Recording, find_recordings, read_recording
from .synthesis import SAMPLE_RATE, UNIT, speak
from .texts import KINDS, Text, TextSource, open_texts
from .voices import HELD_OUT, VoiceRecipe, training_voices

logger = logging.getLogger(__name__)

PROMPTS = 14  # utterances of each held-out voice that speak texts like the training ones
TESTS = 20  # held-out texts of each kind for each held-out voice
MAX_SECONDS = 8.0  # a longer utterance is left out
LIBRISPEECH = re.compile(r"(?<=real_)libri(tts)?(?=\d)")  # its people, as other folders name them
RECIPE_VERSION = 1  # raise when utterances come out differently, so that old files are made anew


@dataclass(frozen=True)
class CorpusOptions:
    work: Path
    real: tuple[Path, ...] = ()  # folders of recordings
    hours: float = 8.5  # synthetic speech for training
    voices: int = 126  # synthetic training voices
    held_out: int = len(HELD_OUT)  # held-out voices
    prompts: int = PROMPTS
    tests: int = TESTS
    processes: int = 2
    seed: int = 0


@dataclass(frozen=True)
class VoiceAudio:
    """One voice of the corpus; utterance u is audio[starts[u] : starts[u + 1]]."""

    name: str
    # "train" or "heldout"; of recordings "kept_back", which validate, and "prompt", bad ones
    split: str
    audio: np.ndarray = field(repr=False)  # (N,) int16 at 24 kHz
    starts: np.ndarray = field(repr=False)  # (U + 1,) int64, multiples of 960
    texts: np.ndarray = field(repr=False)  # (U,) the words; "" for recordings
    kinds: np.ndarray = field(repr=False)  # (U,) digits, number, template, open or real
    roles: np.ndarray = field(repr=False)  # (U,) train, or in held-out voices: prompt or test
    phones: np.ndarray = field(
        repr=False
    )  # (N / 480,) uint8, index into synthesis.PHONES, 255 unknown


def voice_paths(work: Path) -> tuple[Path, ...]:
    """Return the corpus files that are ready, sorted by name; MissingFileError when
    there is none.
    """
    paths = tuple(
        sorted(path for path in (work / "corpus").glob("*.npz") if not path.name.startswith("."))
    )
    if not paths:
        raise MissingFileError(
            f"no corpus in {work}", fix="Run python -m training.nano.corpus.corpus first"
        )
    return paths


def own_voices(work: Path) -> tuple[Path, ...]:
    """Return the corpus files of voices as they were recorded or spoken, without their versions."""
    paths = voice_paths(work)
    names = {path.stem for path in paths}
    # a version's name is the voice's and a suffix
    return tuple(path for path in paths if path.stem.rpartition("_")[0] not in names)


def load_voice(path: Path) -> VoiceAudio:
    """Read one voice."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {
            name: file[name] for name in ("audio", "starts", "texts", "kinds", "roles", "phones")
        }
        return VoiceAudio(path.stem, str(file["split"]), **arrays)


def iter_voices(work: Path, split: str | None = None, *, real: bool = True) -> Iterator[VoiceAudio]:
    """Yield the voices of a split ("train", "heldout" or None for all), sorted by name.

    `real=False` leaves out the recordings.
    """
    for path in voice_paths(work):
        if real or not path.stem.startswith("real_"):
            if split is None or split_of(path) == split:
                yield load_voice(path)


def split_of(path: Path) -> str:
    """Return the split of one corpus file without reading its audio."""
    with np.load(path, allow_pickle=False) as file:
        return str(file["split"])


def make_corpus(options: CorpusOptions, progress: Progress = SILENT) -> int:
    """Synthesise and convert whatever is not yet on disk; return how many files were written."""
    if options.voices < 1 or options.hours <= 0 or not 0 <= options.held_out <= len(HELD_OUT):
        raise SettingError(
            "voices, hours and held_out must be positive", allowed=f"held_out ≤ {len(HELD_OUT)}"
        )
    voices = corpus_voices(options)
    texts = open_texts(options.seed)
    recordings = corpus_recordings(options)  # first: they take seconds, and two stages need them
    written = 0
    count = len(recordings) + len(voices)
    with (
        ProcessPoolExecutor(options.processes, get_context("spawn")) as pool,
        progress.task("speech", count, "voice") as advance,
    ):
        for done in pool.map(partial(_make_real, options), recordings, chunksize=8):
            written += done
            advance(1)
        stride = len(voices)
        seconds = options.hours * 3600 / options.voices
        make = partial(_make_synthetic, options, seconds, stride)
        # every voice gets only its own share of the open texts: the whole collection is large
        jobs = [(index, voice, texts[index::stride]) for index, voice in enumerate(voices)]
        for done in pool.map(make, jobs):
            written += done
            advance(1)
    return written


def corpus_voices(options: CorpusOptions) -> tuple[VoiceRecipe, ...]:
    """Return the synthetic voices of a corpus, held-out ones first."""
    return HELD_OUT[: options.held_out] + training_voices(options.voices, options.seed)


def corpus_recordings(options: CorpusOptions) -> list[Recording]:
    """Return the recordings of all folders; who is in two of them, by LibriSpeech's numbers, is
    kept back in none.

    Raises
    ------
    SettingError : if two folders give a speaker the same name.
    """
    recordings = [
        recording
        for index, folder in enumerate(options.real)
        for recording in find_recordings(folder, options.seed, index)
    ]
    names = Counter(recording.name for recording in recordings)
    if twice := [name.removeprefix("real_") for name, count in names.items() if count > 1]:
        raise SettingError(
            "speakers of the folders of recordings",
            f"{twice[0]} in two of them",
            "a name for each that no other folder has",
        )
    people = Counter(LIBRISPEECH.sub("", name) for name in names)
    return [
        replace(one, kept_back=one.kept_back and people[LIBRISPEECH.sub("", one.name)] == 1)
        for one in recordings
    ]


def _make_synthetic(
    options: CorpusOptions,
    seconds: float,
    stride: int,
    job: tuple[int, VoiceRecipe, tuple[str, ...]],
) -> bool:
    index, voice, texts = job
    recipe = [RECIPE_VERSION, asdict(voice), options.seed, stride]
    recipe.append([options.prompts, options.tests] if voice.held_out else round(seconds, 3))
    path = options.work / "corpus" / f"{voice.name}.npz"
    if _is_ready(path, recipe):
        return False
    source = TextSource(texts, 0, 1, seed=options.seed * 10_007 + index)
    utterances: list[tuple[Text, str, np.ndarray, np.ndarray]] = []
    total = 0.0
    for text, role in (
        _held_out_texts(source, options) if voice.held_out else _training_texts(source)
    ):
        speech = speak(text.words, voice)
        if len(speech.audio) <= MAX_SECONDS * SAMPLE_RATE:
            utterances.append((text, role, speech.audio, speech.phones))
            total += len(speech.audio) / SAMPLE_RATE
        if not voice.held_out and total >= seconds:
            break
    _write(path, recipe, "heldout" if voice.held_out else "train", utterances)
    return True


def _training_texts(source: TextSource) -> Iterator[tuple[Text, str]]:
    while True:
        yield source.draw(held_out=False), "train"


def _held_out_texts(source: TextSource, options: CorpusOptions) -> Iterator[tuple[Text, str]]:
    for _ in range(options.prompts):
        yield source.draw(held_out=False), "prompt"
    for kind in KINDS:
        for _ in range(options.tests):
            yield source.draw(held_out=True, kind=kind), "test"


def _make_real(options: CorpusOptions, recording: Recording) -> bool:
    recipe = [RECIPE_VERSION, recording.name, recording.rate, recording.tilt]
    recipe.append([path.name for path in recording.paths])
    split = "kept_back" if recording.kept_back else "train"
    if recording.room:
        split = "prompt"
    if (split, recording.folder) != ("train", 0):  # as older corpora have all
        recipe.append([split, recording.folder])
    path = options.work / "corpus" / f"{recording.name}.npz"
    if _is_ready(path, recipe):
        return False
    pieces = read_recording(recording)
    unknown = [np.full(len(piece) // UNIT, UNKNOWN, np.uint8) for piece in pieces]
    rows = [
        (Text("real", ""), "train", piece, label)
        for piece, label in zip(pieces, unknown, strict=True)
    ]
    _write(path, recipe, split, rows, recording.folder)
    return True


def _is_ready(path: Path, recipe: list[object]) -> bool:
    if not path.exists():
        return False
    with np.load(path, allow_pickle=False) as file:
        return str(file["recipe"]) == json.dumps(recipe)


def _write(
    path: Path,
    recipe: list[object],
    split: str,
    utterances: Sequence[tuple[Text, str, np.ndarray, np.ndarray]],
    folder: int = 0,
) -> None:
    audio = [np.round(samples * 32767).astype(np.int16) for _, _, samples, _ in utterances]
    with atomic_write(path) as temporary:
        np.savez(
            temporary,
            audio=np.concatenate(audio),
            starts=np.cumsum([0, *map(len, audio)]).astype(np.int64),
            texts=np.array([text.words for text, *_ in utterances]),
            kinds=np.array([text.kind for text, *_ in utterances]),
            roles=np.array([role for _, role, *_ in utterances]),
            phones=np.concatenate([phones for *_, phones in utterances]),
            split=np.array(split),
            folder=np.array(folder),
            recipe=np.array(json.dumps(recipe)),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.nano.corpus.corpus`."""
    parser = argparse.ArgumentParser(
        prog="python -m training.nano.corpus.corpus", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for everything the recipes make"
    )
    parser.add_argument(
        "--real",
        type=Path,
        action="append",
        default=[],
        help="folder of recordings, <speaker>-*.flac, for training only; may be given again",
    )
    parser.add_argument(
        "--hours", type=float, default=CorpusOptions.hours, help="hours of synthetic speech"
    )
    parser.add_argument(
        "--voices", type=int, default=CorpusOptions.voices, help="synthetic training voices"
    )
    parser.add_argument("--processes", type=int, default=CorpusOptions.processes)
    parser.add_argument("--seed", type=int, default=CorpusOptions.seed)
    log_to_stderr(logging.INFO, times=True)
    try:
        asked = vars(parser.parse_args(argv))
        options = CorpusOptions(**asked | {"real": tuple(asked["real"])})
        written = make_corpus(options, Progress(sys.stderr))
    except BarkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    logger.info("%d files written", written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
