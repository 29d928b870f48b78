"""A text to the parts that are spoken one by one, as a request asks."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bark.errors import TextError
from bark.longform.plan import default_budget, plan_parts
from bark.text.dialogue import Turn, parse_dialogue
from bark.text.split import Budget, estimate_seconds, split_by_lines, split_by_words
from bark.text.tidy import speakable
from bark.tokens import TokenLayout

from .request import SpeakRequest

logger = logging.getLogger(__name__)

NAMED_LINE = re.compile(r"^[ \t]*([A-Z][A-Z0-9 ._-]{0,30}):[ \t]", re.M)  # "NARRATOR: It rained."


@dataclass(frozen=True)
class Planner:
    """What planning needs of a model: no weights."""

    name: str
    layout: TokenLayout
    tokenizer: Any


def plan(text: str, request: SpeakRequest, planner: Any) -> tuple[Turn, ...]:
    """Return the parts of a text: by count if asked for, else as many words as the model can take
    at once.

    Parameters
    ----------
    planner : a `Planner` or a `bark.Bark`.
    """
    speakers = list(request.voices)
    _check_speakers(text, speakers)
    if request.words_a_part or request.lines_a_part:
        turns = [
            Turn(turn.speaker, part)
            for turn in parse_dialogue(text, speakers)
            for part in (
                split_by_words(turn.text, request.words_a_part)
                if request.words_a_part
                else split_by_lines(turn.text, request.lines_a_part)
            )
        ]
        if not turns:
            raise TextError("nothing in the text can be spoken", ascii(text[:40]))
        turns = _divided(turns, request, planner)
    else:
        lossy = bool(request.settings.get("lossy"))
        turns = plan_parts(planner, text, speakers, _budget(request, planner), lossy)
        if not (request.prefix or request.suffix):  # they fit as they are
            return tuple(turns)
    turns = [Turn(turn.speaker, _dressed(turn.text, request)) for turn in turns]
    for number, turn in enumerate(turns, 1):
        if (tokens := len(planner.tokenizer.encode(turn.text))) > planner.layout.text_window:
            raise TextError(
                f"part {number} is too long for one utterance",
                f"{tokens} tokens",
                f"up to {planner.layout.text_window}",
                "Lower --split_by_words or --split_by_lines, or leave it out: texts are split by "
                "themselves",
            )
    return tuple(turns)


def _divided(turns: Sequence[Turn], request: SpeakRequest, planner: Any) -> list[Turn]:
    """Divide counted parts that the model cannot speak at once, unless a duration is asked for."""
    if {"max_duration_s", "allow_early_stop"} & request.settings.keys():
        return list(turns)
    longest = planner.layout.max_semantic / planner.layout.semantic_rate  # seconds
    budget, lossy = _budget(request, planner), bool(request.settings.get("lossy"))
    made: list[Turn] = []
    divided = 0
    for turn in turns:
        words = planner.tokenizer.read(_dressed(turn.text, request)).words
        long = estimate_seconds(words) > longest
        if long or len(planner.tokenizer.encode(turn.text)) > budget.max_tokens:
            divided += 1
            pieces = plan_parts(planner, turn.text, (), budget, lossy)
            made += [replace(turn, text=piece.text) for piece in pieces]
        else:
            made.append(turn)
    if divided:
        logger.warning(
            "%d of %d parts are longer than the %.0f s that %s speaks at once and are divided",
            divided, len(turns), longest, planner.name,
        )  # fmt: skip
    return made


def _check_speakers(text: str, speakers: Sequence[str]) -> None:
    """Refuse lines of somebody who has no voice: whoever speaks before would say them."""
    if not speakers:
        return
    named = [match[1].strip() for match in NAMED_LINE.finditer(text)]
    known = {name.casefold() for name in speakers}
    if unknown := [name for name in dict.fromkeys(named) if name.casefold() not in known]:
        raise TextError(
            "lines of the script belong to nobody who has a voice",
            ", ".join(unknown),
            ", ".join(speakers),
            "Give them one with --voices, or take their names away",
        )


def _dressed(text: str, request: SpeakRequest) -> str:
    """Return a part with the prefix and suffix that are asked for."""
    before, after = request.prefix, request.suffix
    return " ".join(f"{before} {text} {after}".split()) if before or after else text


def _budget(request: SpeakRequest, planner: Any) -> Budget:
    """Return what a part may hold, less what prefix and suffix take of it."""
    budget = replace(
        default_budget(planner.layout),
        goal_characters=request.goal_characters,
        max_characters=request.max_characters,
    )
    around = _dressed("", request)
    if not speakable(around):
        return budget
    tokens = len(planner.tokenizer.encode(around))
    seconds = estimate_seconds(planner.tokenizer.normalize(around))
    if tokens > budget.max_tokens / 2 or seconds > budget.max_seconds / 2:
        raise TextError(
            "prefix and suffix fill more than half of an utterance",
            f"{tokens} tokens, about {seconds:.1f} s",
        )
    return replace(
        budget, max_tokens=budget.max_tokens - tokens, max_seconds=budget.max_seconds - seconds
    )
