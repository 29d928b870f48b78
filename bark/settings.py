"""How a text is spoken: every setting of the three stages, once, with the names others give it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, TypedDict

from .commandline import TRUTH, Kind, number, whole
from .errors import SettingError


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 0.7  # 0 = the most likely token
    top_k: int | None = None  # keep the k best (and ties with the k-th)
    top_p: float | None = None  # keep the best until their sum exceeds p

    def __post_init__(self) -> None:
        if not is_number(self.temperature, least=0) or self.temperature == float("inf"):
            raise SettingError("temperature", repr(self.temperature), "a finite number >= 0")
        if self.top_k is not None and (not is_number(self.top_k, least=1) or self.top_k % 1):
            raise SettingError("top_k", repr(self.top_k), "a whole number >= 1, or none")
        if self.top_p is not None and not (is_number(self.top_p, least=0) and self.top_p <= 1):
            raise SettingError("top_p", repr(self.top_p), "a number from 0 to 1, or none")


def is_number(value: object, least: float) -> bool:
    """Tell whether `value` is a number (numpy's too, no bool, no NaN) of `least` or more."""
    return isinstance(value, Real) and not isinstance(value, bool) and float(value) >= least


class SettingChanges(TypedDict, total=False):
    """The settings that a call may change; what it leaves out is the model's own default.

    Temperature 0 is the most likely token.
    """

    semantic_temperature: float
    semantic_top_k: int | None  # draw among the k most likely tokens
    semantic_top_p: float | None  # draw among the most likely tokens up to this sum
    min_eos_p: float | None  # stop at this probability of the end; 0.05 rambles less, None waits
    max_duration_s: float | None  # seconds of speech
    allow_early_stop: bool  # False: speak on to the limit
    coarse_temperature: float
    coarse_top_k: int | None
    coarse_top_p: float | None
    max_coarse_history: int | None  # coarse tokens of context; None = the layout's
    sliding_window_len: int | None  # coarse tokens a window; None = the layout's
    coarse_anchor: int  # coarse tokens of the voice that stay in the context window; 0 as with Suno
    fine_temperature: float | None  # None = 0
    lossy: bool  # speak a text although more than a third of its words cannot be said


@dataclass(frozen=True)
class Option:
    """A setting as the command line and other systems know it."""

    name: str  # in `SettingChanges`
    kind: Kind
    meaning: str
    others: tuple[str, ...] = ()  # in Suno's, Bark Infinity's, Coqui's and Hugging Face's code


OPTIONS = (
    Option(
        "semantic_temperature",
        number(),
        "temperature of the semantic stage",
        ("text_temp", "semantic_temp"),
    ),
    Option("semantic_top_k", whole(1), "draw among the k likeliest semantic tokens", ("top_k",)),
    Option("semantic_top_p", number(0, 1), "draw among the likeliest up to this sum", ("top_p",)),
    Option(
        "min_eos_p",
        number(0, 1),
        "stop when the end is this likely; 0.05 rambles less",
        ("semantic_min_eos_p",),
    ),
    Option(
        "max_duration_s",
        number(0, above=True),
        "longest speech of a part in seconds",
        ("max_gen_duration_s", "semantic_max_gen_duration_s"),
    ),
    Option(
        "allow_early_stop",
        TRUTH,
        "False: go on until the longest duration",
        ("semantic_allow_early_stop",),
    ),
    Option(
        "coarse_temperature",
        number(),
        "temperature of the coarse stage",
        ("waveform_temp", "coarse_temp"),
    ),
    Option("coarse_top_k", whole(1), "draw among the k likeliest coarse tokens"),
    Option("coarse_top_p", number(0, 1), "draw among the likeliest up to this sum"),
    Option("max_coarse_history", whole(1), "coarse tokens of context, 630 for Suno's models"),
    Option("sliding_window_len", whole(1), "coarse tokens a window, 60 for Suno's models"),
    Option(
        "coarse_anchor",
        whole(0),
        "coarse tokens of the voice kept in context against drift: 450 is 3 s, 0 as Suno",
    ),
    Option("fine_temperature", number(), "temperature of the fine stage", ("fine_temp",)),
    Option("lossy", TRUTH, "speak a text although over a third of its words cannot be said"),
)
OTHER_NAMES = {other: option.name for option in OPTIONS for other in option.others}
INSTEAD = {  # what other systems' pages make people type, and what does the same here
    "do_sample": "Greedy decoding is semantic_temperature 0 and coarse_temperature 0",
    "temperature": "Each stage has its own: semantic_temperature, coarse_temperature, "
    "fine_temperature",
    "max_new_tokens": "Say max_duration_s, in seconds",
    "num_beams": "Bark draws one sequence; for the best of several use best_of",
    "use_kv_caching": "Leave it out: keys and values are always cached",
    "output_full": "Leave it out: a Generation has audio and, as voice, all tokens",
    "silent": "Leave it out: bars are shown only with progress=True",
    "voice_preset": "Say voice",
    "history_prompt": "Say voice",
    "speaker_wav": "Clone the recording first: voice=clone_voice(recording, consent=...)",
    "hoarder_mode": "Leave it out: every take keeps its voice and its record",
    "torch_dtype": "Say dtype",
    "load_in_8bit": "Say dtype int8, on a CPU",
    "device_map": "Say device, one for all or one for each stage",
    "gpu": "Say device cuda",
    "use_gpu": "Say device cuda",
    "use_small": 'Load the model "small"',
    "use_smaller_models": 'Load the model "small"',
    "text_use_small": 'Say semantic "small"',
    "coarse_use_small": 'Say coarse "small"',
    "fine_use_small": 'Say fine "small"',
}


def instead(names: Iterable[str]) -> str | None:
    """Return what to type for names that other systems use, or None."""
    known = {f"{name}: {INSTEAD[name]}" for name in names if name in INSTEAD}
    return ". ".join(sorted(known)) or None


@dataclass(frozen=True)
class Settings:
    """How a text is spoken; the defaults are Suno's."""

    semantic: Sampling = Sampling(0.7)
    coarse: Sampling = Sampling(0.7)
    fine: Sampling = Sampling(0.5)
    min_eos_p: float | None = 0.2
    max_duration_s: float | None = None
    allow_early_stop: bool = True
    max_coarse_history: int | None = None
    sliding_window_len: int | None = None
    coarse_anchor: int = 0
    lossy: bool = False

    def __post_init__(self) -> None:
        for name in ("min_eos_p", "max_duration_s"):
            value = getattr(self, name)
            if value is not None and not is_number(value, 0):
                raise SettingError(name, repr(value), "a number >= 0, or none")

    def changed(self, changes: Mapping[str, Any]) -> "Settings":
        """Return these settings with some changed, by any of their names in `OPTIONS`.

        Raises
        ------
        SettingError
            If a name is unknown or given twice, or a value cannot be used.
        """
        flat: dict[str, Any] = {}
        for given, value in changes.items():
            name = OTHER_NAMES.get(given, given)
            if name in flat:
                raise SettingError(f"{name} is given twice", ", ".join(changes))
            flat[name] = value
        known = [option.name for option in OPTIONS]
        if unknown := sorted(set(flat) - set(known)):
            raise SettingError(
                "unknown setting", ", ".join(unknown), ", ".join(known), instead(unknown)
            )
        for stage in ("semantic", "coarse", "fine"):
            own = {name: flat.pop(name) for name in known if name in flat and _is_of(name, stage)}
            if own:
                flat[stage] = _sampling(getattr(self, stage), stage, own)
        return replace(self, **flat)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values by their names in `SettingChanges`."""
        return {option.name: self._value(option.name) for option in OPTIONS}

    def _value(self, name: str) -> Any:
        if name in {field.name for field in fields(self)}:
            return getattr(self, name)
        stage, _, part = name.partition("_")
        return getattr(getattr(self, stage), part)


def _is_of(name: str, stage: str) -> bool:
    """Tell whether a setting is one of a stage's `Sampling`."""
    return name.removeprefix(f"{stage}_") in {field.name for field in fields(Sampling)}


def _sampling(before: Sampling, stage: str, changes: Mapping[str, Any]) -> Sampling:
    parts = {name.removeprefix(f"{stage}_"): value for name, value in changes.items()}
    if stage == "fine" and parts.get("temperature", 0) is None:
        parts["temperature"] = 0.0  # Suno's None
    try:
        return replace(before, **parts)
    except SettingError as error:
        raise SettingError(f"{stage}_{error.what}", error.got, error.allowed) from error
