"""A long text as it was spoken: its parts, its audio, and the ways to keep it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bark.errors import VoiceError
from bark.speech import (
    Part,
    Savable,
    spoken_info,
    voice_record,
)
from bark.tokens import TokenLayout
from bark.voice.voice import Voice


@dataclass(frozen=True, eq=False)
class LongTake(Savable):
    """A long text, spoken."""

    audio: np.ndarray = field(repr=False)  # (N,) float32
    parts: tuple[Part, ...]
    sample_rate: int  # Hz
    seed: int
    mode: str
    model: str
    layout: TokenLayout = field(repr=False)
    text: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # all of them
    spoken_in: Mapping[str | None, Voice | None] = field(default_factory=dict, repr=False)
    references: Mapping[str | None, str | None] = field(default_factory=dict, repr=False)
    silence: float = 0.0  # seconds between parts
    crossfade: float = 0.0  # seconds that parts overlap
    candidates: int = 1
    source: Mapping[str, Any] = field(default_factory=dict)  # of the model: see `Generation`
    family: str = ""  # of the tokens
    drift: Mapping[str, Any] | None = None  # how it was kept steady: `bark.longform.drift`

    @property
    def voice(self) -> Voice:
        """The end of the speech as a history prompt: the last part that is long enough for one."""
        said = [(part.speaker, part.tokens) for part in self.parts]
        speaker, voice = closing_voice(said, self.layout)
        text = self.text or " ".join(part.text for part in self.parts)
        own = self.spoken_in.get(speaker)
        info = spoken_info(self.model, text, self.seed, own, self.family)
        return replace(voice, info=info)

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Numbers of the parts that filled the longest utterance: their ends may be missing."""
        chosen = self.settings
        if chosen.get("max_duration_s") is not None or not chosen.get("allow_early_stop", True):
            return ()  # they were to last so long
        most = self.layout.max_semantic
        return tuple(part.number for part in self.parts if len(part.tokens.semantic) >= most)

    def record(self) -> dict[str, Any]:
        """Return all that it takes to speak this again, as ``bark replay`` reads it."""
        voices = {
            name: voice_record(voice, self.references.get(name))
            for name, voice in self.spoken_in.items()
        }
        return {
            "text": self.text,
            "seed": self.seed,
            "model": dict(self.source) or {"name": self.model},
            "voice": voices.pop(None, None),
            "voices": voices,
            "mode": self.mode,
            "silence": self.silence,
            "crossfade": self.crossfade,
            "settings": dict(self.settings),
            "candidates": self.candidates,
            **({} if self.drift is None else {"drift": dict(self.drift)}),
            "parts": [part.record(self.sample_rate) for part in self.parts],
        }


def closing_voice(
    said: Sequence[tuple[str | None, Voice]], layout: TokenLayout
) -> tuple[str | None, Voice]:
    """Return the last part, of (speaker, tokens) each, that is long enough for a voice."""
    for speaker, tokens in reversed(said):
        if (voice := as_history(tokens, layout)) is not None:
            return speaker, voice
    raise VoiceError("no part is long enough for a voice")


def speaker_voice(anchor: Voice | None, own: Sequence[Voice], layout: TokenLayout) -> Voice | None:
    """Return whom a speaker should sound like: the voice that was given, else the first of their
    own parts that is long enough for one.
    """
    if anchor is not None:
        return anchor
    found = (as_history(tokens, layout) for tokens in own)
    return next((voice for voice in found if voice is not None), None)


def as_history(tokens: Voice, layout: TokenLayout) -> Voice | None:
    """Return a part's tokens as a voice, or None if it is too short for one."""
    try:
        return tokens.canonical(layout)
    except VoiceError:
        return None
