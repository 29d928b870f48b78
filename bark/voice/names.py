"""How voices are named, where a name is looked for, and which models a voice was made for."""

import difflib
import itertools
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
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
NANO_FAMILY = "mel 8x1024 at 75 Hz, semantic 250 at 50 Hz"
NANO_VOICES = Path(__file__).parents[1] / "nano" / "voices"
FOLDERS_VARIABLE = "BARK_VOICES"  # folders, separated as in PATH

SERP_FOLDER = Path("bark", "assets", "prompts")  # of the working folder: serp-ai's clones lie there
TOKENS_KEY = "tokens"  # of a voice's info: `token_family` of the model that it was made for
LONGEST_NAME = 64  # characters
_ALPHABET = (
    f"up to {LONGEST_NAME} letters of any script, digits, spaces and _ - . (a letter, digit or _ "
    "first, no dot or space last); or a path that ends in .npz"
)
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
    r"""Return the voice's name in Unicode's composed form (NFC), Suno's presets with ``/``.

    A `VoiceError` if it is no name.

    >>> check_name("v2\\en_speaker_6"), check_name("Tom Hanks")
    ('v2/en_speaker_6', 'Tom Hanks')
    """
    preset = name.replace("\\", "/")
    if is_suno_preset(preset):
        return preset
    plain = unicodedata.normalize("NFC", name)
    if not _is_plain(plain):
        raise VoiceError("this is no name for a voice", ascii(name[:80]), _ALPHABET)
    return plain


def check_marked(name: str, allow_paths: bool = False) -> str:
    """Return the voice that a text itself names, as ``[voice:name]`` does.

    Whoever wrote the text may be a stranger: a path in it is a `VoiceError` unless allowed.
    """
    if not allow_paths and name.lower().endswith(".npz"):
        raise VoiceError(
            "a mark in a text names a voice, not a path",
            f"[voice:{name}]",
            "a name, or paths with --allow_paths (allow_paths=True)",
            "Name the file beside the text: --voices NAME=FILE, and [voice:NAME] in it",
        )
    return name


def _is_plain(name: str) -> bool:
    """Say whether a name in composed form keeps to the alphabet, and is a file on every system."""
    letters = all(unicodedata.category(c)[0] in "LMN" or c in " _-." for c in name)
    edges = name[:1] not in ("", ".", "-", " ") and name[-1:] not in (".", " ")
    device = name.split(".")[0].strip().lower() in _DEVICES
    return letters and edges and not device and len(name) <= LONGEST_NAME


def is_suno_preset(name: str) -> bool:
    """Say whether Suno ships a preset of this name."""
    return name in SUNO_PRESETS


def token_family(layout: TokenLayout, codec: str) -> str:
    """Name what must be equal for two models to understand each other's tokens.

    Parameters
    ----------
    codec : the codec's family, "encodec" or "mel".

    >>> token_family(BARK, "encodec")
    'encodec 8x1024 at 75 Hz, semantic 10000 at 49.9 Hz'
    """
    return (
        f"{codec} {layout.fine_books}x{layout.codebook_size} at {layout.coarse_rate:g} Hz, "
        f"semantic {layout.semantic_vocab} at {layout.semantic_rate:g} Hz"
    )


def made_by(model: str, layout: TokenLayout, codec: str) -> dict[str, str]:
    """Return what a voice's info says of the model that its tokens belong to."""
    return {"model": model, TOKENS_KEY: token_family(layout, codec)}


def check_made_for(info: Mapping[str, str], model: str, family: str | None = None) -> None:
    """Refuse a voice whose info says that its tokens are those of another family of models.

    Parameters
    ----------
    info : of the voice. One without `TOKENS_KEY` is an older one: its model's name tells the
        family if it is a published one; any other may be a fine-tuned copy and is taken.
    family : `token_family` of the model; None if only its name is known.
    """
    made_for = info.get("model", "another model")
    theirs = family_of(info)
    own = family or _published_family(model)
    if theirs is not None and own is not None and theirs != own:
        raise VoiceError(
            f"the voice was made for {made_for}; {model} understands other tokens",
            theirs,
            own,
            f"Speak with the model {made_for}, or clone the recording again for {model}",
        )


def family_of(info: Mapping[str, str]) -> str | None:
    """Return the token family that a voice's info tells; None if it does not."""
    return info.get(TOKENS_KEY, _published_family(info.get("model", "")))


def _published_family(model: str) -> str | None:
    """Return the tokens of the models that everyone has, by name."""
    if model == "nano":
        return NANO_FAMILY
    return token_family(BARK, "encodec") if model in SUNO_MODELS else None


def voice_folders(
    folders: Iterable[str | Path] = (), model_folder: str | Path | None = None
) -> tuple[Path, ...]:
    """Return where names are looked for, first to last; the folders need not exist.

    Those of the argument, of ``$BARK_VOICES``, the platform's data folder, ``bark/assets/prompts``
    of the working folder if it is there, and the model's own voices."""
    from platformdirs import user_data_path

    named = [Path(part) for part in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if part]
    try:
        own = [expand(user_data_path("bark", appauthor=False) / "voices")]
    except (RuntimeError, MissingFileError):  # this user has no home folder, so none of this kind
        own = []
    own += [SERP_FOLDER] if SERP_FOLDER.is_dir() else []
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
        # other spellings of the same letters, or of the suffix
        if spelled := [path for found, path in _voice_files(folder) if found == name]:
            return spelled[:1]
        parts = [folder / f"{name}{suffix}" for suffix in _PART_SUFFIXES]
        if all(part.is_file() for part in parts):
            return parts
    return []


def _voice_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name, composed, and the path of each ``.npz`` of a folder and of its ``v2``."""
    for place in (folder, folder / "v2"):
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.suffix.lower() == ".npz" and path.is_file():
                name = path.relative_to(folder).with_suffix("").as_posix()
                yield unicodedata.normalize("NFC", name), path


def _triples(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and the first file of each voice that lies there as Hugging Face keeps it."""
    for place in (folder, folder / "v2"):
        first, *others = _PART_SUFFIXES
        for path in sorted(place.glob(f"*{first}")) if place.is_dir() else ():
            stem = path.name.removesuffix(first)
            if all(path.with_name(f"{stem}{other}").is_file() for other in others):
                name = path.with_name(stem).relative_to(folder).as_posix()
                yield unicodedata.normalize("NFC", name), path


def preset_wanted(name: str, layout: TokenLayout) -> list[tuple[str, str]]:
    """Return repository and file of the three arrays of one of Suno's presets.

    Raises
    ------
    VoiceError : the model with this layout is not Suno's, so the preset's tokens mean nothing to
        it.
    """
    if layout.semantic_vocab != BARK.semantic_vocab:
        raise VoiceError(
            f"{name!r} is a preset of Suno's models, and this one understands other tokens",
            fix="Speak with the model large or small, or choose one of this model's voices",
        )
    return [(SUNO_REPOSITORY, f"speaker_embeddings/{name}{suffix}") for suffix in _PART_SUFFIXES]


def preset_files(name: str, layout: TokenLayout) -> list[Path]:
    """Return the three files of one of Suno's presets, fetched from the model hub.

    Raises
    ------
    VoiceError : as `preset_wanted`.
    MissingFileError : it lists all files that cannot be had.
    """
    from bark.storage.hub import fetch_all

    return fetch_all(preset_wanted(name, layout))


def list_voices(folders: Iterable[Path]) -> dict[str, Path]:
    """Return name → ``.npz``, or the first of three ``.npy``, of every usable name in the folders,
    sorted; earlier folders win.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for name, path in itertools.chain(_voice_files(folder), _triples(folder)):
            if is_suno_preset(name) or _is_plain(name):
                found.setdefault(name, path)
    return dict(sorted(found.items()))


def unlisted(folders: Iterable[Path]) -> list[Path]:
    """Return the ``.npz`` files that `list_voices` leaves out, since their names are none."""
    return [
        path
        for folder in folders
        for name, path in _voice_files(folder)
        if not is_suno_preset(name) and not _is_plain(name)
    ]


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
