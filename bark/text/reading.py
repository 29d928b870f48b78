"""What becomes of a text on its way to a model: the words it says, and what it cannot say."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """How a tokenizer reads one text."""

    words: str  # as they will be said; empty where nothing can be
    lost: tuple[str, ...] = ()  # words and signs that cannot be said, in order
    dropped: tuple[str, ...] = ()  # stage directions and markup that are left out, in order
    visible: int = 0  # words of the text, marks left out not counted
    missing: int = 0  # of them, those that are lost

    @property
    def share_lost(self) -> float:
        """The share of the visible words that cannot be said, 0 to 1."""
        return self.missing / self.visible if self.visible else 0.0
