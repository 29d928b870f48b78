"""Text: what tidying keeps, what cannot be spoken, and that our BERT gives transformers' ids."""

import json
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark.errors import MissingFileError, SettingError, TextError
from bark.languages import SUPPORTED_LANGS
from bark.text.bert import BertTextTokenizer
from bark.text.reading import Reading
from bark.text.tidy import fit_tokens, tidy

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] hello world Hello ##s play ##ing ! ? . , ' [ ] laugh ##ter Straße Stra "
    "##ße é e 日 本 नमस ##्ते \u200c 1 ##2 $ % ♪ a ##b"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("bert")
    (place / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    return place


@given(st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_tidy_text_is_stable_clean_and_keeps_every_visible_sign(text):
    try:
        clean = tidy(text)
    except TextError as error:
        assert "nothing in the text can be spoken" in str(error)
        assert not any(unicodedata.category(char)[0] in "LN" for char in text)
        return
    assert tidy(clean) == clean == clean.strip() == unicodedata.normalize("NFC", clean)
    assert "  " not in clean
    assert all(char in "\u200c\u200d" or unicodedata.category(char)[0] != "C" for char in clean)

    def visible(value):
        return [
            c for c in unicodedata.normalize("NFC", value) if unicodedata.category(c)[0] not in "CZ"
        ]

    dropped = "".join(
        c for c in text if c in " \u200c\u200d" or unicodedata.category(c)[0] not in "CZ"
    )
    assert visible(clean) == visible(dropped)


@pytest.mark.parametrize(
    "text, clean",
    [
        ("  a\t\nb\r\n c ", "a b c"),
        ("a\u00a0b\u3000c\u2028d", "a b c d"),
        ("co\u00adop\ufeff\u200b \u202eok\u202c\x00\x1b", "coop ok"),
        ("e\u0301", "é"),
        ("نمی\u200cشود", "نمی\u200cشود"),
        ("क्\u200dष", "क्\u200dष"),
        ("a\ud800b", "ab"),
        ("[laughs] ♪ la la ♪ …", "[laughs] ♪ la la ♪ …"),
        ("$", "$"),
        ("你好。", "你好。"),
    ],
)
def test_tidy_examples(text, clean):
    assert tidy(text) == clean


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n\t", "\u200b", "\ufeff\u202e", "\x00", "...", "—!?", "🎉👍", "\ud800", "\u0301"],
)
def test_what_cannot_be_spoken(text):
    with pytest.raises(
        TextError, match="nothing in the text can be spoken: got '.*'; allowed: at least one letter"
    ):
        tidy(text)


def test_a_long_unspeakable_text_is_shortened_in_the_message():
    with pytest.raises(TextError) as caught:
        tidy("🎉" * 100_000)
    assert len(str(caught.value)) < 600 and str(caught.value).isascii()


def test_text_must_be_text():
    with pytest.raises(TextError, match="text is no string: got bytes; allowed: str"):
        tidy(b"hello")  # type: ignore[arg-type]


def test_sunos_languages():
    assert [code for _, code in SUPPORTED_LANGS] == "en de es fr hi it ja ko pl pt ru tr zh".split()


def test_fit_tokens(caplog):
    assert fit_tokens(range(256)) == list(range(256))
    with pytest.raises(
        TextError, match=r"too long for one utterance: got 257 tokens; allowed: up to 256\. .*long"
    ):
        fit_tokens(range(257))
    assert fit_tokens(range(320), on_overflow="cut") == list(range(256))
    assert "the last 20 % (64 tokens) are cut" in caplog.text
    assert fit_tokens([1, 2], limit=2) == [1, 2]
    with pytest.raises(TextError, match="the tokenizer knows nothing in this text: got 0 tokens"):
        fit_tokens([])
    with pytest.raises(SettingError, match='on_overflow: got \'drop\'; allowed: "error" or "cut"'):
        fit_tokens([1], on_overflow="drop")  # type: ignore[arg-type]


def test_ids_are_those_of_transformers(folder):
    from transformers import BertTokenizer

    words = {word: at for at, word in enumerate(WORDS)}
    theirs = BertTokenizer(vocab=words, do_lower_case=False)
    ours = BertTextTokenizer.from_pretrained(folder)
    for text in (
        "hello worlds, Hello playing!",
        "[laughter] [SEP] x",
        "Straße é e\u0301 日本 नमस्ते",
        "12 % $1 ♪",
        "ab " * 400,
        "unknown" + "a" * 200,
    ):
        expected = theirs(tidy(text), add_special_tokens=False)["input_ids"]
        assert ours.encode(text) == expected
        assert all(type(number) is int for number in ours.encode(text))
    assert ours.vocab_size == len(WORDS)
    assert ours.normalize(" a\tb ") == "a b"


def test_what_bert_reads_and_loses(folder):
    read = BertTextTokenizer.from_pretrained(folder).read
    reading = read("hello 🎉🎉,\tHello ж日本 $ ... é")
    assert reading.words == "hello 🎉🎉, Hello ж日本 $ ... é"
    assert (reading.lost, reading.dropped) == (("🎉🎉", "ж"), ())
    assert (reading.missing, reading.visible) == (2, 8)
    assert read("[laughter] hello").lost == ()
    assert read("🎉") == Reading("", ("🎉",), (), 1, 1)
    assert read("...") == Reading("")


def test_tokenizer_json_is_read_without_its_truncation(folder, tmp_path):
    from transformers import BertTokenizer

    theirs = BertTokenizer(vocab={word: at for at, word in enumerate(WORDS)}, do_lower_case=False)
    theirs("hello", truncation=True, max_length=4, padding="max_length")
    theirs.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").exists()
    loaded = BertTextTokenizer.from_pretrained(tmp_path)
    assert loaded.encode("hello " * 9) == [5] * 9
    assert loaded.encode("Hello") == BertTextTokenizer.from_pretrained(folder).encode("Hello")


def test_lower_case_only_when_the_folder_says_so(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\nhello\nHello\n")
    assert BertTextTokenizer.from_pretrained(tmp_path).encode("Hello") == [2]
    beside = tmp_path / "tokenizer_config.json"
    for wrong in ("[" * 100_000, "3", '{"do_lower_case": "no"}', "9" * 5000, "\xff"):
        beside.write_bytes(wrong.encode("latin-1"))
        with pytest.raises(TextError, match="tokenizer_config.json"):
            BertTextTokenizer.from_pretrained(tmp_path)
    beside.write_text(json.dumps({"do_lower_case": True}))
    assert BertTextTokenizer.from_pretrained(tmp_path).encode("Hello") == [1]


def test_words_that_are_line_breaks_keep_the_ids_of_the_others(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n\u2028\n\u0085\nhello\n", "utf-8")
    assert BertTextTokenizer.from_pretrained(tmp_path).encode("hello") == [3]


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("tokenizer.json", "{", "is no tokenizer"),
        ("vocab.txt", "a\nb\n", r"is no BERT vocabulary: got no \[UNK\]"),
        ("vocab.txt", "\udcff", "cannot be read"),
    ],
)
def test_broken_tokenizer_files(tmp_path, file, content, message):
    (tmp_path / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(TextError, match=message):
        BertTextTokenizer.from_pretrained(tmp_path)


def test_an_empty_folder_and_an_absent_model(tmp_path, monkeypatch):
    with pytest.raises(
        MissingFileError, match="no tokenizer in .*: got neither tokenizer.json nor vocab.txt"
    ):
        BertTextTokenizer.from_pretrained(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingFileError, match=re.escape("bert-base-multilingual-cased")):
        BertTextTokenizer.from_pretrained()
