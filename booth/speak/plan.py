"""Turns what was asked for into texts, and a text into the parts that are spoken one by one."""

import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bark.errors import MissingFileError, StorageError, TextError
from bark.longform.plan import default_budget, plan_parts
from bark.text.dialogue import Turn, parse_dialogue
from bark.text.split import Budget, estimate_seconds, split_by_lines, split_by_words
from bark.text.tidy import speakable
from bark.tokens import TokenLayout
from booth.cli.options import SpeakOptions

logger = logging.getLogger(__name__)

DEFAULT_TEXTS = (
    "Hello. Nobody told me what to say, so I am telling you what I can do.",
    "I read a text aloud in any voice you lend me, and I write down how I did it. [laughs]",
)
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Planner:
    """What planning needs of a model: no weights."""

    layout: TokenLayout
    tokenizer: Any


def read_texts(options: SpeakOptions) -> list[str]:
    """Return the texts to speak, each for a clip of its own.

    Raises
    ------
    TextError
        If a file is not UTF-8, or holds nothing.
    """
    if options.prompt_file is not None:
        text = _read(options.prompt_file)
        separator = (options.prompt_file_separator or "").replace("\\n", "\n")
        pieces = text.replace("\r\n", "\n").split(separator) if separator else [text]
        texts = [piece for piece in pieces if piece.strip()]
        if not texts:
            raise TextError(f"{options.prompt_file} holds no text")
        return texts
    if options.text is None:
        logger.warning(
            "no text is given: speaking two of mine. Yours goes after --text, or into --prompt_file"
        )
        return list(DEFAULT_TEXTS)
    return [_read("-") if options.text == "-" else options.text]


def plan(text: str, options: SpeakOptions, planner: Any) -> tuple[Turn, ...]:
    """Return the parts of a text: by count if asked for, else as many words as the model can take
    at once.

    Parameters
    ----------
    planner : a `Planner` or a `bark.Bark`.
    """
    speakers = [name for name, _ in options.voices or ()]
    if options.split_by_words or options.split_by_lines:
        turns = [
            Turn(turn.speaker, part)
            for turn in parse_dialogue(text, speakers)
            for part in (
                split_by_words(turn.text, options.split_by_words)
                if options.split_by_words
                else split_by_lines(turn.text, options.split_by_lines)
            )
        ]
        if not turns:
            raise TextError("nothing in the text can be spoken", ascii(text[:40]))
    else:
        turns = plan_parts(planner, text, speakers, _budget(options, planner))
    turns = [Turn(turn.speaker, _dressed(turn.text, options)) for turn in turns]
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


def _dressed(text: str, options: SpeakOptions) -> str:
    """Return a part with the prefix and suffix that are asked for."""
    before, after = options.prompt_text_prefix or "", options.prompt_text_suffix or ""
    return " ".join(f"{before} {text} {after}".split()) if before or after else text


def _budget(options: SpeakOptions, planner: Any) -> Budget:
    """Return what a part may hold, less what prefix and suffix take of it."""
    budget = replace(
        default_budget(planner.layout),
        goal_characters=options.split_character_goal_length,
        max_characters=options.split_character_max_length,
    )
    around = _dressed("", options)
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


def _read(name: str) -> str:
    """Return the text of a file, or of standard input for ``-``; UTF-8, or UTF-16 that says so."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {name}") from error
    except OSError as error:
        raise StorageError(f"cannot read {name}", error.strerror) from error
    where = "standard input" if name == "-" else name
    if len(data) > MAX_BYTES:
        raise TextError(
            f"{where} is too long", f"over {MAX_BYTES >> 20} MB", fix="Cut it into books"
        )
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at {error.start}"
        raise TextError(f"{where} is not UTF-8", found, fix="Save it as UTF-8") from error
