"""The history prompt: whose voice Bark continues in, checked, on disk and in memory.

A voice is one utterance as Bark's three kinds of tokens. Bark continues from its **end**: the text
stage hears the last 256 semantic tokens (5.1 s), the coarse stage 313 frames (4.2 s), the fine
stage 512 frames (6.8 s). Whatever lies before is never used."""

import hashlib
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bark.errors import BarkError, VoiceError
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.files import expand, read_bounded
from bark.storage.json import decode, encode, read_as
from bark.storage.npz import MAX_FILE_BYTES, read_npy, read_npz
from bark.tokens import BARK, TokenLayout

from .names import check_name, find_voice, is_suno_preset, not_found, places_of, preset_files
from .rules import (
    KEYS,
    PLAIN_KEYS,
    SLACK_SHARE,
    SLACK_TOKENS,
    as_tokens,
    canonical_lengths,
    check_all,
    check_codes,
    check_ids,
    check_ratio,
    check_stage,
    empty_part,
    oddities,
    parts_of,
)

logger = logging.getLogger(__name__)

INFO_KEY = "meta_json"  # uint8 bytes of a JSON object; other loaders ignore it
MAX_INFO_BYTES = 64 << 10


@dataclass(frozen=True, eq=False)
class Voice:
    """A history prompt: semantic, coarse and fine tokens of one utterance, starting at the same
    instant.

    Any integers become int64; floats are taken only when all are whole numbers. `validate` checks
    the rest."""

    semantic: np.ndarray  # (S,) int64, 49.9 a second
    coarse: np.ndarray  # (2, T) int64, 75 a second; the first rows of `fine`
    fine: np.ndarray  # (8, T) int64
    info: dict[str, str] = field(default_factory=dict)  # language, source hash, date, consent, ...

    def __post_init__(self) -> None:
        for key, name in zip(KEYS, PLAIN_KEYS, strict=True):
            object.__setattr__(self, name, as_tokens(getattr(self, name), key))
        object.__setattr__(self, "info", {str(key): str(value) for key, value in self.info.items()})

    def __eq__(self, other: object) -> bool:
        """Same tokens and same info."""
        if not isinstance(other, Voice):
            return NotImplemented
        same = all(np.array_equal(getattr(self, name), getattr(other, name)) for name in PLAIN_KEYS)
        return same and self.info == other.info

    __hash__ = None  # type: ignore[assignment]  # arrays can change; use `digest` as a key

    @property
    def digest(self) -> str:
        """SHA-256 of the tokens: the same for the same voice in any file."""
        hasher = hashlib.sha256()
        for name in PLAIN_KEYS:
            tokens = getattr(self, name)
            hasher.update(f"{name} {tokens.shape} ".encode() + tokens.astype("<i8").tobytes())
        return hasher.hexdigest()

    def seconds(self, layout: TokenLayout = BARK) -> float:
        """Length of the utterance in seconds."""
        return self.fine.shape[-1] / layout.coarse_rate

    # ---- the rules
    # ------------------------------------------------------------------------------------

    def validate(
        self, layout: TokenLayout = BARK, *, strict: bool = True, stage: str | None = None
    ) -> "Voice":
        """Return this voice if `layout`'s Bark accepts it, Suno's own code included; else raise
        `VoiceError`.

        Rules: shapes (S,), (2, T), (8, T); ids inside the vocabularies; T/S rounded to one decimal
        equal to the ratio of the rates, 1.5; coarse equal to fine's first rows. `strict` False
        leaves out the last, as Suno's code does; `stage` checks only what "semantic", "coarse" or
        "fine" reads."""
        if strict and stage is None:
            check_all(self._arrays, layout)
        else:
            check_stage(self._arrays, layout, stage)
        return self

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {part: getattr(self, part) for part in PLAIN_KEYS}

    def notes(self, layout: TokenLayout = BARK) -> list[str]:
        """Return one sentence for each oddity of a valid voice that Bark tolerates but a listener
        may not.
        """
        return oddities(self._arrays, layout)

    # ---- lengths
    # --------------------------------------------------------------------------------------

    def canonical(self, layout: TokenLayout = BARK) -> "Voice":
        """Cut the ends so that T = floor(S * ratio), as in every voice that Suno ships.

        Both streams start together, so what is surplus is dropped at the end, at most a few tokens.
        Raises `VoiceError` when the lengths are so far apart that they cannot be one recording.
        """
        check_ids(self._arrays, layout)
        check_codes(self._arrays, layout)
        count, length = len(self.semantic), self.fine.shape[1]
        expected = math.floor(count * layout.frames_per_semantic)
        if abs(length - expected) > SLACK_TOKENS + SLACK_SHARE * expected:
            check_ratio(self._arrays, layout)  # raises: the slack is wider than its tolerance
        tokens, frames = canonical_lengths(count, length, layout)
        cut = replace(
            self,
            semantic=self.semantic[:tokens],
            coarse=self.coarse[:, :frames],
            fine=self.fine[:, :frames],
        )
        return cut.validate(layout)

    def heard_seconds(self, layout: TokenLayout = BARK) -> dict[str, float]:
        """Return how many of the last seconds each stage hears: keys ``semantic``, ``coarse``,
        ``fine``.
        """
        coarse_frames = layout.max_coarse_history // layout.coarse_books
        limits = {
            "semantic": layout.text_window / layout.semantic_rate,
            "coarse": coarse_frames / layout.coarse_rate,
            "fine": layout.fine_history / layout.coarse_rate,
        }
        return {stage: min(limit, self.seconds(layout)) for stage, limit in limits.items()}

    # ---- dictionaries
    # ---------------------------------------------------------------------------------

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        layout: TokenLayout = BARK,
        *,
        strict: bool = True,
        stage: str | None = None,
    ) -> "Voice":
        """Build a valid voice from arrays or tensors under Suno's keys or the plain ones.

        `strict` and `stage` as in `validate`; an array that the stage does not read is left empty,
        and without `strict` fractions are cut off."""
        strict = strict and stage is None
        names = [str(key) for key in values]
        arrays = {plain: empty_part(plain, layout) for plain in PLAIN_KEYS}
        for key, plain in zip(KEYS, PLAIN_KEYS, strict=True):
            if plain not in parts_of(stage):
                continue
            if key not in values and plain not in values:
                raise VoiceError(f"has no {key}", f"keys {_shown(names)}", ", ".join(KEYS))
            given = values[key] if key in values else values[plain]
            arrays[plain] = as_tokens(given, key, truncate=not strict)
        info = (
            _read_info(values[INFO_KEY]) if INFO_KEY in values else dict(values.get("info") or {})
        )
        return cls(**arrays, info=info).validate(layout, strict=strict, stage=stage)

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return the three arrays under Suno's keys: a ``history_prompt`` for Suno's and our
        functions.
        """
        return dict(zip(KEYS, (self.semantic, self.coarse, self.fine), strict=True))

    def to_hf_preset(self) -> dict[str, np.ndarray]:
        """Return the dictionary that transformers' ``BarkProcessor`` takes as ``voice_preset``."""
        return self.to_dict()

    # ---- files
    # ----------------------------------------------------------------------------------------

    @classmethod
    def load(
        cls,
        path: str | Path,
        layout: TokenLayout = BARK,
        *,
        strict: bool = True,
        stage: str | None = None,
    ) -> "Voice":
        """Read a history prompt ``.npz``.

        Parameters
        ----------
        strict : False takes what Suno's code speaks with, such as coarse codes of another take
            than the fine ones; what is likely to sound bad is logged.
        stage : read and check only what "semantic", "coarse" or "fine" needs.

        Raises
        ------
        MissingFileError : there is no such file.
        VoiceError : any other fault, in one sentence that names the file.
        """
        path = Path(path)
        wanted = {key for part in parts_of(stage) for key in (part, f"{part}_prompt")}
        data = read_bounded(path, MAX_FILE_BYTES, VoiceError)
        try:
            arrays, names = read_npz(data, {*wanted, INFO_KEY})
            if missing := [
                f"{part}_prompt"
                for part in parts_of(stage)
                if not {part, f"{part}_prompt"} & arrays.keys()
            ]:
                raise VoiceError(
                    f"has no {' and no '.join(missing)}", f"keys {_shown(names)}", ", ".join(KEYS)
                )
            voice = cls.from_dict(arrays, layout, strict=strict, stage=stage)
        except VoiceError as error:
            raise _named(path, error) from error
        for note in voice.notes(layout) if stage is None else ():
            logger.warning("%s: %s", path, note)
        return voice

    def save(
        self, path: str | Path, layout: TokenLayout | None = None, *, strict: bool = True
    ) -> Path:
        """Write the voice as ``.npz``, whole or not at all, and return its path.

        Suno's Bark, Hugging Face's ``BarkProcessor`` and ours read it. With a `layout` it is cut to
        that model's canonical lengths; without one it must be valid (`validate`), and is kept as
        whoever made it has cut it. `strict` False checks shapes and ids alone."""
        path = Path(path)
        if path.suffix.lower() != ".npz":
            path = path.with_name(path.name + ".npz")
        voice = self.canonical(layout) if layout else self
        if not layout and strict:
            self.validate()
        check_ids(voice._arrays, layout or BARK)
        members: dict[str, np.ndarray] = voice.to_dict()
        if voice.info:
            text = encode(dict(sorted(voice.info.items()))).encode()
            if len(text) > MAX_INFO_BYTES:
                raise VoiceError(
                    "info is too long", f"{len(text):,} bytes", f"up to {MAX_INFO_BYTES:,}"
                )
            members[INFO_KEY] = np.frombuffer(text, dtype=np.uint8)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **members)  # type: ignore[arg-type]
        return path

    def export_hf(self, folder: str | Path, name: str) -> Path:
        """Add the voice to a Hugging Face Bark folder, for
        ``BarkProcessor.from_pretrained(folder)``.

        Writes ``speaker_embeddings/<name>_<key>.npy`` and the entry in
        ``speaker_embeddings_path.json``, whose path is returned."""
        check_name(name)
        folder = Path(folder)
        index_path = folder / "speaker_embeddings_path.json"
        index: dict[str, Any] = {}
        if index_path.exists():
            index = read_as(index_path, dict[str, Any], VoiceError)
        index.setdefault("repo_or_path", ".")
        index[name] = {}
        for key, tokens in self.validate().to_hf_preset().items():
            place = f"speaker_embeddings/{name}_{key}.npy"
            with atomic_write(folder / place) as temporary:
                np.save(temporary, tokens, allow_pickle=False)
            index[name][key] = place
        atomic_write_text(index_path, encode(index, indent=1) + "\n")
        return index_path


VoiceLike = Voice | str | Path | Mapping[str, Any]  # whatever `resolve_voice` understands


def resolve_voice(
    voice: VoiceLike | None,
    layout: TokenLayout = BARK,
    folders: Iterable[str | Path] = (),
    model_folder: str | Path | None = None,
    *,
    strict: bool = True,
    stage: str | None = None,
) -> Voice | None:
    """Turn whatever names a voice into a valid `Voice`; None stays None.

    Parameters
    ----------
    voice : a `Voice`; a dictionary of arrays; a path (a `Path`, or any string that ends in
        ``.npz``); or a name, looked for in `folders`, in ``$BARK_VOICES``, in the user's data
        folder, in `model_folder`, and among nano's and Suno's presets (``v2/en_speaker_6``,
        ``announcer``); Suno's come from the model hub.
    strict, stage : as in `Voice.load`.

    Raises
    ------
    MissingFileError : the path does not exist.
    VoiceError : the voice is broken, or the name is unknown; the message lists the places and near
        matches."""
    if voice is None:
        return None
    checks: dict[str, Any] = {"strict": strict, "stage": stage}
    if isinstance(voice, Voice):
        return voice.validate(layout, **checks)
    if isinstance(voice, Mapping):
        return Voice.from_dict(voice, layout, **checks)
    if isinstance(voice, Path) or (isinstance(voice, str) and voice.lower().endswith(".npz")):
        return Voice.load(expand(voice), layout, **checks)
    if not isinstance(voice, str):
        raise VoiceError(
            "this is no voice", type(voice).__name__, "a name, a path, a dictionary or a Voice"
        )
    name = check_name(voice)
    places = places_of(folders, model_folder)
    found = find_voice(name, places)
    if not found and is_suno_preset(name):
        found = preset_files(name, layout)
    if not found:
        raise not_found(name, places)
    if len(found) == 1:
        return Voice.load(found[0], layout, **checks)
    return _load_parts(found, layout)


def _load_parts(paths: list[Path], layout: TokenLayout) -> Voice:
    """Read a voice kept as Hugging Face keeps it, one ``.npy`` for each of the three keys."""
    arrays = {}
    for path, key in zip(paths, KEYS, strict=True):
        data = read_bounded(path, MAX_FILE_BYTES, VoiceError)
        try:
            arrays[key] = read_npy(data, key)
        except VoiceError as error:
            raise _named(path, error) from error
    return Voice.from_dict(arrays, layout)


def _read_info(raw: Any) -> dict[str, str]:
    """Read the JSON member; a broken one is only a loss of notes, so it warns."""
    array = np.asarray(raw)
    try:
        if array.dtype != np.uint8 or array.size > MAX_INFO_BYTES:
            raise VoiceError(INFO_KEY, f"{array.size} of {array.dtype}")
        values = decode(array.tobytes(), dict[str, Any], INFO_KEY, VoiceError)
    except VoiceError as error:
        logger.warning("%s is not a short JSON object and is ignored: %s", INFO_KEY, error)
        return {}
    return {
        key: value if isinstance(value, str) else encode(value) for key, value in values.items()
    }


def _shown(names: list[str]) -> str:
    """Return names from a file, safe to print."""
    return ", ".join(ascii(name[:40])[1:-1] for name in names[:8]) or "none"


def _named(path: Path, error: BarkError) -> VoiceError:
    return VoiceError(f"{path}: {error.what}", error.got, error.allowed, error.fix)
