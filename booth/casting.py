"""Turns the flags that say who speaks into voices, cloning where a recording is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bark.errors import VoiceError
from bark.pipeline import Bark
from bark.splitting import Turn
from bark.voice import Voice
from hubert.consent import require_consent

from .library import RANDOM, Cloner, coqui_voice, inside, is_current
from .options import SpeakOptions
from .takes import save_voice, slug

Ask = Callable[[str], str | None]  # a question → the answer, or None where nobody is there


@dataclass(frozen=True)
class Cast:
    """Who speaks."""

    voice: Voice | None = None  # None: whoever Bark makes up
    reference: str | None = None  # a name or a path that finds the voice again
    voices: Mapping[str, Voice] = field(default_factory=dict)  # of a dialogue, by the name in the script
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Who speaks, for a file name."""
        if self.voices:
            return "dialogue"
        return slug(Path(self.reference).stem) if self.reference else ""


def cast(options: SpeakOptions, bark: Bark, ask: Ask | None = None) -> Cast:
    """Find or clone the voices that the options name.

    Raises
    ------
    SettingError
        If a voice is to be cloned and nobody says whose it is.
    """
    references = dict(options.voices or ())
    voices = {name: _resolved(bark, reference) for name, reference in references.items()}
    clone = cloner(bark, options.consent, ask)
    reference: str | None
    if options.audio_file_as_history_prompt is not None:
        return _from_recording(options, bark, clone, voices, references)
    if options.voice_dir is not None:
        stored = coqui_voice(options.speaker, [options.voice_dir], clone, bark.layout, bark.name)
        reference = None if stored is None else str(stored)
    else:
        reference = options.history_prompt or (None if options.speaker == RANDOM else options.speaker)
    if reference is not None and reference.lower().endswith(".npz"):
        reference = str(Path(reference).expanduser().resolve())
    voice = None if reference is None else _resolved(bark, reference)
    return Cast(voice, reference, voices, references)


def with_marked(bark: Bark, who: Cast, turns: Sequence[Turn]) -> Cast:
    """Add the voices that ``[voice:name]`` marks name and that were not given."""
    names = {turn.speaker for turn in turns if turn.speaker} - set(who.voices)
    found = {name: _resolved(bark, name) for name in sorted(names)}
    return replace(
        who, voices={**who.voices, **found}, references={**who.references, **{n: n for n in found}}
    )


def cloner(bark: Bark, consent: str | None, ask: Ask | None = None) -> Cloner:
    """Return the function that clones a recording for `bark`, after consent; models load when needed."""
    loaded: list[Any] = []

    def clone(recording: Path) -> Voice:
        statement = require_consent(consent, ask)
        if not loaded:
            from hubert.clone import Cloner as Machine

            loaded.append(Machine.from_pretrained(bark.name))
        return loaded[0].clone(recording, consent=statement).voice

    return clone


def _from_recording(
    options: SpeakOptions,
    bark: Bark,
    clone: Cloner,
    voices: Mapping[str, Voice],
    references: Mapping[str, str],
) -> Cast:
    """Clone a recording; the voice is kept in the output folder, or as --speaker in --voice_dir."""
    recording = Path(str(options.audio_file_as_history_prompt)).expanduser()
    folder = Path(options.voice_dir or options.output_dir).expanduser()
    name = options.speaker or slug(recording.stem)
    path = inside(folder, f"{name}.npz")
    if recording.is_file() and is_current(path, recording, bark.layout, bark.name, strict=True):
        return Cast(Voice.load(path, bark.layout), str(path.resolve()), voices, references)
    voice = clone(recording)
    if not options.always_save_speaker or options.output_filename == "-":
        return Cast(voice, None, voices, references)
    path = save_voice(voice, folder, name, bark.layout)
    return Cast(voice, str(path.resolve()), voices, references)


def _resolved(bark: Bark, reference: str) -> Voice:
    voice = bark.resolve_voice(reference)
    if voice is None:
        raise VoiceError("no voice is named", repr(reference))
    return voice
