"""A request to speak: plain data that every door fills in and `booth.speak.speak` carries out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COQUI_MODEL = "tts_models/multilingual/multi-dataset/bark"  # Coqui's name for Suno's large model


@dataclass(frozen=True)
class SpeakRequest:
    """What is to be spoken, by whom, how, and where it goes.

    None leaves the choice to the model.
    """

    texts: tuple[str, ...]  # each becomes `iterations` takes
    prefix: str = ""  # in front of every part
    suffix: str = ""  # behind every part

    voice: str | None = None  # an .npz file, or a name
    recording: Path | None = None  # whose voice is cloned
    voice_dir: Path | None = None  # a folder of voices
    speaker: str | None = None  # one of `voice_dir`
    voices: Mapping[str, str] = field(default_factory=dict)  # of a dialogue: name → voice
    allow_paths: bool = False  # a [voice:...] mark in a text may be the path of an .npz file
    consent: str | None = None  # for what is cloned

    model: str | None = None  # None: the one that the voice was made for, else large
    small_stages: tuple[str, ...] = ()  # stages that come from "small"
    device: str = "auto"
    dtype: str = "auto"
    offload: bool = False
    fast: bool = False  # see `Bark.from_pretrained`
    decoder: str | None = None  # of the codes, instead of the model's own: "vocos"

    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # of `bark.settings.SettingChanges`

    words_a_part: int = 0  # 0: as many as the model can take at once
    lines_a_part: int = 0
    goal_characters: int | None = None
    max_characters: int | None = None
    mode: str = "anchored"
    silence: float | None = None  # seconds between parts
    crossfade: float = 0.0  # seconds that parts overlap
    regenerate: tuple[int, ...] | None = None  # parts to draw anew, of a take made before

    folder: Path = Path()
    name: str | None = None  # of the files, without suffix; None: from the text
    format: str = "wav"
    iterations: int = 1
    best_of: int = 1  # takes of each part, of which the best is kept
    drift: str | None = None  # "measure" each part, or "repair" what falls out
    postprocess: tuple[str, ...] = ()  # steps before the file: `bark.audio.postprocess`
    with_voice: bool = True  # keep the .npz beside the audio
    kept: bool = True  # False: nothing is written
