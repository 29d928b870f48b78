"""BERT's multilingual word pieces, the text tokens of Suno's models."""

import unicodedata
from pathlib import Path
from typing import Any

import msgspec

from bark.errors import BarkError, MissingFileError, TextError
from bark.storage.files import read_bounded
from bark.storage.json import MOST_BYTES, read_as

from .reading import Reading
from .tidy import clean, speakable, tidy

BERT_REPOSITORY = "bert-base-multilingual-cased"
UNKNOWN = "[UNK]"
BERT_SPECIAL = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")


class _Settings(msgspec.Struct):
    """What ``tokenizer_config.json`` may say of a vocabulary."""

    do_lower_case: bool | None = None


class BertTextTokenizer:
    """BERT's multilingual word pieces, cased, without special tokens around: what Bark was trained
    on.
    """

    name = "bert"

    def __init__(self, tokenizer: Any) -> None:
        """Wrap a ``tokenizers.Tokenizer``."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = BERT_REPOSITORY) -> "BertTextTokenizer":
        """Load from a folder with ``tokenizer.json`` or ``vocab.txt``, or from the hub's cache or
        the hub.

        Raises
        ------
        MissingFileError : neither is there; offline, the message says how to fetch them.
        TextError : the file is no tokenizer.
        """
        folder = Path(name_or_path)
        if not folder.is_dir():
            from bark.storage.hub import fetch

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

    def read(self, text: str) -> Reading:
        """Return the tidy text, empty where `normalize` raises, and the words without a piece of
        their own, which the model sees as ``[UNK]``.
        """
        cleaned = clean(text)
        found = self._tokenizer.encode(cleaned, add_special_tokens=False)
        lost: list[str] = []
        words: set[int] = set()
        gone: set[int] = set()
        ended = -1
        for token, (first, last), word in zip(
            found.tokens, found.offsets, found.word_ids, strict=True
        ):
            if not any(unicodedata.category(char)[0] in "LNS" for char in cleaned[first:last]):
                continue
            words.add(word)
            if token != UNKNOWN:
                continue
            gone.add(word)
            if first == ended:
                lost[-1] += cleaned[first:last]
            else:
                lost.append(cleaned[first:last])
            ended = last
        said = cleaned if speakable(cleaned) else ""
        return Reading(said, tuple(lost), (), len(words), len(gone))

    def encode(self, text: str) -> list[int]:
        """Return the word-piece ids of the tidy text; an unknown sign becomes ``[UNK]``."""
        return self.encode_reading(Reading(tidy(text)))

    def encode_reading(self, reading: Reading) -> list[int]:
        """Return the ids of a text that is read."""
        return list(self._tokenizer.encode(reading.words, add_special_tokens=False).ids)


def _read_json(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(read_bounded(path, MOST_BYTES, TextError).decode("utf-8"))
    except BarkError:
        raise
    except Exception as error:  # tokenizers raises the bare class
        raise TextError(f"{path} is no tokenizer", str(error)[:80]) from error


def _read_vocabulary(path: Path) -> Any:
    """Build BERT's tokenizer from its word list; cased unless ``tokenizer_config.json`` says
    otherwise.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    try:
        text = read_bounded(path, MOST_BYTES, TextError).decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"{path} cannot be read", error) from error
    words = text.removesuffix("\n").split("\n")  # some words are other line breaks
    beside = path.with_name("tokenizer_config.json")
    settings = read_as(beside, _Settings, TextError) if beside.is_file() else _Settings()
    if UNKNOWN not in words:
        raise TextError(f"{path} is no BERT vocabulary", "no [UNK]")
    ids = {word: at for at, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=bool(settings.do_lower_case))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([word for word in BERT_SPECIAL if word in words])
    return tokenizer
