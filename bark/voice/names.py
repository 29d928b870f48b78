"""Turns the name of a voice into the files that hold it."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bark.errors import MissingFileError, VoiceError
from bark.languages import SUPPORTED_LANGS
from bark.storage.files import expand
from bark.tokens import BARK, TokenLayout

SUNO_MODELS = frozenset(
    {"large", "small", "suno/bark", "suno/bark-small"}
)  # one family: they share voices
SUNO_REPOSITORY = "suno/bark"
SUNO_PRESETS = (
    "announcer",
    *(
        f"{version}{lang}_speaker_{n}"
        for version in ("", "v2/")
        for _, lang in SUPPORTED_LANGS
        for n in range(10)
    ),
)
NANO_VOICES = Path(__file__).parents[1] / "nano" / "voices"
FOLDERS_VARIABLE = "BARK_VOICES"  # folders, separated as in PATH

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# Windows opens a device for these, whatever the suffix.
_DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
}
_PART_SUFFIXES = (
    "_semantic_prompt.npy",
    "_coarse_prompt.npy",
    "_fine_prompt.npy",
)  # Hugging Face's files


def check_name(name: str) -> str:
    r"""Return the voice's name, with ``/`` in Suno's presets; raise `VoiceError` if it is no safe
    file name.

    >>> check_name("v2\\en_speaker_6")
    'v2/en_speaker_6'
    """
    preset = name.replace("\\", "/")
    if is_suno_preset(preset):
        return preset
    plain = _NAME.fullmatch(name) and ".." not in name and not name.endswith(".")
    if not plain or name.split(".")[0] in _DEVICES:
        raise VoiceError(
            "this is no name for a voice",
            name,
            "up to 64 of a-z 0-9 . _ -, beginning with a letter or digit; or a path that ends in "
            ".npz",
        )
    return name


def is_suno_preset(name: str) -> bool:
    """Say whether Suno ships a preset of this name."""
    return name in SUNO_PRESETS


def check_made_for(info: Mapping[str, str], model: str) -> None:
    """Refuse a voice whose info says that its tokens are those of another family of models.

    Only nano and Suno's are known to differ; whatever else a voice names may be a fine-tuned copy.
    """
    made_for = info.get("model")
    pair = {made_for, model}
    if made_for is not None and "nano" in pair and pair & SUNO_MODELS:
        raise VoiceError(
            f"the voice was made for {made_for}; {model} understands other tokens",
            fix=f"Speak with the model {made_for}, or clone the recording again for {model}",
        )


def voice_folders(
    folders: Iterable[str | Path] = (), model_folder: str | Path | None = None
) -> tuple[Path, ...]:
    """Return where names are looked for, first to last; the folders need not exist.

    Those of the argument, of ``$BARK_VOICES``, the platform's data folder, and the model's own
    voices."""
    from platformdirs import user_data_path

    named = [Path(part) for part in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if part]
    try:
        own = [expand(user_data_path("bark", appauthor=False) / "voices")]
    except (RuntimeError, MissingFileError):  # this user has no home folder, so none of this kind
        own = []
    model = [Path(model_folder)] if model_folder is not None else []
    return tuple(dict.fromkeys(expand(folder) for folder in (*folders, *named, *own, *model)))


def places_of(
    folders: Iterable[str | Path] = (), model_folder: str | Path | None = None
) -> tuple[Path, ...]:
    """Return `voice_folders` and nano's presets last: a name found there says which
    model to take.
    """
    return tuple(dict.fromkeys([*voice_folders(folders, model_folder), NANO_VOICES]))


def find_voice(name: str, folders: Iterable[Path]) -> list[Path]:
    """Return ``[name.npz]``, or Hugging Face's three ``.npy`` files, from the first folder that has
    them.
    """
    for folder in folders:
        if (single := folder / f"{name}.npz").is_file():
            return [single]
        parts = [folder / f"{name}{suffix}" for suffix in _PART_SUFFIXES]
        if all(part.is_file() for part in parts):
            return parts
    return []


def preset_files(name: str, layout: TokenLayout) -> list[Path]:
    """Return the three files of one of Suno's presets, fetched from the model hub.

    Raises
    ------
    VoiceError : the model with this layout is not Suno's, so the preset's tokens mean nothing to
        it.
    MissingFileError : it lists all files that cannot be had.
    """
    if layout.semantic_vocab != BARK.semantic_vocab:
        raise VoiceError(
            f"{name!r} is a preset of Suno's models, and this one understands other tokens",
            fix="Speak with the model large or small, or choose one of this model's voices",
        )
    from bark.storage.hub import fetch_all

    return fetch_all(
        [(SUNO_REPOSITORY, f"speaker_embeddings/{name}{suffix}") for suffix in _PART_SUFFIXES]
    )


def list_voices(folders: Iterable[Path]) -> dict[str, Path]:
    """Return name → ``.npz`` of every usable name in the folders, sorted; earlier folders win."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in [*folder.glob("*.npz"), *folder.glob("v2/*.npz")]:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if is_suno_preset(name) or _NAME.fullmatch(name):
                found.setdefault(name, path)
    return dict(sorted(found.items()))


def not_found(name: str, folders: Iterable[Path]) -> VoiceError:
    """Return the error for an unknown name: the places searched, and the names that
    are nearly it.
    """
    places = tuple(folders)
    near = difflib.get_close_matches(name, [*list_voices(places), *SUNO_PRESETS], n=3)
    return VoiceError(
        f"no voice is named {name[:80]!r}, neither among Suno's presets nor in "
        + ", ".join(map(str, places)),
        fix=f"Did you mean {' or '.join(near)}?" if near else "Give a path that ends in .npz",
    )
