"""What a take's JSON record holds, field by field, with the range of each number.

A field may be absent: what is missing is noticed where it is needed. Unknown fields are ignored."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bark.storage.json import FileName

Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Pause = Annotated[float, Meta(ge=0, le=60)]  # seconds
Redraws = Annotated[int, Meta(ge=0, le=1_000)]  # how often a part was drawn anew
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Model(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The arguments of ``Bark.from_pretrained``."""

    name: str
    device: str | dict[str, str] | UnsetType = UNSET  # of all parts, or of each
    dtype: str | UnsetType = UNSET
    offload: bool | UnsetType = UNSET
    semantic: str | None | UnsetType = UNSET
    coarse: str | None | UnsetType = UNSET
    fine: str | None | UnsetType = UNSET
    decoder: str | UnsetType = UNSET
    fast: bool | UnsetType = UNSET


class VoiceNote(msgspec.Struct):
    """Where a voice was, and its digest."""

    reference: str | None
    sha256: Digest


class PartNote(msgspec.Struct):
    """One spoken part."""

    number: Annotated[int, Meta(ge=1, le=100_000)]
    text: str
    speaker: str | None
    seed: Seed
    take: Redraws
    tokens_sha256: Digest
    seconds: float | UnsetType = UNSET
    score: float | UnsetType = UNSET
    heard: dict[str, float] | UnsetType = UNSET  # how it sounds: `bark.longform.drift.Heard`
    spoken: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET  # times


class DriftNote(msgspec.Struct):
    """How the parts of a long text were kept alike: `bark.longform.drift`."""

    repair: bool
    limits: dict[str, float]


class TakeRecord(msgspec.Struct):
    """The record of a take."""

    format: Literal["bark-take"]
    format_version: Literal[1]
    text: str | UnsetType = UNSET
    seed: Seed | UnsetType = UNSET
    statement: str | UnsetType = UNSET
    audio: FileName | UnsetType = UNSET
    voice_file: FileName | None | UnsetType = UNSET
    journal: FileName | None | UnsetType = UNSET
    run: str | UnsetType = UNSET
    name: FileName | UnsetType = UNSET
    model: Model | UnsetType = UNSET
    device: str | UnsetType = UNSET
    voice: VoiceNote | None | UnsetType = UNSET
    voices: dict[str, VoiceNote | None] | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    silence: Pause | UnsetType = UNSET
    crossfade: Pause | UnsetType = UNSET
    settings: dict[str, int | float | bool | str | None] | UnsetType = UNSET
    candidates: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    drift: DriftNote | UnsetType = UNSET
    postprocess: Annotated[list[str], Meta(max_length=32)] | UnsetType = UNSET
    parts: Annotated[list[PartNote], Meta(min_length=1, max_length=100_000)] | UnsetType = UNSET
    created: str | UnsetType = UNSET
    sample_rate: Annotated[int, Meta(ge=1, le=768_000)] | UnsetType = UNSET
    seconds: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    audio_sha256: Digest | UnsetType = UNSET
    versions: dict[str, str] | UnsetType = UNSET

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are there, as plain values."""
        return dict(msgspec.to_builtins(self))
