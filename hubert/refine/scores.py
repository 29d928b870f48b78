"""Scores takes: like the recordings, words said, at a usual pace, without long silences."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

import numpy as np

from bark.audio.read import resample
from bark.errors import AudioError
from bark.speech import Generation
from hubert.clone import Recording
from hubert.judge import CLARITY, UNALIGNED
from hubert.reference.channels import mono_blocks
from hubert.reference.source import open_source

from .judges import SpeakerJudge, WordJudge

RATE = 16_000  # Hz at which the recordings are listened to
LISTENED = 120.0  # s of each recording at most
PACE, SILENCE = 0.1, 0.1  # weights beside likeness; set by hand: they only bar odd takes
FRAME = 0.02  # s
QUIET_DB = -35.0  # of a frame, below the loudest one: silence


@dataclass(frozen=True)
class Scores:
    """What one take is like."""

    likeness: float  # cosine to the recordings, by the speaker judge
    clarity: float | None = None  # of the words, 0 at best; None where nobody can judge them
    pace: float = 0.0  # how far its pace is from the usual one, |log|
    silence: float = 0.0  # share of it

    @property
    def total(self) -> float:
        """The more the better."""
        said = CLARITY * (self.clarity or 0.0)
        return self.likeness + said - PACE * self.pace - SILENCE * self.silence

    def to_dict(self) -> dict[str, float | None]:
        """Return all of them, rounded, for a record."""
        values = {**asdict(self), "total": self.total}
        return {name: None if v is None else round(v, 4) for name, v in values.items()}


@dataclass(frozen=True)
class Listener:
    """Compares takes with the recordings of one person."""

    target: np.ndarray  # unit embedding (D,)
    speaker: SpeakerJudge
    hearer: WordJudge | None = None

    @classmethod
    def of(
        cls, recordings: Sequence[Recording], speaker: SpeakerJudge, hearer: WordJudge | None
    ) -> "Listener":
        """Listen to the recordings; files, or pairs of a rate and samples.

        Raises
        ------
        AudioError : one cannot be read, or is silent.
        """
        heard = [speaker.embed(_listened(recording), RATE) for recording in recordings]
        mean = np.mean(heard, axis=0)
        return cls(mean / np.linalg.norm(mean), speaker, hearer)

    def likeness(self, audio: np.ndarray, sample_rate: int) -> float:
        """Return the cosine of speech (N,) to the recordings; -1 for silence."""
        try:
            return float(self.speaker.embed(audio, sample_rate) @ self.target)
        except AudioError:
            return -1.0

    def clarity(self, text: str, audio: np.ndarray, sample_rate: int) -> float | None:
        """Return how clearly a text was said, None where nobody can judge it."""
        if self.hearer is None:
            return None
        return self.hearer.clarity(text, audio, sample_rate) if np.any(audio) else UNALIGNED

    def hear(self, take: Generation) -> Scores:
        """Score a take by itself."""
        return Scores(
            self.likeness(take.audio, take.sample_rate),
            self.clarity(take.text, take.audio, take.sample_rate),
            silence=silent_share(take.audio, take.sample_rate),
        )

    def scores(self, takes: Sequence[Generation]) -> list[Scores]:
        """Score takes, their pace too."""
        return paced(takes, [self.hear(take) for take in takes])


def _listened(recording: Recording) -> np.ndarray:
    """Return what is listened to of a recording, (N,) at 16 kHz; its channels must not cancel."""
    source = open_source(recording)
    samples = source.part(0.0, min(LISTENED, source.duration))
    _, blocks = mono_blocks([samples], source.rate)
    return resample(np.concatenate(list(blocks)), source.rate, RATE)


def paced(takes: Sequence[Generation], scores: Sequence[Scores]) -> list[Scores]:
    """Add to the scores of takes how far the pace of each is from the middle one's."""
    paces = [math.log(max(take.duration, 1e-3) / max(1, len(take.text))) for take in takes]
    usual = median(paces) if paces else 0.0
    return [
        replace(score, pace=abs(pace - usual)) for score, pace in zip(scores, paces, strict=True)
    ]


def silent_share(audio: np.ndarray, sample_rate: int) -> float:
    """Return how much of speech (N,) is far quieter than its loudest 20 ms."""
    size = max(1, round(FRAME * sample_rate))
    frames = np.asarray(audio, np.float64)[: len(audio) // size * size].reshape(-1, size)
    power = np.square(frames).mean(axis=1)
    if not len(power) or power.max() == 0:
        return 1.0
    return float(np.mean(power < power.max() * 10 ** (QUIET_DB / 10)))
