"""What a reading rule is: a pattern, and the words that replace what it finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Replacement = str | Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Replacement]


def rule(pattern: str, replacement: Replacement, flags: int = 0) -> Rule:
    """Compile one rule; case counts unless `flags` say otherwise."""
    return re.compile(pattern, flags), replacement


def any_of(words: Iterable[str]) -> str:
    """Return a pattern for any of `words`, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def apply(rules: Iterable[Rule], text: str) -> str:
    """Apply rules to the whole text, one after the other."""
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text
