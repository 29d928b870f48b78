"""Mixes two voices into one history prompt.

Tokens cannot be averaged: a mix is made of stretches of either voice, one after the other. Bark
goes on from the end of what it hears, so the voice that comes last weighs most. "concat" puts one
stretch of the first voice before one of the second; "alternate" lets them take turns."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bark.errors import SettingError, VoiceError
from bark.tokens import BARK, TokenLayout
from bark.version import SOFTWARE

from .names import TOKENS_KEY, family_of
from .rules import MIN_SEMANTIC
from .voice import Voice

By = Literal["concat", "alternate"]
TURN = 1.6  # s in which both voices have had their turn
SHORTEST = 1.1  # s; what is shorter can miss Suno's ratio of frames to tokens


@dataclass(frozen=True)
class Shares:
    """How many semantic tokens of either voice a mix holds, in how many turns."""

    first: int
    second: int
    turns: int
    before: int = 0  # more tokens of the first voice, in front of all


def mix_voices(
    first: Voice,
    second: Voice,
    *,
    by: By = "concat",
    share: float = 0.5,
    layout: TokenLayout = BARK,
) -> Voice:
    """Return a voice between two.

    Parameters
    ----------
    by : "concat": the last `share` of what the coarse stage hears (4.2 s) is the second voice's,
        all before it the first's. "alternate": they take turns over the 6.8 s that Bark hears at
        all, the second voice last.
    share : of the second voice, 0 to 1.

    Raises
    ------
    VoiceError
        If they were made for models that do not understand each other's tokens, or are too short.
    """
    if by not in get_args(By):
        raise SettingError("by", repr(by), " or ".join(get_args(By)))
    if not 0 <= share <= 1:
        raise SettingError("share", share, "0 (the first voice) to 1 (the second)")
    own, other = family_of(first.info), family_of(second.info)
    if None not in (own, other) and own != other:
        fix = "Clone both recordings for the same model"
        raise VoiceError("the voices belong to different models", own, other, fix)
    first, second = first.canonical(layout), second.canonical(layout)
    shares = _shares(len(first.semantic), len(second.semantic), by, share, layout)
    pieces = _pieces(first, second, shares, layout)
    semantic = np.concatenate([voice.semantic[start:stop] for voice, start, stop in pieces])
    fine, done = [], 0
    for voice, start, stop in pieces:
        # frames by the place in the mix, so that roundings do not add up
        count = _frames(done + stop - start, layout) - _frames(done, layout)
        at = max(0, _frames(stop, layout) - count)
        fine.append(voice.fine[:, at : at + count])
        done += stop - start
    codes = np.concatenate(fine, axis=1)
    info = _mixed_info(first, second, f"{by}, {share:g} of the second")
    return Voice(semantic, codes[: layout.coarse_books], codes, info).canonical(layout)


def _frames(tokens: int, layout: TokenLayout) -> int:
    return math.floor(tokens * layout.frames_per_semantic)


def _shares(first: int, second: int, by: By, share: float, layout: TokenLayout) -> Shares:
    """Divide what Bark hears between two voices of so many tokens; one that is too short shortens
    all, so that the share stays."""
    rate = layout.semantic_rate
    coarse = layout.max_coarse_history / layout.coarse_books / layout.coarse_rate
    heard = (layout.text_window / rate, coarse, layout.fine_history / layout.coarse_rate)  # s
    whole = max(heard) * rate
    wanted = coarse * rate if by == "concat" else whole
    length = min(
        wanted,
        first / (1 - share) if share < 1 else wanted,
        second / share if share > 0 else wanted,
    )
    if length < SHORTEST * rate:
        raise VoiceError(
            "too little of a voice for such a share",
            f"{length / rate:.1f} s in all", f"at least {SHORTEST} s", "Choose another share",
        )  # fmt: skip
    ours, theirs = round((1 - share) * length), round(share * length)
    if min(ours, theirs) < MIN_SEMANTIC:  # one voice alone
        ours, theirs = (0, min(second, round(whole))) if theirs else (min(first, round(whole)), 0)
        return Shares(ours, theirs, 1)
    if by == "concat":
        return Shares(ours, theirs, 1, min(first - ours, max(0, round(whole - length))))
    return Shares(ours, theirs, max(1, round(length / rate / TURN)))


def _pieces(
    first: Voice, second: Voice, shares: Shares, layout: TokenLayout
) -> list[tuple[Voice, int, int]]:
    """Return the stretches of the mix in order: a voice, and its tokens from one to another."""
    pieces = []
    for turn in range(shares.turns):
        for voice, count in ((first, shares.first), (second, shares.second)):
            begin = len(voice.semantic) - count
            start, stop = (begin + count * n // shares.turns for n in (turn, turn + 1))
            if voice is first and turn == 0:
                start -= shares.before
            if stop > start:
                pieces.append((voice, start, stop))
    return pieces


def _mixed_info(first: Voice, second: Voice, how: str) -> dict[str, str]:
    """Return what is known of a mix: who agreed, and where both voices come from."""
    infos = (first.info, second.info)
    info = {"mixed": how, "tool": SOFTWARE}
    for key in ("consent", "source", "source_sha256", "language"):
        told = [one.get(key, "unknown") for one in infos]
        if told != ["unknown", "unknown"]:
            info[key] = told[0] if told[0] == told[1] else " + ".join(told)
    for one in reversed(infos):  # of one family
        info |= {key: one[key] for key in ("model", TOKENS_KEY) if key in one}
    return info
