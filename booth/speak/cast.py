"""Turns the flags that say who speaks into voices, cloning where a recording is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from bark.errors import VoiceError
from bark.text.dialogue import Turn
from bark.tokens import TokenLayout
from bark.voice.voice import Voice, VoiceLike
from booth.cli.options import SpeakOptions
from booth.takes.take import save_voice, slug
from booth.voices.coqui_folder import CloneRecording, coqui_voice, inside, is_current
from booth.voices.library import RANDOM
from hubert.consent import require_consent

Ask = Callable[[str], str | None]  # a question → the answer, or None where nobody is there


class Model(Protocol):
    """What casting needs to know of a model: a `bark.Bark`, or a `ModelFiles` that is not loaded
    yet.
    """

    @property
    def name(self) -> str:
        """As it was asked for."""

    @property
    def layout(self) -> TokenLayout:
        """Its token numbers."""

    def resolve_voice(self, voice: VoiceLike | None) -> Voice | None:
        """Find a voice."""


@dataclass(frozen=True)
class Cast:
    """Who speaks."""

    voice: Voice | None = None  # None: whoever Bark makes up
    reference: str | None = None  # a name or a path that finds the voice again
    voices: Mapping[str, Voice] = field(
        default_factory=dict
    )  # of a dialogue, by the name in the script
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Who speaks, for a file name."""
        return label_of(self.reference, bool(self.voices))


def label_of(reference: str | None, dialogue: bool) -> str:
    """Return who speaks, for a file name; Coqui's ``ana/speaker.npz`` is ana."""
    if dialogue or reference is None:
        return "dialogue" if dialogue else ""
    path = Path(reference)
    return slug(path.parent.name if path.name == "speaker.npz" else path.stem)


def cast(options: SpeakOptions, model: Model, ask: Ask | None = None) -> Cast:
    """Find or clone the voices that the options name.

    Raises
    ------
    SettingError
        If a voice is to be cloned and nobody says whose it is.
    """
    references = {name: _absolute(reference) for name, reference in options.voices or ()}
    voices = {name: _resolved(model, reference) for name, reference in references.items()}
    clone = cloner(model, options.consent, ask)
    reference: str | None
    if options.audio_file_as_history_prompt is not None:
        return _from_recording(options, model, clone, voices, references)
    if options.voice_dir is not None and options.history_prompt is None:
        stored = coqui_voice(options.speaker, [options.voice_dir], clone, model.layout, model.name)
        reference = None if stored is None else str(stored)
    else:
        reference = options.history_prompt or (
            None if options.speaker == RANDOM else options.speaker
        )
    reference = None if reference is None else _absolute(reference)
    voice = None if reference is None else _resolved(model, reference)
    return Cast(voice, reference, voices, references)


def with_marked(model: Model, who: Cast, turns: Sequence[Turn]) -> Cast:
    """Add the voices that ``[voice:name]`` marks name and that were not given."""
    names = {turn.speaker for turn in turns if turn.speaker} - set(who.voices)
    found = {name: _resolved(model, name) for name in sorted(names)}
    return replace(
        who,
        voices={**who.voices, **found},
        references={**who.references, **{name: _absolute(name) for name in found}},
    )


def cloner(model: Model, consent: str | None, ask: Ask | None = None) -> CloneRecording:
    """Return the function that clones a recording for `model`, after consent; models load when
    needed.
    """
    loaded: list[Any] = []

    def clone(recording: Path) -> Voice:
        statement = require_consent(consent, ask)
        if not loaded:
            from hubert.clone import Cloner

            loaded.append(Cloner.from_pretrained(model.name))
        return loaded[0].clone(recording, consent=statement).said(recording).voice

    return clone


def _from_recording(
    options: SpeakOptions,
    model: Model,
    clone: CloneRecording,
    voices: Mapping[str, Voice],
    references: Mapping[str, str],
) -> Cast:
    """Clone a recording; the voice is kept in the output folder, or as --speaker in --voice_dir."""
    recording = Path(str(options.audio_file_as_history_prompt)).expanduser()
    folder = Path(options.voice_dir or options.output_dir).expanduser()
    name = options.speaker or slug(recording.stem)
    path = inside(folder, f"{name}.npz")
    if recording.is_file() and is_current(path, recording, model.layout, model.name, strict=True):
        return Cast(Voice.load(path, model.layout), str(path.resolve()), voices, references)
    voice = clone(recording)
    if not options.always_save_speaker or options.output_filename == "-":
        return Cast(voice, None, voices, references)
    path = save_voice(voice, folder, name, model.layout)
    return Cast(voice, str(path.resolve()), voices, references)


def _absolute(reference: str) -> str:
    """Return a path that other folders know too; a name stays."""
    return (
        str(Path(reference).expanduser().resolve())
        if reference.lower().endswith(".npz")
        else reference
    )


def _resolved(model: Model, reference: str) -> Voice:
    voice = model.resolve_voice(reference)
    if voice is None:
        raise VoiceError("no voice is named", repr(reference))
    return voice
