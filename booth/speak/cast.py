"""Who speaks: the voices of a request, found by name or cloned from a recording."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from bark.checkpoints.find import ModelFiles, Place
from bark.errors import VoiceError
from bark.speech import reference_of
from bark.storage.files import expand
from bark.text.dialogue import Turn
from bark.tokens import TokenLayout
from bark.voice.names import check_marked, find_voice, is_suno_preset, places_of, preset_wanted
from bark.voice.voice import Voice, VoiceLike
from booth.takes.take import save_voice, slug
from booth.voices.coqui_folder import CloneRecording, coqui_voice, inside, is_current
from booth.voices.library import RANDOM
from hubert.consent import require_consent

from .request import SpeakRequest

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


def read_voices(
    request: SpeakRequest,
    files: ModelFiles,
    known: dict[str, Voice],
    scripts: Iterable[Sequence[Turn]] = (),
) -> tuple[ModelFiles, dict[str, Voice]]:
    """Read the voices that a request and the marks in its texts name, before the model is sought;
    none is cloned or downloaded.

    Parameters
    ----------
    known : those that have been read already, by `absolute`.

    Returns
    -------
    The files, with those of Suno's presets, so that one error lists everything that is missing; and
    the voices by `absolute`.

    Raises
    ------
    VoiceError
        If a name is unknown, a voice is broken or of another model, or a text names a path and may
        not.
    """
    speakers = {turn.speaker for turns in scripts for turn in turns if turn.speaker}
    marked = [check_marked(name, request.allow_paths) for name in speakers - set(request.voices)]
    named = {absolute(n) for n in (_named(request), *request.voices.values(), *marked) if n}
    presets = {name for name in named if is_suno_preset(name) and not find_voice(name, places_of())}
    found = {name: _resolved(files, name, known) for name in sorted(named - presets)}
    wanted = {name: Place(None, tuple(preset_wanted(name, files.layout))) for name in presets}
    return replace(files, places={**files.places, **wanted}), found


def cast(
    request: SpeakRequest,
    model: Model,
    ask: Ask | None = None,
    known: Mapping[str, Voice] | None = None,
) -> Cast:
    """Find or clone the voices that the options name; `known` have been read by `read_voices`.

    Raises
    ------
    SettingError
        If a voice is to be cloned and nobody says whose it is.
    """
    references = {name: absolute(reference) for name, reference in request.voices.items()}
    known = known or {}
    voices = {name: _resolved(model, reference, known) for name, reference in references.items()}
    clone = cloner(model, request.consent, ask)
    reference: str | None
    if request.recording is not None:
        return _from_recording(request, model, clone, voices, references)
    if request.voice_dir is not None and request.voice is None:
        stored = coqui_voice(request.speaker, [request.voice_dir], clone, model.layout, model.name)
        reference = None if stored is None else str(stored)
    else:
        reference = _named(request)
    reference = None if reference is None else absolute(reference)
    voice = None if reference is None else _resolved(model, reference, known)
    return Cast(voice, reference, voices, references)


def with_marked(model: Model, who: Cast, turns: Sequence[Turn], allow_paths: bool) -> Cast:
    """Add the voices that ``[voice:name]`` marks name and that were not given."""
    names = {turn.speaker for turn in turns if turn.speaker} - set(who.voices)
    found = {name: _resolved(model, check_marked(name, allow_paths)) for name in sorted(names)}
    return replace(
        who,
        voices={**who.voices, **found},
        references={**who.references, **{name: absolute(name) for name in found}},
    )


def cloner(model: Model, consent: str | None, ask: Ask | None = None) -> CloneRecording:
    """Return the function that clones a recording for `model`, after consent; models load when
    needed.
    """
    loaded: list[Any] = []

    def clone(recording: Path) -> Voice:
        from hubert.clone import Cloner, excerpt

        statement = require_consent(consent, ask)
        cut = excerpt(recording)  # before models are sought: it may be no recording
        if not loaded:
            loaded.append(Cloner.from_pretrained(model.name))
        return loaded[0].clone(cut, consent=statement).said(recording).voice

    return clone


def _from_recording(
    request: SpeakRequest,
    model: Model,
    clone: CloneRecording,
    voices: Mapping[str, Voice],
    references: Mapping[str, str],
) -> Cast:
    """Clone a recording; the voice is kept in the output folder, or as --speaker in --voice_dir."""
    recording = expand(str(request.recording))
    folder = expand(request.voice_dir or request.folder)
    name = request.speaker or slug(recording.stem)
    path = inside(folder, f"{name}.npz")
    if recording.is_file() and is_current(path, recording, model.layout, model.name, strict=True):
        return Cast(Voice.load(path, model.layout), str(path.resolve()), voices, references)
    voice = clone(recording)
    if not (request.with_voice and request.kept):
        return Cast(voice, None, voices, references)
    path = save_voice(voice, folder, name, model.layout)
    return Cast(voice, str(path.resolve()), voices, references)


def absolute(reference: str) -> str:
    """Return a path that other folders know too; a name stays."""
    return reference_of(reference) or reference


def _named(request: SpeakRequest) -> str | None:
    """Return the one voice that a request names, if it is neither cloned nor one of a folder."""
    if request.voice is not None or request.voice_dir is not None:
        return request.voice
    return None if request.speaker == RANDOM or request.recording else request.speaker


def _resolved(model: Model, reference: str, known: Mapping[str, Voice] | None = None) -> Voice:
    voice = model.resolve_voice((known or {}).get(reference, reference))
    if voice is None:
        raise VoiceError("no voice is named", repr(reference))
    return voice
