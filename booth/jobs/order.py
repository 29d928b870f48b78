"""What somebody wants spoken, planned and cast: the record of a new job and its voices."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from bark.errors import SettingError
from bark.pipeline import Bark
from bark.stages.seeds import new_seed
from bark.text.split import estimate_seconds
from bark.voice.names import check_name
from bark.voice.voice import Voice
from booth.speak.plan import plan
from booth.speak.request import SpeakRequest

from .record import FORMAT, FORMAT_VERSION, MOST_PARTS, DriftMode, JobRecord, JobVoice, Line

TITLE = 120  # letters
MOST_SPEAKERS, LONGEST_SPEAKER = 100, 64  # of a dialogue; letters of a name


@dataclass(frozen=True)
class Order:
    """A text of any length, and how it is to be spoken."""

    text: str
    voice: str | None = None  # None lets the model make one up
    voices: Mapping[str, str] = field(default_factory=dict)  # of a dialogue: speaker → voice
    settings: Mapping[str, Any] = field(default_factory=dict)  # of `bark.settings.SettingChanges`
    seed: int | None = None
    best_of: int = 1
    response_format: str = "mp3"
    speed: float = 1.0
    drift: DriftMode | None = None
    postprocess: Sequence[str] = ()  # names of steps: `bark.audio.postprocess`


def planned(
    order: Order, bark: Bark, find: Callable[[str], Voice | None]
) -> tuple[JobRecord, list[Voice]]:
    """Return the record of the job and its voices; refuse what cannot be spoken.

    Parameters
    ----------
    find : finds the voice of a name; a path must be none for it.
    """
    _check_speakers(order.voices)
    request = SpeakRequest((order.text,), voices=order.voices, settings=order.settings)
    turns = plan(order.text, request, bark)
    if len(turns) > MOST_PARTS:
        raise SettingError("parts of a job", len(turns), f"up to {MOST_PARTS}")
    names = {
        speaker: order.voice if speaker is None else order.voices.get(speaker, speaker)
        for speaker in dict.fromkeys(turn.speaker for turn in turns)
    }
    found = {speaker: (name, find(name)) for speaker, name in names.items() if name is not None}
    cast = {
        speaker: (name, bark.resolve_voice(voice))  # refuses one that was made for another model
        for speaker, (name, voice) in found.items()
    }
    known = [(speaker, name, voice) for speaker, (name, voice) in cast.items() if voice is not None]
    record = JobRecord(
        FORMAT, FORMAT_VERSION, time.time(), bark.name, " ".join(order.text.split())[:TITLE],
        [Line(turn.speaker, turn.text, estimate_seconds(turn.text)) for turn in turns],
        [JobVoice(speaker, name, voice.digest) for speaker, name, voice in known],
        new_seed(order.seed), bark.check(order.settings).to_dict(), order.best_of,
        order.response_format, order.speed, order.drift or UNSET, list(order.postprocess) or UNSET,
    )  # fmt: skip
    return record, [voice for _, _, voice in known]


def _check_speakers(voices: Mapping[str, str]) -> None:
    if len(voices) > MOST_SPEAKERS:
        raise SettingError("voices", f"{len(voices)} speakers", f"up to {MOST_SPEAKERS}")
    for speaker, name in voices.items():
        if not speaker.strip() or len(speaker) > LONGEST_SPEAKER or not speaker.isprintable():
            raise SettingError(
                "the name of a speaker", ascii(speaker), f"1 to {LONGEST_SPEAKER} letters"
            )
        check_name(name)
