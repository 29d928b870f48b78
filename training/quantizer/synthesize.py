"""Lets Bark speak texts and keeps its semantic tokens beside the audio, as training pairs.

`DIR/wav/<name>.wav` and `DIR/semantic/<name>.npy` are a pair; `DIR/takes/<name>.json` says how it
was made, and is written last: an interrupted run makes again only what has none. Bad takes are
noted there, not kept."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bark.audio.write import save_audio
from bark.errors import BarkError, MissingFileError, SettingError, TextError
from bark.extras import from_extra
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.json import read_as
from bark.tokens import BARK
from training.engine.progress import SILENT, Progress

if TYPE_CHECKING:
    from bark.pipeline import Bark, Generation

logger = logging.getLogger(__name__)

SYNTHESIS, TAKES = "synthesis.json", "takes"
FRAME_SECONDS = 0.02
SILENCE_BELOW = -40.0  # dB under the loudest frame
CLIPPED_FROM = 0.999


@dataclass(frozen=True)
class TakeLimits:
    """What a take must be to be learned from."""

    min_seconds: float = 1.0  # Suno's own Bark refuses voices this short
    max_silence: float = 0.5  # share of frames
    max_clipped: float = 0.001  # share of samples


@dataclass(frozen=True)
class SynthesisPlan:
    """All that decides what comes out; the same plan gives the same files."""

    texts: tuple[str, ...]
    voices: tuple[str | None, ...] = (None,)  # each take draws one
    count: int = 1000  # takes; texts are gone through again and again
    seed: int = 0
    model: str = "large"
    semantic_vocab: int = BARK.semantic_vocab  # of that model
    batch: int = 8  # takes spoken at once; part of the plan, since batching may change the last bit
    settings: dict[str, Any] = field(default_factory=dict)  # fields of `bark.pipeline.Settings`
    limits: TakeLimits = TakeLimits()

    def __post_init__(self) -> None:
        if not self.texts:
            raise TextError("no texts to speak", allowed="one sentence a line")
        if not self.voices:
            raise SettingError("no voices to speak with", allowed="names, files or None")
        for name in ("count", "batch"):
            if getattr(self, name) < 1:
                raise SettingError(name, got=getattr(self, name), allowed="1 or more")


@dataclass(frozen=True)
class Take:
    """One utterance to speak."""

    name: str
    text: str
    voice: str | None
    seed: int


class _Note(msgspec.Struct):
    """What the summary needs of a take's note."""

    refused: str  # why; empty where the take was kept


@dataclass(frozen=True)
class Spoken:
    """What came of a take: audio and tokens, or the reason why there are none."""

    take: Take
    audio: np.ndarray  # (N,) float32
    semantic: np.ndarray  # (S,) int64
    sample_rate: int
    at_limit: bool  # the model was stopped, it did not end by itself
    fault: str = ""


Speaker = Callable[[Sequence[Take]], list[Spoken]]  # one voice for all of them
Engine = Callable[[Iterable[list[Take]]], Iterator[list[Spoken]]]


def plan_takes(plan: SynthesisPlan) -> list[list[Take]]:
    """Return all takes in the batches they are spoken in; a batch shares one voice."""
    by_voice: dict[str | None, list[Take]] = {voice: [] for voice in plan.voices}
    for place in range(plan.count):
        generator = np.random.default_rng([plan.seed, place])
        voice = plan.voices[int(generator.integers(len(plan.voices)))]
        text = plan.texts[place % len(plan.texts)]
        take = Take(f"{plan.seed}-{place:06d}", text, voice, int(generator.integers(2**62)))
        by_voice[voice].append(take)
    step = plan.batch
    return [
        takes[at : at + step] for takes in by_voice.values() for at in range(0, len(takes), step)
    ]


def synthesize(
    plan: SynthesisPlan, out: Path, engine: Engine, *, progress: Progress = SILENT
) -> Counter[str]:
    """Speak every take of a plan that is not there yet.

    Parameters
    ----------
    out : Path
        Gets ``wav``, ``semantic`` and ``takes``.
    engine : callable
        Speaks batches of takes, in any order; see `local_engine`.

    Returns
    -------
    Counter How many takes were "kept", and how many refused for each reason, those of earlier runs
        included.

    Raises
    ------
    SettingError
        If `out` holds takes of another plan.
    StorageError
        If the disk is full; what is finished stays.
    """
    _check_same_plan(plan, out)
    batches = plan_takes(plan)
    waiting = [batch for batch in batches if any(not _note(out, take).is_file() for take in batch)]
    if waiting:
        with progress.task("speaking", sum(map(len, waiting)), "take") as advance:
            for spoken in engine(waiting):
                for result in spoken:
                    if not _note(out, result.take).is_file():
                        _keep(plan, out, result)
                advance(len(spoken))
    notes = (read_as(_note(out, take), _Note, BarkError) for batch in batches for take in batch)
    return Counter(note.refused or "kept" for note in notes)


def bark_speaker(bark: "Bark", settings: dict[str, Any]) -> Speaker:
    """Return the function that speaks a batch of takes with a loaded Bark.

    A take that fails is given back with its fault; the others of its batch are not lost.
    """

    def speak(takes: Sequence[Take]) -> list[Spoken]:
        try:
            generations = bark.generate_batch(
                [take.text for take in takes],
                takes[0].voice,
                seeds=[take.seed for take in takes],
                **settings,
            )
        except BarkError as error:
            if len(takes) > 1:
                return [spoken for take in takes for spoken in speak([take])]
            nothing = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
            return [Spoken(takes[0], *nothing, bark.layout.sample_rate, False, fault=str(error))]
        return [_spoken(take, made) for take, made in zip(takes, generations, strict=True)]

    return speak


def _spoken(take: Take, made: "Generation") -> Spoken:
    semantic = made.tokens.semantic
    limit = made.layout.max_semantic
    return Spoken(take, made.audio, semantic, made.sample_rate, at_limit=len(semantic) >= limit)


def local_engine(speak: Speaker) -> Engine:
    """Return an engine that speaks one batch after the other in this process."""

    def run(batches: Iterable[list[Take]]) -> Iterator[list[Spoken]]:
        for batch in batches:
            yield speak(batch)

    return run


def ray_engine(make_speaker: Callable[[], Speaker], workers: int | None = None) -> Engine:
    """Return an engine that speaks batches on a Ray cluster, each worker with a Bark of its own.

    The audio comes back to this process, which writes it: the machines need no folder in common.

    Raises
    ------
    SettingError
        If Ray is not installed.
    """
    with from_extra("ray", "engine ray"):
        import ray
        from ray.util import ActorPool

    def run(batches: Iterable[list[Take]]) -> Iterator[list[Spoken]]:
        ray.init(ignore_reinit_error=True)
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        count = workers or gpus or max(1, int(resources.get("CPU", 1)))

        class Worker:
            def __init__(self) -> None:
                self.speak = make_speaker()

            def run(self, batch: list[Take]) -> list[Spoken]:
                return self.speak(batch)

        remote = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0)(Worker)
        pool: Any = ActorPool([remote.remote() for _ in range(count)])
        yield from pool.map_unordered(lambda actor, batch: actor.run.remote(batch), batches)

    return run


def fault_of(spoken: Spoken, limits: TakeLimits) -> str:
    """Say in a few words why a take cannot be learned from; empty if it can."""
    if spoken.fault:
        return spoken.fault
    if not np.isfinite(spoken.audio).all():
        return "no finite audio"
    seconds = len(spoken.audio) / spoken.sample_rate
    if seconds < limits.min_seconds:
        return "too short"
    if spoken.at_limit:
        return "ran into the time limit"
    if silence_ratio(spoken.audio, spoken.sample_rate) > limits.max_silence:
        return "too much silence"
    if clipped_ratio(spoken.audio) > limits.max_clipped:
        return "clipped"
    return ""


def silence_ratio(audio: np.ndarray, sample_rate: int) -> float:
    """Return the share of 20 ms frames more than 40 dB quieter than the loudest; 1 for digital
    silence.
    """
    hop = int(FRAME_SECONDS * sample_rate)
    frames = audio[: len(audio) // hop * hop].reshape(-1, hop)  # (N,) -> (frames, hop)
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    if power.size == 0 or power.max() < 1e-8:  # -80 dB
        return 1.0
    return float(np.mean(power < power.max() * 10 ** (SILENCE_BELOW / 10)))


def clipped_ratio(audio: np.ndarray) -> float:
    """Return the share of samples at full scale."""
    return float(np.mean(np.abs(audio) >= CLIPPED_FROM)) if len(audio) else 0.0


def read_texts(path: Path) -> tuple[str, ...]:
    """Return the lines of a UTF-8 file, empty ones left out.

    Raises
    ------
    MissingFileError, TextError
        If there is no such file, or it is not UTF-8, or empty.
    """
    if not path.is_file():
        raise MissingFileError(f"no file {path}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is not UTF-8", got=error, fix="Save it as UTF-8") from error
    texts = tuple(line.strip() for line in lines if line.strip())
    if not texts:
        raise TextError(f"{path} holds no text", allowed="one sentence a line")
    return texts


def _note(out: Path, take: Take) -> Path:
    return out / TAKES / f"{take.name}.json"


def _keep(plan: SynthesisPlan, out: Path, spoken: Spoken) -> None:
    """Write a good take's pair, and every take's note after it."""
    refused = fault_of(spoken, plan.limits)
    take, rate = spoken.take, spoken.sample_rate
    if not refused:
        (out / "wav").mkdir(parents=True, exist_ok=True)
        save_audio(out / "wav" / f"{take.name}.wav", spoken.audio, rate)
        with atomic_write(out / "semantic" / f"{take.name}.npy") as temporary:
            np.save(temporary, spoken.semantic.astype(np.int64))
    note = asdict(take) | {"model": plan.model, "settings": plan.settings, "refused": refused}
    if len(spoken.audio) and np.isfinite(spoken.audio).all():
        note["seconds"] = round(len(spoken.audio) / rate, 3)
        note["silence"] = round(silence_ratio(spoken.audio, rate), 4)
        note["clipped"] = round(clipped_ratio(spoken.audio), 6)
    atomic_write_text(_note(out, take), json.dumps(note, ensure_ascii=False, indent=1) + "\n")


def _check_same_plan(plan: SynthesisPlan, out: Path) -> None:
    """Note the plan in the folder, or compare it with the one that is there; a larger count goes
    on.
    """
    path = out / SYNTHESIS
    mine = json.loads(json.dumps(asdict(plan)))
    if path.is_file():
        earlier = read_as(path, dict[str, Any], SettingError)  # each field is compared
        changed = [name for name in mine if name != "count" and earlier.get(name) != mine[name]]
        if changed:
            raise SettingError(
                f"{out} holds takes made otherwise",
                got=f"other {', '.join(changed)}",
                fix="Give another folder, or the same arguments as before",
            )
        mine = earlier | mine
    atomic_write_text(path, json.dumps(mine, ensure_ascii=False, indent=1) + "\n")
