"""Steps that speech goes through before it is written: loudness, a denoiser, another voice.

Loudness is built in. Other packages add theirs as entry points, each a function that makes a step
from what stands behind ``=`` (an empty string if nothing does):

    [project.entry-points."bark.postprocess"]
    rvc = "my_package:make_step"        # --postprocess rvc=me.pth calls make_step("me.pth")
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

import numpy as np

from bark.errors import AudioError, SettingError

GROUP = "bark.postprocess"  # of entry points
QUIETEST, LOUDEST = -60.0, 0.0  # LUFS
BLOCK = 0.4  # s over which ITU-R BS.1770 measures loudness
FAULTS = (ImportError, AttributeError, TypeError, ValueError, OSError, RuntimeError)  # of plugins
PYTHON = "python:"  # before the name of a step that only Python code can give


class Postprocess(Protocol):
    """One step; any function of samples and rate is one."""

    def __call__(self, audio: np.ndarray, sample_rate: int, /) -> np.ndarray:
        """Return samples (N,) float32 of the same rate; N may differ."""


@runtime_checkable
class StreamPostprocess(Protocol):
    """A step that can work while speech is still being made."""

    def stream(self, pieces: Iterator[np.ndarray], sample_rate: int, /) -> Iterator[np.ndarray]:
        """Yield the pieces of a stream, changed."""


@dataclass(frozen=True)
class Step:
    """A step that was looked up, and the name that a record keeps."""

    name: str
    process: Postprocess


AnyStep = Postprocess | Step | str  # "loudness=-16"


@dataclass(frozen=True)
class Loudness:
    """Brings speech to a loudness in LUFS, as broadcasters measure it (ITU-R BS.1770).

    Silence stays silence. Peaks that the gain lifts above full scale are left to the limiter."""

    target: float  # LUFS; podcasts have -16, television -23

    def __post_init__(self) -> None:
        if not QUIETEST <= self.target <= LOUDEST:  # NaN is refused, too
            raise SettingError("loudness", self.target, f"{QUIETEST:g} to {LOUDEST:g} LUFS")

    @classmethod
    def read(cls, argument: str) -> "Loudness":
        """Return the step that the text of a command means."""
        try:
            return cls(float(argument))
        except ValueError as error:
            if isinstance(error, SettingError):
                raise
            raise SettingError("loudness", repr(argument), "a number of LUFS, as -16") from error

    def __call__(self, audio: np.ndarray, sample_rate: int, /) -> np.ndarray:
        """Return (N,) audio at the target loudness."""
        found = loudness_of(audio, sample_rate)
        if not np.isfinite(found):
            return audio
        return (audio * 10 ** ((self.target - found) / 20)).astype(np.float32)


def loudness_of(audio: np.ndarray, sample_rate: int) -> float:
    """Return the loudness of (N,) audio in LUFS; minus infinity for silence."""
    from pyloudnorm import Meter  # imports scipy

    if not len(audio):
        return -np.inf
    shortest = int(np.ceil(BLOCK * sample_rate)) + 1
    # less than a block is repeated: its mean power, and so its loudness, stays
    long_enough = np.resize(audio, shortest) if len(audio) < shortest else audio
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(Meter(sample_rate).integrated_loudness(long_enough.astype(np.float64)))


BUILT_IN: dict[str, Callable[[str], Postprocess]] = {"loudness": Loudness.read}


def step_of(step: AnyStep) -> Step:
    """Look up ``NAME`` or ``NAME=ARGUMENT``; a function is a step as it is.

    Raises
    ------
    SettingError
        If no step has this name, or it does not take the argument.
    """
    if isinstance(step, Step):
        return step
    if isinstance(step, Loudness):
        return Step(f"loudness={step.target:g}", step)
    if not isinstance(step, str):
        kind = step if hasattr(step, "__qualname__") else type(step)
        return Step(f"{PYTHON}{kind.__module__}.{kind.__qualname__}", step)
    name, _, argument = step.partition("=")
    if name in BUILT_IN:
        return Step(step, BUILT_IN[name](argument))
    plugged = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in plugged:
        known = ", ".join(sorted({*BUILT_IN, *plugged}))
        fix = f"A package that brings one names it in the entry points {GROUP!r}"
        raise SettingError("there is no postprocess of this name", repr(name), known, fix)
    try:
        made = plugged[name].load()(argument)
    except FAULTS as error:
        told = f"{type(error).__name__}: {error}"
        raise SettingError(f"postprocess {name} cannot be made", told) from error
    if not callable(made):
        raise SettingError(f"postprocess {name} is no function", type(made).__name__)
    return Step(step, made)


def is_built_in(name: str) -> bool:
    """Tell whether a recorded step needs no other package."""
    return name.partition("=")[0] in BUILT_IN


def postprocessed(audio: np.ndarray, sample_rate: int, steps: Sequence[AnyStep]) -> np.ndarray:
    """Return (N,) audio after all steps; what each makes is checked."""
    for step in map(step_of, steps):
        audio = _checked(step.process(audio, sample_rate), step)
        if not len(audio):
            raise AudioError(f"postprocess {step.name} left no samples")
    return audio


def postprocessed_stream(
    pieces: Iterable[np.ndarray], sample_rate: int, steps: Sequence[AnyStep]
) -> Iterator[np.ndarray]:
    """Return the pieces of a stream after all steps, which are looked up at once.

    Raises
    ------
    SettingError
        If a step needs the whole speech, as loudness does.
    """
    stream = iter(pieces)
    for step in map(step_of, steps):
        if not isinstance(step.process, StreamPostprocess):
            fix = "Leave it out, or save the speech when it is whole"
            raise SettingError(f"postprocess {step.name} needs the whole speech", fix=fix)
        stream = map(partial(_checked, step=step), step.process.stream(stream, sample_rate))
    return stream


def _checked(audio: np.ndarray, step: Step) -> np.ndarray:
    """Return what a step has made as float32, or say why it is no audio."""
    array = np.asarray(audio)
    if array.ndim != 1 or array.dtype.kind != "f":
        got = f"{array.shape} {array.dtype}"
        raise AudioError(f"postprocess {step.name} made no audio", got, "(N,) floats")
    if not np.isfinite(array).all():
        raise AudioError(f"postprocess {step.name} made NaN or infinity")
    return array.astype(np.float32)
