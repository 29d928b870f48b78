"""A text of any length as audio pieces, each yielded while later ones are still being made."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bark.errors import SettingError, VoiceError
from bark.stages.progress import Watch
from bark.stages.seeds import part_seed
from bark.voice.voice import Voice, VoiceLike

from .join import Joiner
from .part import BarkLike, retries, silent
from .plan import plan_parts

LATENCIES = ("exact", "low")


def stream_text(
    bark: BarkLike,
    text: str,
    voice: VoiceLike | None,
    seed: int,
    latency: str,
    watch: Watch,
    settings: Mapping[str, Any],
) -> Iterator[np.ndarray]:
    """Return the pieces of a text; see `bark.Bark.stream`. Arguments are checked at once."""
    if latency not in LATENCIES:
        raise SettingError("latency", repr(latency), " or ".join(LATENCIES))
    bark.check(settings, seed)
    parts = plan_parts(bark, text, lossy=bool(settings.get("lossy")))
    anchor = bark.resolve_voice(voice)
    options = {"latency": latency, "progress": watch, **settings}

    def pieces() -> Iterator[np.ndarray]:
        history, joiner = anchor, Joiner(bark.layout.sample_rate)
        for number, turn in enumerate(parts, 1):
            spoken = _part(bark, turn.text, history, part_seed(seed, number), watch, options)
            tokens = yield from joiner.part(spoken, last=number == len(parts))
            if history is None:
                history = _as_history(tokens, bark)
        watch.check()

    return pieces()


def _part(
    bark: BarkLike,
    text: str,
    history: Voice | None,
    seed: int,
    watch: Watch,
    options: Mapping[str, Any],
) -> Any:
    """Return the running stream of one part, with the first seed that says anything."""
    plain = {name: value for name, value in options.items() if name != "latency"}
    for other in retries(seed):
        semantic = bark.semantic_tokens(text, history, seed=other, **plain)
        if len(semantic):
            return bark.stream_tokens(semantic, history, seed=other, **options)
    raise silent(text)


def _as_history(tokens: Voice, bark: BarkLike) -> Voice | None:
    try:
        return tokens.canonical(bark.layout)
    except VoiceError:  # too short for one
        return None
