"""What Bark and its stages ask of a history prompt's three arrays; one sentence for each fault.

The strict rules are for files that are kept and shared: Suno's code, Hugging Face's and ours speak
with what passes them. Suno's code itself checks less, stage by stage (`STAGE_READS`)."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bark.errors import SettingError, VoiceError
from bark.tokens import TokenLayout

SEMANTIC_KEY, COARSE_KEY, FINE_KEY = (
    "semantic_prompt",
    "coarse_prompt",
    "fine_prompt",
)  # Suno's spelling
KEYS = (SEMANTIC_KEY, COARSE_KEY, FINE_KEY)
PLAIN_KEYS = tuple(key.removesuffix("_prompt") for key in KEYS)  # the names of `Voice`'s fields
STAGE_READS = {"semantic": ("semantic",), "coarse": ("semantic", "coarse"), "fine": ("fine",)}
# With one semantic token Suno's coarse stage keeps ``history[-0:]``, the whole array instead of
# none.
MIN_SEMANTIC = 2
# Encoders disagree with the ratio by up to 3 tokens and 2 frames; more than this is another
# recording.
SLACK_TOKENS, SLACK_SHARE = 4, 0.05

Arrays = Mapping[str, np.ndarray]  # by plain key


def as_tokens(values: Any, key: str, truncate: bool = False) -> np.ndarray:
    """Return a new C-ordered int64 array of whole numbers, or raise `VoiceError`.

    `truncate` cuts fractions off, as Suno's code does."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise VoiceError(f"{key} is not an array of integers", type(values).__name__) from error
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise VoiceError(f"{key} holds NaN or infinity", array.dtype, "integers")
        fractions = not truncate and (array != np.trunc(array)).any()
        if fractions or (np.abs(array) > 2**53).any():
            raise VoiceError(f"{key} holds fractions", array.dtype, "integers")
    elif array.dtype.kind not in "iu":
        raise VoiceError(f"{key} holds the wrong kind of values", array.dtype, "integers")
    elif array.size and array.max() > np.iinfo(np.int64).max:
        raise VoiceError(f"{key} has ids outside the vocabulary", array.max())
    return np.array(array, dtype=np.int64, order="C")


def parts_of(stage: str | None) -> tuple[str, ...]:
    """Return the arrays that a stage of Bark reads; None is all of them."""
    if stage is None:
        return PLAIN_KEYS
    if stage not in STAGE_READS:
        raise SettingError("stage", repr(stage), ", ".join(STAGE_READS))
    return STAGE_READS[stage]


def empty_part(part: str, layout: TokenLayout) -> np.ndarray:
    """Return what stands for an array that is not read."""
    books = {"semantic": 0, "coarse": layout.coarse_books, "fine": layout.fine_books}[part]
    return np.zeros((books, 0) if books else 0, dtype=np.int64)


def check_stage(arrays: Arrays, layout: TokenLayout, stage: str | None) -> None:
    """Check what Suno's code checks before a stage, or before all of them: shapes, ids, ratio."""
    parts = parts_of(stage)
    check_ids(arrays, layout, parts)
    if "coarse" in parts:
        check_ratio(arrays, layout)


def check_all(arrays: Arrays, layout: TokenLayout) -> None:
    """Check every rule of a voice that is kept."""
    check_ids(arrays, layout)
    if len(arrays["semantic"]) < MIN_SEMANTIC:
        raise VoiceError(
            f"{SEMANTIC_KEY} is too short", len(arrays["semantic"]), f"at least {MIN_SEMANTIC}"
        )
    check_ratio(arrays, layout)
    check_codes(arrays, layout)


def check_ids(arrays: Arrays, layout: TokenLayout, parts: Iterable[str] = PLAIN_KEYS) -> None:
    """Check shapes (S,), (2, T), (8, T), and that ids are in their vocabulary."""
    for part in parts:
        name, tokens = f"{part}_prompt", arrays[part]
        books = len(empty_part(part, layout))
        allowed = f"({books}, frames)" if books else "(tokens,)"
        if not (tokens.ndim == 2 and len(tokens) == books if books else tokens.ndim == 1):
            turned = tokens.ndim == 2 and tokens.shape[1] == books
            raise VoiceError(
                f"{name} has the wrong shape",
                tokens.shape,
                allowed,
                "Transpose it" if turned else None,
            )
        if tokens.size == 0:
            raise VoiceError(f"{name} is empty", tokens.shape, allowed)
        top = layout.codebook_size if books else layout.semantic_vocab
        if tokens.min() < 0 or tokens.max() >= top:
            found = f"{tokens.min()}..{tokens.max()}"
            raise VoiceError(f"{name} has ids outside the vocabulary", found, f"0..{top - 1}")


def check_ratio(arrays: Arrays, layout: TokenLayout) -> None:
    """Check T/S, rounded to one decimal, against the ratio of the rates: 1.5 for Bark."""
    frames, tokens = arrays["coarse"].shape[1], len(arrays["semantic"])
    wanted = layout.frames_per_semantic
    if round(frames / tokens, 1) != round(wanted, 1):
        raise VoiceError(
            f"{frames} frames for {tokens} semantic tokens is the wrong ratio",
            f"{frames / tokens:.3f}",
            f"{wanted:.3f}, equal when rounded to one decimal",
            "Make all three prompts from one recording of at least 1.1 s",
        )


def check_codes(arrays: Arrays, layout: TokenLayout) -> None:
    """Check that the coarse codes are the first rows of the fine ones."""
    coarse, fine = arrays["coarse"], arrays["fine"]
    if coarse.shape[1] != fine.shape[1]:
        raise VoiceError(
            f"{COARSE_KEY} and {FINE_KEY} differ in length",
            f"{coarse.shape[1]} and {fine.shape[1]} frames",
            "the same number",
        )
    if other := int((coarse != fine[: layout.coarse_books]).sum()):
        raise VoiceError(
            f"{COARSE_KEY} is not the first {layout.coarse_books} rows of {FINE_KEY}",
            f"{other} of {coarse.size} ids differ",
            fix="Take both from one run of the codec",
        )


def oddities(arrays: Arrays, layout: TokenLayout) -> list[str]:
    """Return one sentence for each thing that Bark tolerates but a listener may not."""
    found = []
    semantic, coarse, fine = (arrays[part] for part in PLAIN_KEYS)
    try:
        check_codes(arrays, layout)
    except VoiceError as error:
        found.append(f"{error.what} ({error.got}): a mixed voice may change while it speaks")
    tokens, frames = canonical_lengths(len(semantic), fine.shape[1], layout)
    if len(semantic) - tokens > SLACK_TOKENS or fine.shape[1] - frames > SLACK_TOKENS:
        found.append(
            f"{len(semantic)} tokens and {fine.shape[1]} frames do not end together; "
            f"canonical() cuts them to {tokens} and {frames}"
        )
    found += [
        f"{key} is one id, {tokens.flat[0]}, throughout: this is no speech"
        for key, tokens in zip((SEMANTIC_KEY, COARSE_KEY), (semantic, coarse), strict=True)
        if (tokens == tokens.flat[0]).all()
    ]
    return found


def canonical_lengths(tokens: int, frames: int, layout: TokenLayout) -> tuple[int, int]:
    """Return the largest S' <= S with floor(S' * ratio) <= T, and that many frames."""
    ratio = layout.frames_per_semantic
    kept = min(tokens, math.ceil((frames + 1) / ratio))
    while math.floor(kept * ratio) > frames:
        kept -= 1
    return kept, math.floor(kept * ratio)
