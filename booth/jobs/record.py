"""What a long job is to speak, as its folder keeps it, and how far it is, as it is told."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

FORMAT: Literal["bark-job"] = "bark-job"
FORMAT_VERSION: Literal[1] = 1
MOST_PARTS = 100_000

Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Status = Literal["queued", "running", "paused", "done", "failed"]
DriftMode = Literal["measure", "repair"]
PartStatus = Literal["queued", "running", "done", "failed"]


class Line(msgspec.Struct, frozen=True):
    """What one part says."""

    speaker: str | None
    text: str
    estimate: Annotated[float, Meta(ge=0)] = 0.0  # seconds of speech


class JobVoice(msgspec.Struct, frozen=True):
    """Whose voice a speaker has; its tokens lie beside the record."""

    speaker: str | None  # None: whoever speaks where nobody is named
    name: str
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class JobRecord(msgspec.Struct, frozen=True):
    """All that the speech of a job depends on; it never changes."""

    format: Literal["bark-job"]
    format_version: Literal[1]
    created: Annotated[float, Meta(ge=0)]  # seconds since 1970
    model: str
    title: str  # the beginning of the text
    parts: Annotated[list[Line], Meta(min_length=1, max_length=MOST_PARTS)]
    voices: list[JobVoice]
    seed: Seed
    settings: dict[str, int | float | bool | str | None]
    candidates: Annotated[int, Meta(ge=1, le=100)] = 1  # takes of each part
    response_format: str = "mp3"  # of a download that names none
    speed: Annotated[float, Meta(ge=0.25, le=4)] = 1.0
    drift: DriftMode | UnsetType = UNSET  # how parts are kept alike: `bark.longform.drift`
    postprocess: Annotated[list[str], Meta(max_length=32)] | UnsetType = UNSET  # on the way out


class Failure(msgspec.Struct, frozen=True):
    """Why a job cannot go on."""

    part: int  # from 1
    message: str


class Pace(msgspec.Struct, frozen=True):
    """How far the part at work is, told by the process that works on it."""

    part: int  # from 1
    share: float  # of it, 0 to 1
    factor: float | None = None  # seconds of work for a second of speech, once a part is spoken


@dataclass(frozen=True)
class PartState:
    """How far one part is."""

    index: int  # from 1
    text: str
    speaker: str | None
    state: PartStatus
    progress: float  # 0 to 1
    seconds: float | None = None  # of what was spoken
    seed: int | None = None
    take: int = 0  # how often it was drawn anew
    heard: dict[str, float] | None = None  # how it sounds, where it was measured
    spoken: int = 1  # times, of which the best was kept


@dataclass(frozen=True)
class JobState:
    """How far a job is."""

    id: str
    status: Status
    title: str
    model: str
    created: float  # seconds since 1970
    seed: int
    voices: dict[str, str]  # speaker, "" where nobody is named → voice
    response_format: str
    parts: tuple[PartState, ...]
    parts_total: int
    parts_done: int
    seconds_done: float  # of speech
    estimate_seconds: float  # of the whole speech: what is spoken, and a guess at the rest
    left_seconds: float | None  # of work, a guess; None until a part is spoken
    error: str | None = None
    drift: str | None = None
    postprocess: tuple[str, ...] = ()

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Return it as plain values, without the parts where many jobs are listed."""
        values = {"object": "audio.speech.job", **asdict(self)}
        if not parts:
            del values["parts"]
        return values
