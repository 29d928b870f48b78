"""Turns text of any length into speech in one voice, or several: part by part, joined, and able to
go on.
"""

import hashlib
import json
import math
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bark.errors import SettingError, TextError, VoiceError
from bark.text.dialogue import Turn
from bark.text.split import Budget
from bark.tokens import TokenLayout
from bark.voice.voice import Voice, VoiceLike

from .join import checked_pause, join_audio
from .journal import Journal
from .part import Choice, Judge, Speaker, part_seed, speak_part
from .plan import plan_parts


@dataclass(frozen=True, eq=False)
class Part:
    """One spoken part."""

    number: int  # from 1
    text: str
    speaker: str | None
    seed: int
    take: int  # 0, and one more each time it is regenerated
    audio: np.ndarray = field(repr=False)  # (N,) float32
    tokens: Voice = field(repr=False)
    score: float | None = None  # the judge's


@dataclass(frozen=True, eq=False)
class LongTake:
    """A long text, spoken."""

    audio: np.ndarray = field(repr=False)  # (N,) float32
    parts: tuple[Part, ...]
    sample_rate: int  # Hz
    seed: int
    mode: str
    model: str
    layout: TokenLayout = field(repr=False)

    @property
    def voice(self) -> Voice:
        """The end of the speech as a history prompt: the last part that is long enough for one."""
        for part in reversed(self.parts):
            if (voice := _as_history(part.tokens, self.layout)) is not None:
                return replace(voice, info={"model": self.model})
        raise VoiceError("no part is long enough for a voice")


def speak_parts(
    bark: Speaker,
    parts: Sequence[Turn],
    voice: VoiceLike | None = None,
    *,
    voices: Mapping[str, VoiceLike] | None = None,
    mode: str = "anchored",
    seed: int | None = None,
    journal: str | Path | Journal | None = None,
    regenerate: Collection[int] = (),
    candidates: int = 1,
    judge: Judge | None = None,
    **settings: Any,
) -> Iterator[Part]:
    """Speak planned parts one after the other; see `speak_long`.

    Arguments are checked before the first part, not when the iterator is made.
    """
    every = _interval(mode)
    _check_numbers(regenerate, len(parts))
    choice = Choice(candidates, judge)
    anchors = _anchors(bark, parts, voice, voices or {})
    record = Journal(journal) if isinstance(journal, (str, Path)) else journal
    seed = _run_seed(seed, record)
    bark.check({name: value for name, value in settings.items() if name != "progress"}, seed)
    seed = int(seed)
    if record is not None:
        job = _job(bark, parts, anchors, mode, seed, settings)
        record.begin(job | ({"candidates": candidates} if candidates > 1 else {}))
    said: dict[str | None, list[Voice]] = {}  # each speaker's parts so far
    for number, turn in enumerate(parts, 1):
        own = said.setdefault(turn.speaker, [])
        done = None if record is None else record.parts.get(number)
        if record is not None and done is not None and number not in regenerate:
            tokens = record.tokens(number)
            audio = bark.decode(tokens.fine)
            made = Part(
                number,
                turn.text,
                turn.speaker,
                int(done["seed"]),
                int(done["take"]),
                audio,
                tokens,
                done.get("score"),
            )
        else:
            take = 0 if done is None else int(done["take"]) + 1
            if record is None and number in regenerate:
                take = 1
            history = _history(anchors[turn.speaker], own, every, bark.layout)
            begin, liked = part_seed(seed, number, take), anchors[turn.speaker]
            if liked is None:
                liked = _history(None, own, 1, bark.layout)
            chosen, best, score = speak_part(
                bark, turn.text, history, begin, settings, choice, liked
            )
            made = Part(
                number, turn.text, turn.speaker, chosen, take, best.audio, best.tokens, score
            )
            if record is not None:
                record.add(number, take, chosen, made.tokens, score)
        own.append(made.tokens)
        yield made


def speak_long(
    bark: Speaker,
    text: str | Sequence[Turn],
    voice: VoiceLike | None = None,
    *,
    voices: Mapping[str, VoiceLike] | None = None,
    mode: str = "anchored",
    seed: int | None = None,
    silence: float | None = None,
    crossfade: float = 0.0,
    journal: str | Path | None = None,
    regenerate: Collection[int] = (),
    candidates: int = 1,
    judge: Judge | None = None,
    budget: Budget | None = None,
    progress: bool = False,
    **settings: Any,
) -> LongTake:
    """Speak a text of any length.

    Parameters
    ----------
    text : the text, or the parts that `plan_parts` made of it.
    voice : whose voice; None lets Bark choose one with the first part.
    voices : the speakers of a dialogue by name. A line ``NAME: text`` or ``[voice:NAME]`` gives
        them the word; a marked name that is not here is taken as the name of a voice.
    mode : "anchored": each part goes on from the voice, or from the speaker's first part if none
        was given; "chained": from the speaker's part before; "reanchor=K": chained, but from the
        voice again at every K-th part. Chained speech flows, and drifts.
    seed : of the run; each part gets its own from it. None draws one, or takes that of the journal.
    silence, crossfade : seconds between parts (a quarter by default), or seconds that they overlap.
    journal : a file that keeps each finished part. The same call with the same journal goes on
        where a killed run stopped, with the same result.
    regenerate : numbers of parts, from 1, to draw anew; with a journal all others stay as they are.
    candidates, judge : speak each part so many times, side by side, and keep the take that the
        judge likes best beside the voice, or the speaker's first part if none was given; see
        `hubert.judge.TakeJudge`.
    progress : show a bar for the parts, and the bars of each part.
    **settings : of ``Bark.generate``; ``min_eos_p=0.05`` keeps Bark from adding words at the ends
        of parts.

    Raises
    ------
    TextError, VoiceError, SettingError, StorageError
    """
    silence = checked_pause(silence, crossfade)
    parts = (
        plan_parts(bark, text, tuple(voices or ()), budget) if isinstance(text, str) else list(text)
    )
    record = Journal(journal) if journal is not None else None
    seed = _run_seed(seed, record)
    spoken = speak_parts(
        bark,
        parts,
        voice,
        voices=voices,
        mode=mode,
        seed=seed,
        journal=record,
        regenerate=regenerate,
        candidates=candidates,
        judge=judge,
        **({"progress": True} if progress else {}),
        **settings,
    )
    if progress:
        from tqdm.auto import tqdm

        spoken = tqdm(spoken, total=len(parts), desc="parts", unit="part")
    made = tuple(spoken)
    rate = bark.layout.sample_rate
    audio = join_audio([part.audio for part in made], rate, silence, crossfade)
    return LongTake(audio, made, rate, seed, mode, bark.name, bark.layout)


def _interval(mode: str) -> float:
    """Return after how many parts the anchor comes again: 1 anchored, infinity chained."""
    if mode == "anchored":
        return 1
    if mode == "chained":
        return math.inf
    name, _, count = mode.partition("=")
    if name != "reanchor" or not count.isdecimal() or int(count) < 1:
        raise SettingError(
            "mode", repr(mode), '"anchored", "chained" or "reanchor=K" with K from 1'
        )
    return int(count)


def _history(
    anchor: Voice | None, own: Sequence[Voice], every: float, layout: TokenLayout
) -> Voice | None:
    """Return what the speaker's next part goes on from."""
    usable = (voice for tokens in (own if every == 1 or len(own) % every == 0 else reversed(own))
              if (voice := _as_history(tokens, layout)) is not None)  # fmt: skip
    if not own or (anchor is not None and len(own) % every == 0):
        return anchor
    return next(usable, anchor)


def _as_history(tokens: Voice, layout: TokenLayout) -> Voice | None:
    """Return a part's tokens as a voice, or None if it is too short for one."""
    try:
        return tokens.canonical(layout)
    except VoiceError:
        return None


def _anchors(
    bark: Speaker, parts: Sequence[Turn], voice: VoiceLike | None, voices: Mapping[str, VoiceLike]
) -> dict[str | None, Voice | None]:
    """Find every speaker's voice before anything is spoken."""
    if not parts:
        raise TextError("there is nothing to speak", "no parts")
    names = dict.fromkeys(part.speaker for part in parts)
    return {
        name: bark.resolve_voice(voice if name is None else voices.get(name, name))
        for name in names
    }


def _job(
    bark: Speaker,
    parts: Sequence[Turn],
    anchors: Mapping[str | None, Voice | None],
    mode: str,
    seed: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all that the result depends on, for the journal's first line."""
    text = json.dumps([[part.speaker, part.text] for part in parts])
    return {
        "model": bark.name,
        "parts": len(parts),
        "text": hashlib.sha256(text.encode()).hexdigest(),
        "voices": {name or "": voice and voice.digest for name, voice in anchors.items()},
        "mode": mode,
        "seed": seed,
        "settings": {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in sorted(settings.items())
            if name != "progress"
        },
    }


def _run_seed(seed: int | None, record: Journal | None) -> int:
    if seed is not None:
        return seed
    if record is not None and record.job is not None:
        return int(record.job["seed"])
    return secrets.randbelow(2**31)


def _check_numbers(numbers: Collection[int], count: int) -> None:
    if wrong := sorted(number for number in numbers if not 1 <= number <= count):
        raise SettingError("parts to regenerate", wrong, f"1 to {count}")
