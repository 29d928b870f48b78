"""Measures how a spoken part sounds, so that a long text stays the same person.

For ``speak_long(..., drift=Drift(PartListener(bark)))``: likeness and clarity as `hubert.judge` has
them, loudness in LUFS, and the speed and pitch of what is said."""

import numpy as np

from bark.audio.postprocess import loudness_of
from bark.audio.read import resample
from bark.longform.drift import Heard
from bark.pipeline import Bark
from bark.text.split import estimate_seconds
from bark.voice.voice import Voice

from .judge import TakeJudge, english_words
from .reference import speakers
from .reference.frames import Meter, loud_frames
from .reference.measures import HOP, Spectra
from .reference.speech import RATE


class PartListener:
    """Tells how a part sounds; see `bark.longform.drift`.

    Parameters
    ----------
    bark : the model that speaks; its codec makes the voice heard.

    Raises
    ------
    MissingFileError
        If the extra ``[judge]`` is not installed, or the weights for likeness are not there.
    """

    def __init__(self, bark: Bark) -> None:
        self.judge = TakeJudge(bark)
        self.rate = bark.layout.sample_rate

    def __call__(self, text: str, voice: Voice | None, audio: np.ndarray) -> Heard:
        """Return how (N,) audio of a text sounds beside a voice; silence has no measures."""
        slow = resample(audio, self.rate, RATE) if np.any(audio) else np.zeros(0, np.float32)
        if len(slow) < 10 * HOP or not (speech := _speech(slow)).any():
            return Heard()
        words = english_words(text)
        spoken = float(speech.sum() * HOP / RATE)
        return Heard(
            likeness=None if voice is None else self.judge.alike(audio, voice),
            clarity=self.judge.aligner.clarity(words, audio, self.rate) if words else None,
            loudness=max(-99.0, loudness_of(audio, self.rate)),
            speed=estimate_seconds(text) / spoken,
            pitch=_pitch(slow, speech),
        )


def _speech(audio: np.ndarray) -> np.ndarray:
    """Return which frames of 10 ms are louder than the pauses: (F,)."""
    meter = Meter(RATE)
    for _ in meter.watch([audio]):
        continue
    return loud_frames(meter.frames())


def _pitch(audio: np.ndarray, speech: np.ndarray) -> float | None:
    """Return the median pitch in Hz of what is voiced; None if hardly anything is."""
    pitches, _ = speakers.pitch(Spectra.of(audio, speech, speech))
    heard = pitches[~np.isnan(pitches)]
    return float(2 ** np.median(heard)) if len(heard) > 8 else None
