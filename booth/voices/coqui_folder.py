"""Coqui's folders of voices, <name>/speaker.wav, cloned when first used."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bark.audio.read import open_audio
from bark.errors import BarkError, VoiceError
from bark.speech import file_hash
from bark.storage.files import expand
from bark.storage.weights import read_torch_file
from bark.tokens import BARK, TokenLayout
from bark.voice.names import SUNO_MODELS
from bark.voice.voice import KEYS, Voice

from .library import RANDOM

logger = logging.getLogger(__name__)

SOURCE_HASH = "source_sha256"  # of the recording, in a cloned voice's info
CloneRecording = Callable[[Path], Voice]  # a recording → its voice


def coqui_voice(
    speaker: str | None,
    folders: Sequence[str | Path],
    clone: CloneRecording,
    layout: TokenLayout = BARK,
    model: str | None = None,
) -> Path | None:
    """Return the ``.npz`` of Coqui's folder ``<folder>/<speaker>/``, after cloning its recording if
    needed.

    ``speaker.npz`` stands if it was made for this model and ``speaker.wav`` (or any other kind)
    is still the one it was made from; otherwise the recording is cloned and the result stored
    there. A voice may also lie there as ``<folder>/<speaker>.npz``, or ``.pth`` as idiap's Coqui
    keeps it.

    Parameters
    ----------
    speaker : a voice of the folders; None or "random" for a voice that Bark makes up (None is
        returned).
    clone : recording → voice; called only when needed.
    model : the Bark that is to speak; None takes any voice.

    Raises
    ------
    VoiceError
        If the name leaves the folder, or no folder has such a voice.
    """
    if speaker is None or speaker == RANDOM:
        return None
    roots = [expand(folder) for folder in folders]
    for root in roots:
        place = inside(root, speaker)
        if place.with_name(f"{speaker}.npz").is_file():
            return inside(root, f"{speaker}.npz")
        if place.with_name(f"{speaker}.pth").is_file():
            return _from_torch(inside(root, f"{speaker}.pth"), layout)
        if not place.is_dir():
            continue
        stored, recording = inside(place, "speaker.npz"), _recording_in(place)
        if recording is not None and not is_current(stored, recording, layout, model):
            voice = clone(recording)
            return replace(voice, info={**voice.info, SOURCE_HASH: file_hash(recording)}).save(
                stored, layout
            )
        if stored.is_file():
            return stored
    raise VoiceError(
        f"no voice is named {speaker!r}",
        f"no {speaker}/speaker.wav (or another recording) and no .npz in "
        f"{', '.join(map(str, roots)) or 'any folder'}",
        fix="Put a recording there, or say random",
    )


def _from_torch(path: Path, layout: TokenLayout) -> Path:
    """Write the voice that idiap's Coqui keeps as ``<speaker>.pth`` beside it as ``.npz``."""
    content = read_torch_file(path)
    if not isinstance(content, dict):
        raise VoiceError(f"{path} holds no voice", type(content).__name__, ", ".join(KEYS))
    arrays = {key: content[key] for key in KEYS if key in content}
    voice = Voice.from_dict(arrays, layout, strict=False)
    return replace(voice, info={"source": path.name}).save(path.with_suffix(".npz"), layout)


def is_current(
    stored: Path,
    recording: Path,
    layout: TokenLayout = BARK,
    model: str | None = None,
    strict: bool = False,
) -> bool:
    """Tell whether a stored voice is the clone of this recording, as it is now, for this model.

    One that does not say what it was made from counts as such a clone if it is not older, unless
    `strict`.
    """
    if not stored.is_file():
        return False
    info = Voice.load(stored, layout).info
    made_for = info.get("model", model)
    if made_for != model and None not in (made_for, model) and {made_for, model} - SUNO_MODELS:
        return False
    if SOURCE_HASH in info:  # whatever the dates say: a camera's clock may be years ahead
        return info[SOURCE_HASH] == file_hash(recording)
    return not strict and stored.stat().st_mtime >= recording.stat().st_mtime


def inside(root: Path, name: str) -> Path:
    """Return ``root/name``; a `VoiceError` if that could lie outside of `root`."""
    path = root / name
    plain = name and name == Path(name).name and "\\" not in name and not name.startswith(".")
    if not plain or not name.isprintable() or len(name) > 128:
        raise VoiceError(
            "this is no name for a voice", ascii(name[:80]), "the name of a file or folder"
        )
    if not path.resolve().is_relative_to(root.resolve()):
        raise VoiceError(
            "this is no name for a voice", f"a link out of {root}", "a file or folder in it"
        )
    return path


def _recording_in(place: Path) -> Path | None:
    """Return ``speaker.wav`` or its like, else the folder's only file that holds sound."""
    files = [path for path in sorted(place.iterdir()) if path.is_file()]
    files = [path for path in files if path.suffix.lower() != ".npz" and path.name[0] != "."]
    found = [path for path in files if path.stem == "speaker"] or list(filter(_is_audio, files))
    if len(found) > 1:
        raise VoiceError(
            f"{place} has {len(found)} recordings", fix="Name the one to clone speaker.wav"
        )
    if files and not found:
        logger.warning("%s: no recording among %s", place, ", ".join(path.name for path in files))
    return inside(place, found[0].name) if found else None


def _is_audio(path: Path) -> bool:
    """Say whether a file can be opened as a recording, whatever its suffix."""
    try:
        open_audio(path)
    except BarkError:
        return False
    return True
