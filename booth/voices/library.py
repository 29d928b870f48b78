"""The library of voices: list, look up, add, rename, delete, export.

Own voices are ``NAME.npz`` in one folder: the argument, else the first of ``$BARK_VOICES``, else
the platform's data folder. Beside them stand the presets of nano and Suno. `coqui_voice` reads
Coqui's folders, ``<name>/speaker.wav``, which it clones when first used."""

import logging
from dataclasses import dataclass
from pathlib import Path

from bark.checkpoints.find import find_model
from bark.checkpoints.trust import is_here
from bark.errors import BarkError, MissingFileError, StorageError, TakenError, VoiceError
from bark.storage.atomic import atomic_write, link_new, workshop
from bark.storage.files import expand
from bark.storage.npz import member_names
from bark.tokens import BARK, TokenLayout
from bark.voice.mix import By, mix_voices
from bark.voice.names import (
    NANO_VOICES,
    SUNO_PRESETS,
    check_name,
    find_voice,
    is_suno_preset,
    list_voices,
    not_found,
    unlisted,
    voice_folders,
)
from bark.voice.rules import parts_of
from bark.voice.voice import Voice, resolve_voice

logger = logging.getLogger(__name__)

RANDOM = "random"  # Coqui's name for a voice that Bark makes up


@dataclass(frozen=True)
class Entry:
    """One voice of the library."""

    name: str
    origin: str  # "own", "nano" or "suno"
    path: Path | None  # None: fetched from the hub when first used


@dataclass(frozen=True)
class Library:
    """The voices that names can reach; `folder` is where own ones are kept, None for the usual
    place.
    """

    folder: Path | None = None

    @property
    def home(self) -> Path:
        """The folder of own voices; it need not exist."""
        if not (folders := self._folders()):
            raise MissingFileError("there is no home folder for voices", fix="Set BARK_VOICES")
        return folders[0]

    def _folders(self) -> tuple[Path, ...]:
        return voice_folders([] if self.folder is None else [self.folder])

    def entries(self) -> list[Entry]:
        """Return own voices, then nano's, then Suno's presets, each sorted by name.

        A file in the folders whose name cannot be given, or that holds no voice, is logged."""
        own = list_voices(self._folders())
        for name, path in list(own.items()):
            if path.suffix.lower() == ".npz" and not _holds_voice(path):
                logger.warning("%s is not listed: it holds no voice, or is damaged", path)
                del own[name]
        for path in unlisted(self._folders()):
            logger.warning(
                "%s is not listed: its name is none for a voice. Rename it, or give its path", path
            )
        found = [
            Entry(name, "suno" if is_suno_preset(name) else "own", path)
            for name, path in own.items()
        ]
        found += [
            Entry(name, "nano", path)
            for name, path in list_voices([NANO_VOICES]).items()
            if name not in own
        ]
        return found + [Entry(name, "suno", None) for name in SUNO_PRESETS if name not in own]

    def find(self, name: str) -> Path:
        """Return the ``.npz`` of an own voice or of one of nano's; an unknown name is a
        `VoiceError`.
        """
        name = check_name(name)
        folders = (*self._folders(), NANO_VOICES)
        found = find_voice(name, folders)
        if len(found) == 1:
            return found[0]
        if found or is_suno_preset(name):
            raise VoiceError(
                f"{name!r} is a preset, which has no file of its own",
                fix="Use it by its name: --history_prompt",
            )
        raise not_found(name, folders)

    def describe(self, name_or_path: str) -> dict[str, str]:
        """Return what is known of a voice: its size, what Bark hears of it, and the notes kept
        inside it.
        """
        path = (
            Path(name_or_path) if name_or_path.lower().endswith(".npz") else self.find(name_or_path)
        )
        voice = Voice.load(path)
        layout = _layout_of(voice)
        heard = voice.heard_seconds(layout)
        facts = {
            "file": str(path),
            "length": f"{voice.seconds(layout):.2f} s",
            "tokens": f"{len(voice.semantic)} semantic, {voice.fine.shape[1]} frames",
            "heard": ", ".join(
                f"{stage} the last {seconds:.2f} s" for stage, seconds in heard.items()
            ),
            "sha256": voice.digest,
        }
        return facts | {"consent": "unknown"} | voice.info

    def read(self, name_or_path: str) -> Voice | None:
        """Read a voice that has a file; None is one of Suno's presets."""
        if is_suno_preset(name_or_path):
            return None
        is_path = name_or_path.lower().endswith(".npz")
        return Voice.load(Path(name_or_path) if is_path else self.find(name_or_path))

    def model_of(self, name_or_path: str) -> str | None:
        """Return the Bark that a voice was made for; None if it is not told or not here."""
        voice = self.read(name_or_path)
        return None if voice is None else model_here(voice)

    def add(self, path: str | Path, name: str | None = None) -> Path:
        """Copy a voice file into the library under a new name (its own if None) and return the
        copy.
        """
        path = expand(path)
        Voice.load(path)  # raises what is wrong with it
        final = self._free(path.stem if name is None else name)
        _copy_new(path, final)
        return final

    def check_free(self, name: str) -> None:
        """Refuse a name that a new voice cannot have."""
        self._free(name)

    def keep(self, voice: Voice, name: str, layout: TokenLayout) -> Path:
        """Write a new voice under a free name and return its file."""
        final = self._free(name)
        with workshop(final.parent) as shop:
            made = voice.save(shop / "voice.npz", layout)
            try:
                link_new(made, final)
            except TakenError as error:
                raise _taken(final) from error
        return final

    def rename(self, old: str, new: str) -> Path:
        """Rename an own voice; the new name must be free."""
        path, final = self._own(old), self._free(new)
        _copy_new(path, final)
        path.unlink()
        return final

    def delete(self, name: str) -> Path:
        """Delete an own voice and return the path it had."""
        path = self._own(name)
        try:
            path.unlink()
        except OSError as error:
            raise StorageError(f"cannot delete {path}", error.strerror) from error
        return path

    def export(self, name: str, target: str | Path) -> Path:
        """Copy a voice to ``target.npz``, or add it to the Hugging Face folder `target`; return the
        file.
        """
        path, target = self.find(name), expand(target)
        if target.suffix.lower() != ".npz":
            return Voice.load(path).export_hf(target, check_name(name).replace("/", "-"))
        _copy_new(path, target)
        return target

    def mix(
        self, first: str, second: str, target: str | Path, *, by: By, share: float
    ) -> tuple[Path, Voice]:
        """Write a voice between two, which are names or files, to a free file; see `mix_voices`."""
        pair = [self.load(word) for word in (first, second)]
        mixed = mix_voices(*pair, by=by, share=share, layout=_layout_of(pair[0]))
        final = expand(target)
        if final.suffix.lower() != ".npz":
            final = final.with_name(f"{final.name}.npz")
        if final.exists():
            raise VoiceError(f"{final} exists already", fix="Choose another name")
        return mixed.save(final, _layout_of(pair[0])), mixed

    def load(self, name_or_path: str) -> Voice:
        """Read a voice by its name, a preset's too, or its file."""
        voice = resolve_voice(name_or_path, folders=self._folders())
        if voice is None:
            raise VoiceError("no voice is named", repr(name_or_path))
        return voice

    def _own(self, name: str) -> Path:
        path = self.find(name)
        if not path.is_relative_to(self.home):
            raise VoiceError(f"{name!r} is not yours to change", path, f"a voice in {self.home}")
        return path

    def _free(self, name: str) -> Path:
        name = check_name(name)
        if is_suno_preset(name) or name == RANDOM:
            raise VoiceError(f"{name!r} is taken by a preset", fix="Choose another name")
        final = self.home / f"{name}.npz"
        if final.exists():
            raise VoiceError(
                f"a voice named {name!r} exists already",
                final,
                fix="Choose another name or delete it",
            )
        return final


def _holds_voice(path: Path) -> bool:
    """Tell whether a file has the arrays of a voice; what is in them is checked when it is used."""
    names = member_names(path)
    return all({part, f"{part}_prompt"} & names for part in parts_of(None))


def model_here(voice: Voice) -> str | None:
    """Return the Bark that a voice was made for, if it says so and that one may be loaded."""
    model = voice.info.get("model")
    return model if model is not None and is_here(model) else None


def _layout_of(voice: Voice) -> TokenLayout:
    """Return the token layout of the Bark that a voice was made for; Suno's where that is not known
    here.
    """
    made_for = voice.info.get("model")
    if made_for != "nano" and not (made_for and Path(made_for).is_dir()):
        return BARK
    try:
        return find_model(made_for).layout
    except BarkError:  # no model any more
        return BARK


def _copy_new(source: Path, final: Path) -> None:
    """Copy a file whole to a name that is free; a taken one is a `VoiceError`."""
    try:
        data = source.read_bytes()
    except OSError as error:
        raise MissingFileError(f"there is no file {source}", error.strerror) from error
    try:
        with atomic_write(final, exclusive=True) as copy:
            copy.write_bytes(data)
    except TakenError as error:
        raise _taken(final) from error


def _taken(final: Path) -> VoiceError:
    return VoiceError(f"{final} exists already", fix="Choose another name")
