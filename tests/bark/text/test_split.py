"""Splitting: parts fit, nothing is lost, words stay whole, in any script and in linear time."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bark.errors import SettingError, TextError
from bark.languages import SUPPORTED_LANGS
from bark.text.dialogue import Turn, parse_dialogue
from bark.text.sentences import guess_languages, sentence_starts
from bark.text.split import Budget, estimate_seconds, split_by_lines, split_by_words, split_text
from bark.text.tidy import speakable, tidy


def count(text: str) -> int:
    """Count word pieces of four letters and signs, roughly as BERT does."""
    return sum((len(word) + 3) // 4 for word in re.findall(r"\w+|[^\w\s]", text))


WORDS = st.sampled_from(
    "the Dr. Smith e.g. z.B. 3. J. went home, and then; “Stop!” he said: no? yes... 1,000 -- … * co-operate don't "
    "l'été Straße что-то مرحبا، सुनो। दुनिया 你好，世界。 私は「東京」へ行く。 가나다 x\n\n \n internationalization".split(
        " "
    )
)
TEXTS = st.lists(WORDS, min_size=1, max_size=150).map(" ".join)


@given(TEXTS, st.integers(4, 256), st.floats(1.5, 13))
@settings(max_examples=60, deadline=None)
def test_parts_fit_and_joined_they_are_the_tidy_text(text, tokens, seconds):
    budget = Budget(max_tokens=tokens, max_seconds=seconds)
    if not speakable(text):
        with pytest.raises(TextError):
            split_text(text, count, budget)
        return
    parts = split_text(text, count, budget)
    assert "".join(parts) == tidy(text)
    for part in parts:
        assert count(part) <= tokens
        assert estimate_seconds(part) <= seconds * (1 + 1e-9)


@given(TEXTS, st.integers(8, 60))
@settings(max_examples=60, deadline=None)
def test_words_stay_whole(text, tokens):
    """A cut falls behind a space, or between signs of a script without spaces."""
    if not speakable(text):
        return
    parts = split_text(text, count, Budget(max_tokens=tokens))
    unspaced = re.compile("[\u3041-\u30ff\u4e00-\u9fff。、，」]")
    for part, following in zip(parts, parts[1:], strict=False):
        assert part.endswith(" ") or (
            unspaced.match(part[-1]) and unspaced.match(following[0]) or part[-1] in "。，」"
        )
        assert following[0] not in "。，、」ー"


@given(st.text(min_size=1, max_size=300))
@example("0" + 5 * "\N{COMBINING GRAVE ACCENT}")  # a sign that is longer than a part
@settings(max_examples=60, deadline=None)
def test_any_text_at_all(text):
    try:
        clean = tidy(text)
    except TextError:
        with pytest.raises(TextError):
            split_text(text, count)
        return
    parts = split_text(text, count, Budget(max_tokens=5, max_seconds=2))
    assert "".join(parts) == clean
    assert all(count(part) <= 5 for part in parts)


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. Smith met J. R. R. Tolkien at 3.30 p.m. in St. Louis. ", "Then they left. "],
        ["“Stop!” he said. ", "“I won't.” ", "She left (at last). "],
        ["Am 3. Mai kam Hr. Müller z.B. mit 20 Leuten. ", "Das war's! ", "Oder? "],
        ["Wait... what? ", "Prices rose by 3.5 percent. ", "J. Doe agreed. "],
        ["Er rief: »Halt!« ", "»Warum?« ", "Darum. "],
        ["M. Dupont est là. ", "« Bonjour ! » ", "Il part. "],
        ["He came on Jan. 5th. ", "The car was new. "],
        ["Sie kam mit der Bahn, inkl. Anna. ", "Das war gut. "],
        ["Il sig. Rossi non è qui, v. pag. Otto. ", "Va bene. "],
        ["Prof. dr hab. Nowak jest tu. ", "Tak. "],
        ["A Sra. Lima não está. ", "O Dr. Reis foi. "],
        ["Prof. Dr. Ali bir hafta sonra geldi. ", "Ve gitti. "],
        ["El Sr. Ruiz y la Dra. Vega no están. ", "¿Por qué? "],
        ["Il part. ", "« Bonjour ! » dit-elle. ", "« Non. » "],
        ["„Halt!“ rief er. ", "„Warum?“ ", "Darum. "],
        ["Ela disse: “Não.” ", "¿Qué? ", "¡Hola! "],
        ["он пришёл. ", "Это г. Москва. ", "Да? "],
        ["他说：“你好。”", "我走了！", "好吗？"],
        ["私は行きました。", "「楽しかった。」", "終わり。"],
        ["मैं घर जा रहा हूँ। ", "वह आएगा। "],
        ["ذهبت إلى البيت. ", "هل أنت بخير؟ ", "نعم. "],
        ["집에 갔다. ", "괜찮아? "],
    ],
)
def test_sentences_of_many_languages(sentences):
    text = "".join(sentences).strip()
    assert split_text(text, count, Budget(goal_characters=1, min_seconds=0)) == [
        *sentences[:-1],
        sentences[-1].strip(),
    ]


def test_sentences_of_a_language_that_is_given():
    text = "Il part. Dr godz. Nowak."
    starts = {code: sentence_starts(text, code) for code in ("fr", "it", "pl")}
    assert starts == {"fr": {9, 18}, "it": {18}, "pl": {9}}
    parts = split_text(text, count, Budget(goal_characters=1, min_seconds=0), language="pl")
    assert parts == ["Il part. ", "Dr godz. Nowak."]


def test_every_language_of_bark_is_guessed_from_a_plain_sentence():
    said = {
        "en": "That was the end of it.",
        "de": "Das war nicht das Ende.",
        "es": "Eso no es el fin, pero está muy cerca.",
        "fr": "Elle est là et je ne dors pas.",
        "hi": "मैं घर जा रहा हूँ।",
        "it": "Non è la fine di una storia.",
        "ja": "私は昨日東京へ行きました。",
        "ko": "집에 갔다.",
        "pl": "To nie jest koniec.",
        "pt": "Não é o fim da história.",
        "ru": "Это не конец.",
        "tr": "Bu bir son değil.",
        "zh": "他说你好。",
    }
    assert said.keys() == {code for _, code in SUPPORTED_LANGS}
    for code, sentence in said.items():
        assert guess_languages(sentence) == [code]


def test_sentences_far_into_a_long_text_and_with_open_quotes():
    sentence = "“It rained all day in the town on the hill. "
    text = sentence * 3000
    began = time.process_time()
    starts = sentence_starts(text)
    assert time.process_time() - began < 3
    assert starts == set(range(len(sentence), len(text), len(sentence)))


def test_a_long_sentence_is_cut_at_a_comma_near_the_middle_else_between_words():
    clause = "one two three four five six seven eight nine ten eleven"
    text = f"{clause}, {clause}, {clause}, {clause}."
    assert [part.strip() for part in split_text(text, count)] == [
        f"{clause}, {clause},",
        f"{clause}, {clause}.",
    ]
    parts = split_text("and on " * 60, count)
    lengths = [estimate_seconds(part) for part in parts]
    assert max(lengths) < 1.3 * min(lengths)


def test_paragraphs_are_kept_apart_once_a_part_is_half_full():
    long = "This sentence is spoken in about seven and a half seconds, which is half of a part, or a bit more. "
    parts = split_text(f"{long}\n\nNext one. Short.\n \n{long}", count)
    assert [part.strip() for part in parts] == [long.strip(), f"Next one. Short. {long.strip()}"]
    assert (
        len(split_text("Title\n\nFirst line.\n\nSecond line.", count)) == 1
    )  # short ones share a part


def test_line_ends_inside_a_paragraph_are_spaces():
    assert split_text("A hard\r\nwrapped\nline.", count) == ["A hard wrapped line."]


def test_what_cannot_be_spoken_alone_goes_with_its_neighbour():
    parts = split_text("One. * * * Two. … Three.", count, Budget(goal_characters=1, min_seconds=0))
    assert all(speakable(part) for part in parts) and len(parts) > 1


def test_very_short_parts_are_joined():
    parts = split_text(
        "No. Yes. I said that this one here is a sentence of ordinary length.", count
    )
    assert len(parts) == 1
    assert len(split_text("No. Yes. No. " * 3, count, Budget(goal_characters=1))) < 9


def test_one_word_beyond_every_limit_is_cut_between_signs():
    word = "e\u0323\u0302" * 400  # a letter and two accents each: NFC keeps some of them apart
    parts = split_text(word, count, Budget(max_tokens=20, max_seconds=4))
    assert "".join(parts) == tidy(word) and len(parts) > 5
    family = "👩\u200d👩\u200d👧" * 100 + "a"
    for part in split_text(family, count, Budget(max_seconds=2))[1:]:
        assert part[0] == "👩" or part == "a"


def test_a_tokenizer_that_counts_a_whole_higher_than_its_sentences_is_obeyed():
    def jumpy(text):
        return count(text) ** 2 // 20

    parts = split_text("Here is one. And here another one. " * 40, jumpy, Budget(max_tokens=30))
    assert all(jumpy(part) <= 30 for part in parts)


def test_characters_limits_of_bark_infinity():
    text = "Some words are here. " * 40
    parts = split_text(text, count, Budget(max_characters=100))
    assert all(len(part) <= 100 for part in parts)
    parts = split_text(text, count, Budget(goal_characters=60))
    assert {len(part) for part in parts[:-1]} == {63}


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met someone, and then they left; nobody knew why. 私は昨日東京へ行きました。 "
        * 5_000,
        "word " * 60_000,
        "字" * 80_000,
        "a" * 300_000,
        "a\n\n" * 80_000,
    ],
    ids=["sentences", "words", "kanji", "one word", "lines"],
)
def test_a_third_of_a_megabyte_takes_seconds(text):
    began = time.process_time()
    parts = split_text(text, lambda piece: len(piece) // 4 + 1)
    assert time.process_time() - began < 8
    assert "".join(parts) == tidy(text) and len(parts) > 100


@pytest.mark.parametrize(
    "field", ["max_tokens", "max_seconds", "max_characters", "goal_characters"]
)
def test_bad_budgets(field):
    with pytest.raises(SettingError, match=f"budget: {field}: got 0; allowed: 1 or more"):
        Budget(**{field: 0})


def test_by_words_and_lines():
    text = "one two three\nfour\n\n*\nfive six"
    assert split_by_words(text, 2) == ["one two", "three four *", "five six"]
    assert split_by_lines(text, 2) == ["one two three four", "five six"]
    for split, message in (
        (split_by_words, "words of a part"),
        (split_by_lines, "lines of a part"),
    ):
        with pytest.raises(SettingError, match=f"{message}: got 0; allowed: 1 or more"):
            split(text, 0)
        with pytest.raises(TextError, match="nothing in the text can be spoken"):
            split(" \n", 1)


def test_a_dialogue():
    text = "Once there were two.\nANA: Hello.\n  bo : Hi!\nHow are you?\nNOTE: fine.\n\nAna: [voice:radio] Static. [voice: ana] Off."
    assert parse_dialogue(text, ["Ana", "Bo"]) == [
        Turn(None, "Once there were two.\n"),
        Turn("Ana", " Hello.\n"),
        Turn("Bo", " Hi!\nHow are you?\nNOTE: fine.\n\n"),
        Turn("radio", " Static. "),
        Turn("Ana", " Off."),
    ]
    assert parse_dialogue("Ana: hi") == [Turn(None, "Ana: hi")]
    assert parse_dialogue("A: x\nA: y", ["A"]) == [Turn("A", " x\n\n\n y")]
    assert parse_dialogue("A: ...\n \nB:", ["A", "B"]) == []
    assert parse_dialogue("A.B: x", ["A.B"]) == [Turn("A.B", " x")]
