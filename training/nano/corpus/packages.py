"""Names every Debian package that the corpus needs and this machine lacks, before work begins."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from bark.errors import MissingFileError

from .texts import FORTUNES, WORDNET
from .voices import VoiceRecipe

FESTIVAL_VOICES = Path("/usr/share/festival/voices")  # language/voice
FESTIVAL_PACKAGES = {
    "ked_diphone": "festvox-kdlpc16k",
    "cmu_us_slt_arctic_hts": "festvox-us-slt-hts",
}
TEXT_PACKAGES = ("wordnet-base", "bible-kjv", "fortunes")
PROGRAMS = {"flite": "flite", "festival": "festival", "espeak": "espeak-ng"}  # of the engines


def missing_packages(voices: Iterable[VoiceRecipe]) -> tuple[str, ...]:
    """Return the Debian packages to install before these voices can speak the texts."""
    voices = tuple(voices)
    lacking = [package for package in TEXT_PACKAGES if not _has_texts(package)]
    for engine, program in PROGRAMS.items():
        bases = {voice.base for voice in voices if voice.engine == engine}
        if bases and shutil.which(program) is None:
            lacking.append(program)
        if engine == "festival":
            lacking += [
                FESTIVAL_PACKAGES[base]
                for base in sorted(bases)
                if not any(FESTIVAL_VOICES.glob(f"*/{base}"))
            ]
    return tuple(lacking)


def _has_texts(package: str) -> bool:
    if package == "bible-kjv":
        return shutil.which("bible") is not None
    return (WORDNET if package == "wordnet-base" else FORTUNES).is_dir()


def check_packages(voices: Iterable[VoiceRecipe]) -> None:
    """Refuse to begin without what the corpus is made from.

    Raises
    ------
    MissingFileError
        That names all that is missing and how to install it.
    """
    if lacking := missing_packages(voices):
        raise MissingFileError(
            "the corpus is made with Debian packages that are not installed",
            got=f"without {', '.join(lacking)}",
            fix=f"Install them: apt-get install {' '.join(lacking)}",
        )
