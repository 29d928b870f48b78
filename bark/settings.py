"""How a text is spoken: the settings of each stage."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from bark.stages.sampling import Sampling, is_number

from .errors import SettingError


@dataclass(frozen=True)
class Settings:
    """How a text is spoken; the defaults are Suno's."""

    semantic_temperature: float = 0.7  # 0 = the most likely token
    semantic_top_k: int | None = None
    semantic_top_p: float | None = None
    min_eos_p: float | None = (
        0.2  # end of speech at this probability; 0.05 rambles less, None waits for it
    )
    max_duration_s: float | None = None  # seconds of speech
    allow_early_stop: bool = True  # False: speak on to the limit
    coarse_temperature: float = 0.7
    coarse_top_k: int | None = None
    coarse_top_p: float | None = None
    max_coarse_history: int | None = None  # coarse tokens seen back; None = the layout's
    sliding_window_len: int | None = None  # coarse tokens a window; None = the layout's
    coarse_anchor: int = (
        0  # coarse tokens of the voice that stay in sight; 0 = it slides out, as with Suno
    )
    fine_temperature: float | None = 0.5  # 0 or None = the most likely code

    def __post_init__(self) -> None:
        for name in ("min_eos_p", "max_duration_s"):
            value = getattr(self, name)
            if value is not None and not is_number(value, 0):
                raise SettingError(name, repr(value), "a number >= 0, or none")
        _ = self.semantic, self.coarse  # each refuses what it cannot use
        if self.fine_temperature is not None:
            Sampling(self.fine_temperature)

    @property
    def semantic(self) -> Sampling:
        """How semantic tokens are drawn."""
        return Sampling(self.semantic_temperature, self.semantic_top_k, self.semantic_top_p)

    @property
    def coarse(self) -> Sampling:
        """How coarse codes are drawn."""
        return Sampling(self.coarse_temperature, self.coarse_top_k, self.coarse_top_p)

    def changed(self, changes: Mapping[str, Any]) -> "Settings":
        """Return these settings with some changed; an unknown name is a `SettingError`."""
        known = [f.name for f in fields(self)]
        if unknown := sorted(set(changes) - set(known)):
            raise SettingError("unknown setting", ", ".join(unknown), ", ".join(known))
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for a JSON record."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
