"""Loads judges of speech by name: who speaks (a speaker encoder), and what is said (a recogniser).

    resemblyzer   speaker encoder, offline (`hubert.likeness`)
    wavlm         speaker encoder, WavLM with an x-vector head, 0.4 GB from the model hub
    pocketsphinx  recogniser, offline, English (`hubert.judge`)
    whisper       recogniser of a hundred languages, 0.3 GB from the model hub

A judge is any object with the one method of `SpeakerJudge` or `WordJudge`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from bark.audio.read import resample
from bark.errors import AudioError, MissingFileError, MissingModelError, SettingError
from bark.storage.hub import fetch_all
from bark.text.distance import edit_distance
from hubert.judge import Aligner, english_words
from hubert.likeness import VoiceEmbedder

RATE = 16_000  # Hz, of both networks
WAVLM, WHISPER = "microsoft/wavlm-base-plus-sv", "openai/whisper-base"
FILES = {  # of each repository, as transformers reads them
    WAVLM: ("config.json", "preprocessor_config.json", "pytorch_model.bin"),
    WHISPER: (
        "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json",
        "tokenizer_config.json", "model.safetensors",
    ),
}  # fmt: skip
OFFLINE = "resemblyzer,pocketsphinx"


@runtime_checkable
class SpeakerJudge(Protocol):
    """Tells who speaks."""

    def embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return a unit embedding (D,) of speech (N,); the product of two is their cosine."""


@runtime_checkable
class WordJudge(Protocol):
    """Tells how well a text was said."""

    def clarity(self, text: str, audio: np.ndarray, sample_rate: int) -> float | None:
        """Return 0 at best, less for worse; None for a text that it cannot judge."""


Judge = SpeakerJudge | WordJudge


class Resemblyzer:
    """Resemblyzer's speaker encoder, as `hubert.likeness` runs it."""

    def __init__(self) -> None:
        self.embedder = VoiceEmbedder()

    def embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the unit embedding (256,)."""
        return self.embedder(audio, sample_rate)


class Pocketsphinx:
    """pocketsphinx's alignment of English words, as `hubert.judge` runs it."""

    def __init__(self) -> None:
        self.aligner = Aligner()

    def clarity(self, text: str, audio: np.ndarray, sample_rate: int) -> float | None:
        """Return nats a frame below the best sounds; None where the text is not English."""
        words = english_words(text)
        return self.aligner.clarity(words, audio, sample_rate) if words else None


class WavLM:
    """WavLM with an x-vector head: a larger speaker encoder, from the model hub."""

    def __init__(self, network: Any, extractor: Any) -> None:
        self.network, self.extractor = network.eval(), extractor

    @classmethod
    def from_pretrained(cls, place: str | Path = WAVLM) -> Self:
        """Load it from a folder or the model hub.

        Raises
        ------
        MissingFileError : its files are neither here nor to be had; it names them and the command.
        """
        from transformers import AutoFeatureExtractor, WavLMForXVector

        folder = _folder("wavlm", place)
        return cls(
            WavLMForXVector.from_pretrained(folder, local_files_only=True),
            AutoFeatureExtractor.from_pretrained(folder, local_files_only=True),
        )

    def embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the unit embedding."""
        import torch

        samples = resample(_sounding(audio), sample_rate, RATE)
        given = self.extractor(samples, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            found = self.network(**given).embeddings[0]
            return np.asarray(torch.nn.functional.normalize(found, dim=0))


class Whisper:
    """Whisper: hears words in many languages, from the model hub."""

    def __init__(self, network: Any, processor: Any) -> None:
        self.network, self.processor = network.eval(), processor

    @classmethod
    def from_pretrained(cls, place: str | Path = WHISPER) -> Self:
        """Load it from a folder or the model hub; see `WavLM.from_pretrained`."""
        from transformers import AutoProcessor, WhisperForConditionalGeneration

        folder = _folder("whisper", place)
        return cls(
            WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True),
            AutoProcessor.from_pretrained(folder, local_files_only=True),
        )

    def clarity(self, text: str, audio: np.ndarray, sample_rate: int) -> float | None:
        """Return minus the share of the words that are heard wrong, at most 1."""
        import torch

        samples = resample(np.asarray(audio, np.float32), sample_rate, RATE)
        given = self.processor(samples, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            tokens = self.network.generate(given.input_features)
        heard = self.processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return -word_error(text, heard)


def word_error(text: str, heard: str) -> float:
    """Return the share of a text's words that were heard wrong, at most 1; case and marks do not
    count.

    >>> word_error("Good morning, all!", "good morning")
    0.3333333333333333
    """
    wanted, found = ("".join(c if c.isalnum() else " " for c in each.lower()).split()
                     for each in (text, heard))  # fmt: skip
    return min(1.0, edit_distance(wanted, found) / max(1, len(wanted)))


def load_judge(judge: str | Judge) -> Judge:
    """Return a judge by its name, or the judge that was given.

    Raises
    ------
    SettingError : there is no judge of this name.
    MissingFileError : what it needs is not here; the error says how to get it.
    """
    if not isinstance(judge, str):
        if isinstance(judge, (SpeakerJudge, WordJudge)):
            return judge
        raise SettingError("judge", type(judge).__name__, "an object with embed or clarity")
    if judge not in LOADERS:
        raise SettingError("judge", repr(judge), ", ".join(LOADERS))
    return LOADERS[judge]()


def load_judges(judges: Sequence[str | Judge]) -> tuple[SpeakerJudge, WordJudge | None]:
    """Return the one who tells speakers apart, and the one who hears words if there is one.

    Raises
    ------
    SettingError : there are two of a kind, or none to tell speakers apart.
    """
    found = [load_judge(judge) for judge in judges]
    speakers = [judge for judge in found if isinstance(judge, SpeakerJudge)]
    hearers = [judge for judge in found if isinstance(judge, WordJudge)]
    if len(speakers) != 1 or len(hearers) > 1:
        raise SettingError(
            "judges", ", ".join(map(str, judges)) or "none",
            f"one speaker encoder and at most one recogniser, as in {OFFLINE}",
        )  # fmt: skip
    return speakers[0], hearers[0] if hearers else None


LOADERS: Mapping[str, Callable[[], Judge]] = {
    "resemblyzer": Resemblyzer,
    "wavlm": WavLM.from_pretrained,
    "pocketsphinx": Pocketsphinx,
    "whisper": Whisper.from_pretrained,
}
JUDGES = tuple(LOADERS)


def _folder(name: str, place: str | Path) -> Path:
    """Return the folder of a judge's files, fetched if they are not here."""
    if Path(place).is_dir():
        return Path(place)
    repository = str(place)
    files = FILES.get(repository)
    if files is None:
        raise MissingFileError(f"{place} is no folder with the files of {name}")
    try:
        return fetch_all([(repository, file) for file in files])[0].parent
    except MissingModelError as error:
        raise MissingFileError(
            f"the judge {name} is not on this computer and cannot be fetched from {repository}",
            fix=f"Where there is a network: hf download {repository} {' '.join(files)}; "
            f"or judge by {OFFLINE}",
        ) from error


def _sounding(audio: np.ndarray) -> np.ndarray:
    if not np.any(audio):
        raise AudioError("there is no voice to compare", got=f"{len(audio)} samples of silence")
    return np.asarray(audio, np.float32)
