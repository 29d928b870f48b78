"""The texts that a command line names: typed, in a file, or on standard input."""

import logging
import os
import sys

from bark.errors import MissingFileError, StorageError, TextError
from bark.storage.files import expand

logger = logging.getLogger(__name__)

DEFAULT_TEXTS = (
    "Hello. Nobody told me what to say, so I am telling you what I can do.",
    "I read a text aloud in any voice you lend me, and I write down how I did it.",
)
MAX_BYTES = 64 << 20


def read_texts(
    text: str | None = None, file: str | None = None, separator: str | None = None
) -> tuple[str, ...]:
    """Return the texts to speak, each for a clip of its own.

    Parameters
    ----------
    text : the text; - reads standard input.
    file : a file of texts; - reads standard input.
    separator : what stands between the texts of the file.

    Raises
    ------
    TextError
        If a file is not UTF-8, or holds nothing.
    """
    if file is not None:
        whole = _read(file).replace("\r\n", "\n")
        cut = (separator or "").replace("\\n", "\n")
        texts = tuple(piece for piece in (whole.split(cut) if cut else [whole]) if piece.strip())
        if not texts:
            raise TextError(f"{file} holds no text")
        return texts
    if text is None:
        logger.warning(
            "no text is given: speaking two of mine. Yours goes after --text, or into --prompt_file"
        )
        return DEFAULT_TEXTS
    return (_read("-") if text == "-" else _typed(text),)


def _typed(text: str) -> str:
    """Return an argument as UTF-8, which it is also where the locale takes it for ASCII."""
    if text.isascii() or not any("\udc80" <= char <= "\udcff" for char in text):
        return text
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError as error:
        raise TextError("--text is not UTF-8", repr(text), fix="Put it into a file") from error


def _read(name: str) -> str:
    """Return the text of a file, or of standard input for ``-``; UTF-8, or UTF-16 that says so."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with expand(name).open("rb") as file:
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
