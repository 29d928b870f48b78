"""The list of prepared utterances, and the examples that a voice is fine-tuned on.

``data.json`` lists the utterances with their text ids; ``tokens/<name>.npz`` holds the semantic,
coarse and fine tokens of each as a history prompt, so any of them can be spoken with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from bark.checkpoints.find import LAYOUT_LIMITS
from bark.errors import CheckpointError, MissingFileError, SettingError
from bark.storage.atomic import atomic_write_text
from bark.storage.json import Count, FileName, dataclass_from, read_as
from bark.tokens import TokenLayout
from bark.voice.voice import Voice
from training.engine.splits import split_by_hash
from training.stages.examples import Example, Speaker

from .transcripts import TRAIN, VALID

DATA = "data.json"
TOKENS = "tokens"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One utterance in the list."""

    name: FileName
    line: Count  # of the transcript
    text: str
    text_ids: tuple[Annotated[int, Meta(ge=0, le=1 << 20)], ...]
    tokens: Count  # semantic
    frames: Count
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]  # of semantic, coarse and fine tokens
    validates: bool = False  # the transcript says so

    def fits_semantic(self, layout: TokenLayout) -> bool:
        """Tell whether text and speech fit the windows of the semantic stage; the others take any
        length.
        """
        return len(self.text_ids) <= layout.text_window and self.tokens < layout.max_semantic


class _Listed(msgspec.Struct):
    """``data.json``."""

    format_version: int
    model: str
    layout: dict[str, int | float]
    validation: Annotated[float, Meta(ge=0, le=1)]
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class VoiceData:
    """A folder made by `training.finetune.prepare`."""

    folder: Path
    model: str  # the Bark whose tokens these are
    layout: TokenLayout
    validation: float  # share of utterances that validate
    entries: tuple[Entry, ...]

    @classmethod
    def load(cls, folder: Path) -> VoiceData:
        """Read the list.

        Raises
        ------
        MissingFileError
            If there is none.
        CheckpointError
            If it is damaged.
        """
        path = Path(folder) / DATA
        if not path.is_file():
            raise MissingFileError(
                f"no prepared data in {folder}", fix="Run python -m training.finetune.prepare"
            )
        try:
            listed = read_as(path, _Listed)
            layout = dataclass_from(listed.layout, TokenLayout, LAYOUT_LIMITS, f"{path}: layout")
        except CheckpointError as error:
            fix = "Run training.finetune.prepare again"
            raise CheckpointError(error.what, error.got, error.allowed, fix) from error
        version = listed.format_version
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{path}: format_version", version, FORMAT_VERSION)
        return cls(Path(folder), listed.model, layout, listed.validation, listed.entries)

    def save(self) -> None:
        """Write the list, whole or not at all."""
        content = {
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "layout": self.layout.to_dict(),
        }
        content |= {
            "validation": self.validation,
            "entries": [asdict(entry) for entry in self.entries],
        }
        atomic_write_text(
            self.folder / DATA, json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        )

    def path(self, entry: Entry) -> Path:
        """Return an utterance's history prompt."""
        return token_file(self.folder, entry.name)

    def example(self, entry: Entry) -> Example:
        """Read one utterance."""
        voice = Voice.load(self.path(entry), self.layout)
        if voice.digest != entry.digest:
            raise CheckpointError(
                f"{self.path(entry)} is not the one in {DATA}", fix="Run training.finetune.prepare"
            )
        return Example(np.array(entry.text_ids, dtype=np.int64), voice.semantic, voice.fine)

    def split(self, stage: str) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
        """Return the utterances that train and those that validate a stage.

        Raises
        ------
        SettingError
            If fewer than two can be used, or none of those that the transcript keeps for
            validation.
        """
        usable = [
            entry
            for entry in self.entries
            if stage != "semantic" or entry.fits_semantic(self.layout)
        ]
        if len(usable) < 2:
            raise SettingError(
                f"utterances for the {stage} stage in {self.folder}", len(usable), "2 or more"
            )
        train, validation = split_entries(usable, self.validation)
        if not validation or not train:
            raise SettingError(
                f"utterances of {TRAIN} and {VALID} that the {stage} stage can use",
                f"{len(train)} and {len(validation)}",
                "1 or more of each",
            )
        return train, validation

    def speaker(self, entries: Sequence[Entry]) -> Speaker:
        """Read utterances as those of one voice."""
        return Speaker("voice", True, tuple(self.example(entry) for entry in entries))

    @property
    def fingerprint(self) -> str:
        """Digest of everything that is learned from."""
        told = [(entry.name, entry.text_ids, entry.digest) for entry in self.entries]
        kept_out = [entry.name for entry in self.entries if entry.validates]
        content = (self.validation, told, kept_out) if kept_out else (self.validation, told)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def token_file(folder: Path, name: str) -> Path:
    """Return where the tokens of an utterance are kept."""
    return folder / TOKENS / f"{name}.npz"


def split_entries(
    entries: Sequence[Entry], validation: float
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Return those that train and those that validate.

    Where the transcript keeps some for validation, those validate; where not, a share of them, at
    least one, chosen by the hash of their names.
    """
    if any(entry.validates for entry in entries):
        splits = {entry.name: VALID if entry.validates else TRAIN for entry in entries}
    else:
        sizes = {entry.name: 1 for entry in entries}
        splits = split_by_hash(sizes, {VALID: validation}, rest=TRAIN)
    train, validating = (
        tuple(entry for entry in entries if splits[entry.name] == name) for name in (TRAIN, VALID)
    )
    return train, validating
