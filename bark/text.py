"""Turns written text into tidy text, and tidy text into the ids of Bark's tokenizer."""

import json
import logging
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from .errors import MissingFileError, SettingError, TextError
from .tokens import BARK

logger = logging.getLogger(__name__)

# Bark's languages, as Suno lists them.
SUPPORTED_LANGS = [
    ("English", "en"),
    ("German", "de"),
    ("Spanish", "es"),
    ("French", "fr"),
    ("Hindi", "hi"),
    ("Italian", "it"),
    ("Japanese", "ja"),
    ("Korean", "ko"),
    ("Polish", "pl"),
    ("Portuguese", "pt"),
    ("Russian", "ru"),
    ("Turkish", "tr"),
    ("Chinese", "zh"),
]
BERT_REPOSITORY = "bert-base-multilingual-cased"
UNKNOWN = "[UNK]"
BERT_SPECIAL = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
JOINERS = "\u200c\u200d"  # part of spelling in Persian and the scripts of India
SIGNS = "%&@#"  # read aloud, like letters, digits, currencies and signs of arithmetic


class TextTokenizer(Protocol):
    """What a text stage needs of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, before the layout's text offset."""

    def normalize(self, text: str) -> str:
        """Return the text as it is spoken."""


def clean(text: str) -> str:
    """Return `text` composed (NFC), without control and format characters, with single spaces."""
    # Whitespace first: tabs and newlines are control characters too.
    spaced = re.sub(r"\s+", " ", text)
    kept = "".join(char for char in spaced if char in JOINERS or unicodedata.category(char)[0] != "C")
    return unicodedata.normalize("NFC", re.sub(r" +", " ", kept)).strip()


def speakable(text: str) -> bool:
    """Tell whether anything in `text` can be spoken: a letter, a digit, or a sign with a name."""
    return any(map(_speakable, text))


def tidy(text: str) -> str:
    """Return the clean text if it can be spoken.

    Raises
    ------
    TextError : it is no string, or nothing in it can be spoken.

    >>> tidy("  Na\\u0308chste\\tZeile\\u200b,\\n bitte. ")
    'Nächste Zeile, bitte.'
    """
    if not isinstance(text, str):
        raise TextError("text is no string", type(text).__name__, "str")
    cleaned = clean(text)
    if not speakable(cleaned):
        shown = ascii(text if len(text) <= 40 else text[:40] + "...")
        raise TextError("nothing in the text can be spoken", shown, "at least one letter, digit or sign")
    return cleaned


def _speakable(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "LN" or category in ("Sc", "Sm") or char in SIGNS


def fit_tokens(
    ids: Sequence[int], limit: int = BARK.text_window, on_overflow: Literal["error", "cut"] = "error"
) -> list[int]:
    """Return the ids of one text if Bark's text window holds them.

    Parameters
    ----------
    ids : (n,) what the tokenizer returned.
    limit : tokens.
    on_overflow : "error", or "cut" to warn and keep the first `limit`, as Suno's code does.
    """
    if on_overflow not in ("error", "cut"):
        raise SettingError("on_overflow", repr(on_overflow), '"error" or "cut"')
    if not len(ids):
        raise TextError("the tokenizer knows nothing in this text", "0 tokens")
    if len(ids) > limit:
        if on_overflow == "error":
            raise TextError(
                "the text is too long for one utterance",
                f"{len(ids)} tokens",
                f"up to {limit}",
                "Split it, or use long form (bark.longform)",
            )
        share = 100 * (len(ids) - limit) / len(ids)
        logger.warning("text too long: the last %.0f %% (%d tokens) are cut", share, len(ids) - limit)
    return list(ids[:limit])


class BertTextTokenizer:
    """BERT's multilingual word pieces, cased, without special tokens around: what Bark was trained on."""

    name = "bert"

    def __init__(self, tokenizer: Any) -> None:
        """Wrap a ``tokenizers.Tokenizer``."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = BERT_REPOSITORY) -> "BertTextTokenizer":
        """Load from a folder with ``tokenizer.json`` or ``vocab.txt``, or from the hub's cache or the hub.

        Raises
        ------
        MissingFileError : neither is there; offline, the message says how to fetch them.
        TextError : the file is no tokenizer.
        """
        folder = Path(name_or_path)
        if not folder.is_dir():
            from .hub import fetch

            folder = fetch(str(name_or_path), "vocab.txt").parent
        for file, read in (("tokenizer.json", _read_json), ("vocab.txt", _read_vocabulary)):
            if (path := folder / file).is_file():
                return cls(read(path))
        raise MissingFileError(f"no tokenizer in {folder}", "neither tokenizer.json nor vocab.txt")

    @property
    def vocab_size(self) -> int:
        """Ids are below this, 119 547 for Bark's."""
        return int(self._tokenizer.get_vocab_size())

    def normalize(self, text: str) -> str:
        """Return the tidy text; Bark itself reads numbers and signs."""
        return tidy(text)

    def encode(self, text: str) -> list[int]:
        """Return the word-piece ids of the tidy text; an unknown sign becomes ``[UNK]``."""
        return list(self._tokenizer.encode(tidy(text), add_special_tokens=False).ids)


def _read_json(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(path.read_text("utf-8"))
    except Exception as error:  # tokenizers raises the bare class
        raise TextError(f"{path} is no tokenizer", str(error)[:80]) from error


def _read_vocabulary(path: Path) -> Any:
    """Build BERT's tokenizer from its word list; cased unless ``tokenizer_config.json`` says otherwise."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    try:
        words = path.read_text("utf-8").removesuffix("\n").split("\n")  # some words are other line breaks
        settings = path.with_name("tokenizer_config.json")
        lower = settings.is_file() and bool(json.loads(settings.read_text("utf-8")).get("do_lower_case"))
    except (ValueError, AttributeError) as error:
        raise TextError(f"{path} or its tokenizer_config.json cannot be read") from error
    if UNKNOWN not in words:
        raise TextError(f"{path} is no BERT vocabulary", "no [UNK]")
    ids = {word: at for at, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([word for word in BERT_SPECIAL if word in words])
    return tokenizer
