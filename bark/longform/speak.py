"""Text of any length in one voice, or several: spoken part by part, joined, and resumed after a
kill.
"""

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Unpack

import numpy as np

from bark.errors import SettingError, TextError
from bark.settings import SettingChanges
from bark.speech import reference_of
from bark.stages.progress import Progress, Watch
from bark.stages.seeds import new_seed, part_seed
from bark.text.dialogue import Turn
from bark.text.split import Budget
from bark.tokens import TokenLayout
from bark.voice.names import check_marked
from bark.voice.voice import Voice, VoiceLike

from .drift import Drift, Steady
from .join import checked_pause, join_audio
from .journal import Journal
from .part import ANY, BarkLike, Choice, Judge, speak_part
from .plan import plan_parts
from .spoken import LongTake as LongTake
from .spoken import Part as Part
from .spoken import as_history, speaker_voice


class LongOptions(SettingChanges, total=False):
    """What `speak_long` takes besides the settings of ``Bark.generate``.

    mode : "anchored": each part goes on from the voice, or from the speaker's first part if none
        was given; "chained": from the speaker's part before; "reanchor=K": chained, but from the
        voice again at every K-th part. Chained speech flows, and drifts.
    silence, crossfade : seconds between parts (a quarter by default), or seconds that they overlap.
    regenerate : numbers of parts, from 1, to draw anew; with a journal all others stay as they are.
    candidates, judge : speak each part so many times, side by side, and keep the take that the
        judge scores highest beside the voice, or the speaker's first part if none was given; see
        `hubert.judge.TakeJudge`.
    drift : measure how each part sounds, and speak again one that falls out; see `Drift`.
    budget : limits of a part; by default what the model can take.
    allow_paths : a ``[voice:...]`` mark in the text may also be the path of an ``.npz`` file.
    """

    mode: str
    silence: float | None
    crossfade: float
    regenerate: Collection[int]
    candidates: int
    judge: Judge | None
    drift: Drift | None
    budget: Budget | None
    allow_paths: bool


@dataclass(frozen=True)
class _Manner:
    """How the parts follow each other, checked."""

    mode: str = "anchored"
    silence: float | None = None
    crossfade: float = 0.0
    regenerate: Collection[int] = ()
    candidates: int = 1
    judge: Judge | None = None
    drift: Drift | None = None
    budget: Budget | None = None
    allow_paths: bool = False

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple["_Manner", dict[str, Any]]:
        """Return the manner, and the settings of a part, that the options mean."""
        own = {name: value for name, value in options.items() if name in cls.__dataclass_fields__}
        made = cls(**own)
        _interval(made.mode)
        checked_pause(made.silence, made.crossfade)
        Choice(made.candidates, made.judge)
        return made, {name: value for name, value in options.items() if name not in own}

    @property
    def every(self) -> float:
        """After how many parts the voice comes again."""
        return _interval(self.mode)

    @property
    def choice(self) -> Choice:
        """How a part is chosen among candidates."""
        return Choice(self.candidates, self.judge)


def speak_parts(
    bark: BarkLike,
    parts: Sequence[Turn],
    voice: VoiceLike | None = None,
    *,
    voices: Mapping[str, VoiceLike | None] | None = None,
    seed: int | None = None,
    journal: str | Path | Journal | None = None,
    progress: Progress = False,
    cancel: Event | None = None,
    **options: Unpack[LongOptions],
) -> Iterator[Part]:
    """Return planned parts as they are spoken; see `speak_long`. Arguments are checked at once."""
    manner, settings = _Manner.split(options)
    _check_numbers(manner.regenerate, len(parts))
    if not parts:
        raise TextError("there is nothing to speak", "no parts")
    asked = _asked(parts, voice, voices or {}, manner.allow_paths)
    anchors = {name: bark.resolve_voice(one) for name, one in asked.items()}
    record = Journal(journal) if isinstance(journal, (str, Path)) else journal
    seed = _run_seed(seed, record)
    bark.check(settings, seed)
    if record is not None:
        record.begin(_job(bark, parts, anchors, manner, seed, settings))
    watch = {"progress": progress, "cancel": cancel}
    watched = settings | {name: value for name, value in watch.items() if value}
    spoken = _spoken(bark, parts, anchors, manner, seed, record, watched)
    return spoken if record is None else record.while_held(spoken)


def _spoken(
    bark: BarkLike,
    parts: Sequence[Turn],
    anchors: Mapping[str | None, Voice | None],
    manner: _Manner,
    seed: int,
    record: Journal | None,
    settings: Mapping[str, Any],
) -> Iterator[Part]:
    said: dict[str | None, list[Voice]] = {}  # each speaker's parts so far
    steady = None if manner.drift is None else Steady(manner.drift)
    for number, turn in enumerate(parts, 1):
        own, anchor = said.setdefault(turn.speaker, []), anchors[turn.speaker]
        done = None if record is None else record.parts.get(number)
        target = speaker_voice(anchor, own, bark.layout)
        kept = done is not None and number not in manner.regenerate
        if record is not None and kept:
            made = _kept(bark, record, number, turn)
            if steady is not None:
                made = steady.noted(made, target)
        else:
            draw = 0 if done is None else done.take + 1
            if record is None and number in manner.regenerate:
                draw = 1
            history = _history(anchor, own, manner.every, bark.layout)
            first = part_seed(seed, number, draw)

            spoken = partial(
                _spoken_part, bark, number, turn, draw, settings, manner.choice, target
            )
            made = spoken(history, first)
            if steady is not None:
                made = steady.best(made, first, target, history, spoken)
            if record is not None:
                record.add(made)
        own.append(made.tokens)
        yield made


def _spoken_part(
    bark: BarkLike,
    number: int,
    turn: Turn,
    draw: int,
    settings: Mapping[str, Any],
    choice: Choice,
    target: Voice | None,
    history: Voice | None,
    seed: int,
) -> Part:
    """Speak one part."""
    chosen, best, score = speak_part(bark, turn.text, history, seed, settings, choice, target)
    return Part(number, turn.text, turn.speaker, chosen, draw, best.audio, best.tokens, score)


def speak_turn(
    bark: BarkLike,
    text: str,
    seed: int,
    anchor: Voice | None,
    own: Sequence[Voice],
    settings: Mapping[str, Any],
    mode: str = "anchored",
    choice: Choice = ANY,
) -> tuple[int, Any, float | None]:
    """Speak one part of a long text, after what its speaker has said so far; see `speak_part`.

    Parameters
    ----------
    anchor : the speaker's voice; None where nothing but `own` tells it.
    own : the tokens of the speaker's earlier parts.
    """
    history = _history(anchor, own, _interval(mode), bark.layout)
    target = speaker_voice(anchor, own, bark.layout)
    return speak_part(bark, text, history, seed, settings, choice, target)


def _kept(bark: BarkLike, record: Journal, number: int, turn: Turn) -> Part:
    """Return a part that an earlier run has spoken."""
    done, tokens = record.parts[number], record.tokens(number)
    audio = bark.decode(tokens.fine)
    return Part(
        number, turn.text, turn.speaker, done.seed, done.take, audio, tokens, done.score,
        done.heard, done.spoken,
    )  # fmt: skip


def speak_long(
    bark: BarkLike,
    text: str | Sequence[Turn],
    voice: VoiceLike | None = None,
    *,
    voices: Mapping[str, VoiceLike | None] | None = None,
    seed: int | None = None,
    journal: str | Path | Journal | None = None,
    progress: Progress = False,
    cancel: Event | None = None,
    **options: Unpack[LongOptions],
) -> LongTake:
    """Speak a text of any length.

    Parameters
    ----------
    text : the text, or the parts that `plan_parts` made of it.
    voice : None lets Bark choose one with the first part.
    voices : the speakers of a dialogue by name. A line ``NAME: text`` or ``[voice:NAME]`` gives
        them the word; a marked name that is not here is the name of a voice, never a path.
    seed : of the run; each part gets its own from it. None draws one, or takes that of the journal.
    journal : keeps each finished part: the same call goes on where a killed run stopped.
    progress : True shows a bar for the parts and the stages of each; a function is told of both.
    cancel : when another thread sets it, the call ends with `Cancelled`.
    **options : of `LongOptions`; ``min_eos_p=0.05`` keeps Bark from adding words to a part.

    Raises
    ------
    TextError, VoiceError, SettingError, StorageError
    """
    manner, settings = _Manner.split(options)
    names = tuple(voices or ())
    if isinstance(text, str):
        lossy = bool(settings.get("lossy"))
        parts = plan_parts(bark, text, names, manner.budget, lossy)
    else:
        parts = list(text)
    record = Journal(journal) if isinstance(journal, (str, Path)) else journal
    seed = _run_seed(seed, record)
    asked = _asked(parts, voice, voices or {}, manner.allow_paths)
    found = {name: bark.resolve_voice(one) for name, one in asked.items()}
    spoken = speak_parts(
        bark, parts, found.get(None), voices={n: v for n, v in found.items() if n}, seed=seed,
        journal=record, progress=progress, cancel=cancel, **options,
    )  # fmt: skip
    made = []
    with Watch.of(progress, cancel).bar("parts", len(parts), "part") as bar:
        for part in spoken:
            made.append(part)
            bar.update()
    rate, silence = bark.layout.sample_rate, checked_pause(manner.silence, manner.crossfade)
    audio = join_audio([part.audio for part in made], rate, silence, manner.crossfade)
    return LongTake(
        audio, tuple(made), rate, seed, manner.mode, bark.name, bark.layout,
        text if isinstance(text, str) else " ".join(turn.text for turn in parts),
        bark.check(settings).to_dict(), found,
        {name: reference_of(one) for name, one in asked.items()},
        silence, manner.crossfade, manner.candidates, bark.source, bark.family,
        None if manner.drift is None else manner.drift.record(),
    )  # fmt: skip


def _asked(
    parts: Sequence[Turn],
    voice: VoiceLike | None,
    voices: Mapping[str, VoiceLike | None],
    allow_paths: bool,
) -> dict[str | None, VoiceLike | None]:
    """Return what names the voice of each speaker."""
    given: dict[str | None, VoiceLike | None] = {None: voice}
    given.update(voices)
    return {
        name: given[name] if name in given else check_marked(str(name), allow_paths)
        for name in dict.fromkeys(part.speaker for part in parts)
    }


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
              if (voice := as_history(tokens, layout)) is not None)  # fmt: skip
    if not own or (anchor is not None and len(own) % every == 0):
        return anchor
    return next(usable, anchor)


def _job(
    bark: BarkLike,
    parts: Sequence[Turn],
    anchors: Mapping[str | None, Voice | None],
    manner: _Manner,
    seed: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all that the result depends on, for the journal's first line."""
    text = json.dumps([[part.speaker, part.text] for part in parts])
    job = {
        "model": bark.name,
        "parts": len(parts),
        "text": hashlib.sha256(text.encode()).hexdigest(),
        "voices": {name or "": voice and voice.digest for name, voice in anchors.items()},
        "mode": manner.mode,
        "seed": seed,
        "settings": {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in sorted(settings.items())
        },
    }
    job |= {"candidates": manner.candidates} if manner.candidates > 1 else {}
    return job if manner.drift is None else job | {"drift": manner.drift.record()}


def _run_seed(seed: int | None, record: Journal | None) -> int:
    if seed is None and record is not None and record.job is not None:
        return int(record.job["seed"])
    return new_seed(seed)


def _check_numbers(numbers: Collection[int], count: int) -> None:
    if wrong := sorted(number for number in numbers if not 1 <= number <= count):
        raise SettingError("parts to regenerate", wrong, f"1 to {count}")
