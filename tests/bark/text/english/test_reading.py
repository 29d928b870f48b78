"""Reading: pairs of written and spoken text, and that no visible word vanishes unsaid and unnamed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark.text.english.phones import PhoneTokenizer
from bark.text.english.words import roman

READ = PhoneTokenizer().read
HERE = Path(__file__).parent


def pairs(half: str) -> list[tuple[str, list[str]]]:
    """Return each text and the ways of saying it that are right."""
    lines = (HERE / f"pairs_{half}.tsv").read_text("utf-8").splitlines()
    return [(text, said) for text, *said in (line.split("\t") for line in lines)]


@pytest.mark.parametrize(
    ("half", "least"), [("seen", 0.99), ("unseen", 0.98), ("first_sight", 0.97)]
)
def test_pairs_of_written_and_spoken_text(half: str, least: float) -> None:
    """No failure of the unseen pairs was looked at while rules were written: the first 235 came
    before the rules, 112 after them, and 108 more after those were mended: of these 107 were right
    at first sight, and all of the 39 that came last. The last 173 seen pairs are 152, of which 136
    were right at first sight, and 21 written with the rules for the others; then come 253 of
    kinds that the next rules were written for. Those of `first_sight` were written and committed
    after all rules and read once: 199 of 205 were right (97.1 %); four kinds were mended then.
    """
    wanted = pairs(half)
    wrong = [
        f"{text} -> {got}, not {said}"
        for text, said in wanted
        if (got := READ(text).words.replace(",", "")) not in said
    ]
    assert len(wanted) >= 200
    assert 1 - len(wrong) / len(wanted) >= least, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "words", "lost", "dropped"),
    [
        ("Привет, мир! Hello.", "hello", ("Привет", "мир"), ()),
        ("你好世界 Hello", "hello", ("你好世界",), ()),
        ("नमस्ते you", "you", ("नमस्ते",), ()),
        ("Great 🎉🎉 👩\u200d👧 👍🏽", "great", ("🎉🎉", "👩\u200d👧", "👍🏽"), ()),
        ("Привет\nмир", "", ("Привет", "мир"), ()),
        ("[laughs] Hi [MAN] you.", "hi you", (), ("[laughs]", "[MAN]")),
        ("[clears throat] MAN: Hi. WOMAN: Yes", "hi, yes", (), ("[clears throat]", "MAN:", "WOMAN:")),
        ('Wait <break time="1s"/> now [pause:1s] go', "wait now go", (), ('<break time="1s"/>', "[pause:1s]")),
        ("♪ la la ♪", "la la", (), ("♪", "♪")),
        ("[the boss] said [sic] 5 < 6", "the boss, said, sic, five is less than six", (), ()),
        ("...", "", (), ()),
        ("Zo\udceb", "zo", ("\udceb",), ()),
    ],
)  # fmt: skip
def test_what_is_lost_and_what_is_dropped(text, words, lost, dropped):
    reading = READ(text)
    assert (reading.words, reading.lost, reading.dropped) == (words, lost, dropped)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("all of it", 0),
        ("Привет, мир! Hello.", 2 / 3),
        ("你好世界 Hello", 2 / 3),
        ("мир", 1),
        ("", 0),
    ],
)
def test_the_share_that_is_lost(text, share):
    reading = READ(text)
    assert reading.missing == pytest.approx(share * reading.visible)


SIGNS_WITHOUT_A_NAME = set("|~<>⁄∕−⁻₋ʼʻ｜～＜＞﹤﹥⁓") | {"\u207b"}
TOKENS = st.one_of(
    st.sampled_from(
        "word Привет 日本語 $5.50 ₹3 10:30 2021-03-05 C++ AI NASA 100km/h 20°C #tag @you a.b@c.de "
        "x.pdf www.a.org 3/4 ½ x² 🎉 ♪ [laughs] <b> hmmm XIV 1990s 1'000 🇩🇪 ∞ ✓ café".split()
    ),
    st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=6),
    st.text("abcXYZ019.,:;-+=/#@&$%€°'()", min_size=1, max_size=8),
)


def is_visible(token: str) -> bool:
    import unicodedata

    return any(
        unicodedata.category(char)[0] in "LN" or unicodedata.category(char) in ("Sc", "Sm", "So")
        for char in token
        if char not in SIGNS_WITHOUT_A_NAME
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=8))
def test_every_visible_word_is_spoken_lost_or_dropped(tokens: list[str]) -> None:
    """Between two zebras something is heard, or else it is named as lost or dropped."""
    text = "zebra " + " zebra ".join(tokens) + " zebra"
    whole = READ(text)
    heard = whole.words.replace(",", " ").split("zebra")[1:-1]
    assert len(heard) == len(tokens)
    named = iter([*whole.lost])
    left_out = list(whole.dropped)
    for token, words in zip(tokens, heard, strict=True):
        alone = READ(f"zebra {token} zebra")
        assert [next(named, None) for _ in alone.lost] == list(alone.lost)
        for mark in alone.dropped:
            left_out.remove(mark)
        if is_visible(token):
            assert words.split() or alone.lost or alone.dropped, token
    assert not left_out and next(named, None) is None


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_each_lost_run_stands_in_the_text_and_each_foreign_letter_in_a_lost_run(text: str) -> None:
    import unicodedata

    reading = READ(text)
    composed = unicodedata.normalize("NFC", text)
    assert all(run in composed for run in (*reading.lost, *reading.dropped))
    said = "".join((*reading.lost, *reading.dropped))
    for char in composed:
        if unicodedata.name(char, "").startswith(("CYRILLIC", "CJK UNIFIED", "HEBREW", "THAI")):
            assert char in said or unicodedata.category(char)[0] not in "L"
    assert 0 <= reading.missing <= reading.visible


@given(st.integers(1, 399))
def test_roman_numerals(number: int) -> None:
    tens = "XC LXXX LXX LX L XL XXX XX X".split()
    ones = "IX VIII VII VI V IV III II I".split()
    numeral = "C" * (number // 100)
    numeral += tens[9 - number // 10 % 10] if number // 10 % 10 else ""
    numeral += ones[9 - number % 10] if number % 10 else ""
    assert roman(numeral) == number
