"""Whose voice is cloned, and why that is allowed: the note that a voice keeps.

Anyone can clone a voice without its owner's leave: this is a local tool and polices nobody.
It asks, once and plainly, and the answer travels inside the voice.
"""

from collections.abc import Callable
from hashlib import sha256

from bark.errors import MissingFileError, SettingError
from bark.storage.files import expand

ALLOWED = "self, licensed:NOTE, recorded:FILE, synthetic"
QUESTION = f"Whose voice is this, and may you clone it? ({ALLOWED}) "
MAX_LENGTH = 2_000  # characters


class Consent(str):
    """A statement that was checked; text that says the same was not."""


def check_consent(statement: str) -> Consent:
    """Return a statement of consent as a voice keeps it, or raise what is wrong with it.

    Parameters
    ----------
    statement : ``self`` (my own voice), ``licensed:NOTE`` (the note says by whom or which licence),
        ``recorded:FILE`` (a recording or text of the speaker's consent; its name and hash are kept)
        or ``synthetic`` (no living person's voice).

    >>> check_consent("licensed: LJ Speech, public domain")
    'licensed:LJ Speech, public domain'
    """
    if isinstance(statement, Consent):
        return statement
    basis, _, note = (part.strip() for part in statement.partition(":"))
    short = len(statement) <= MAX_LENGTH and statement.isprintable()
    if short and basis in ("self", "synthetic") and not note:
        return Consent(basis)
    if short and basis == "licensed" and note:
        return Consent(f"licensed:{note}")
    if short and basis == "recorded" and note:
        path = expand(note)
        if not path.is_file():
            raise MissingFileError(f"there is no file {path} with the speaker's consent")
        digest = sha256(path.read_bytes()).hexdigest()
        return Consent(f"recorded:{path.name} sha256:{digest}")
    raise SettingError("consent", ascii(statement[:60]), ALLOWED)


def require_consent(
    statement: str | None, ask: Callable[[str], str | None] | None = None
) -> Consent:
    """Return the checked statement; without one ask once, and refuse where nobody can be asked.

    Parameters
    ----------
    ask : shows a question and returns the answer, or None where nobody is there to answer.
    """
    if statement is None and ask is not None:
        statement = ask(QUESTION)
    if statement is None:
        raise SettingError(
            "a voice belongs to someone, and nobody said whose this is",
            fix="Add --consent self, licensed:NOTE, recorded:FILE or synthetic",
        )
    return check_consent(statement)
