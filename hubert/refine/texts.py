"""English texts that candidates speak: some to choose by, others for the trial."""

from collections.abc import Sequence
from dataclasses import dataclass

from bark.errors import SettingError

LEAST = 8  # texts of one's own


@dataclass(frozen=True)
class Texts:
    """Which texts are spoken when; none is in two of them."""

    takes: tuple[str, ...]  # about 4 s each: of a prompt Bark hears 4.2 to 6.8 s
    audition: tuple[str, ...]
    trial: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Texts":
        """Deal out texts of one's own: a fourth of them for takes, the longest; a fourth for the
        audition; the rest for the trial.

        Raises
        ------
        SettingError : there are fewer than eight different ones.
        """
        own = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
        if len(own) < LEAST:
            raise SettingError(
                "texts to refine by", f"{len(own)} different ones", f"at least {LEAST}, one a line"
            )
        count = len(own) // 4
        own.sort(key=len, reverse=True)
        return cls(tuple(own[:count]), tuple(own[count : 2 * count]), tuple(own[2 * count :]))


ENGLISH = Texts(
    takes=(
        "The old man walked along the river, and thought about his brother who had gone to sea.",
        "Seven people waited in the cold street while the driver looked for his keys.",
        "When the rain was over we opened the windows, and the whole house smelled of leaves.",
        "She wrote a long letter to her sister, but she never took it to the post.",
    ),
    audition=(
        "There were many birds in the garden that day.",
        "Please give me two tickets for the evening train.",
        "My number is four one nine two six oh three.",
    ),
    trial=(
        "We should go before the others come back.",
        "The water in the lake is cold and very deep.",
        "Nobody knows what happened to the yellow boat.",
        "Turn left at the church and follow the road.",
        "Her father bought three pounds of apples.",
        "I have never seen such a beautiful horse.",
        "The shop on the corner opens at half past eight.",
        "A small black dog was sleeping by the fire.",
        "You can leave your coat and your bag here.",
        "On Friday the children stay at home.",
        "Most of the money was spent on paper and ink.",
        "Five hundred men worked on that bridge.",
    ),
)
