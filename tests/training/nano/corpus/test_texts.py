"""The recipe's texts and voices: drawn by seed, held out whole, and told to the recogniser by one grammar."""

import random

import pytest

from bark.text.english.phones import PhoneTokenizer
from training.nano.corpus.grammar import GRAMMARS, TEMPLATE_GRAMMAR
from training.nano.corpus.texts import HELD_OUT_ONE_IN, KINDS, TextSource, is_held_out, jsgf
from training.nano.corpus.voices import CLEARANCE, HELD_OUT, _nearest, _place, training_voices

OPEN = tuple(f"sentence number {word} of the little book" for word in TEMPLATE_GRAMMAR.words())


def source(position: int = 0) -> TextSource:
    return TextSource(OPEN, position, 3)


def test_same_seed_same_texts_and_other_voices_other_texts() -> None:
    first, again, other = source(), source(), source(1)
    drawn = [first.draw(held_out=False) for _ in range(40)]
    assert drawn == [again.draw(held_out=False) for _ in range(40)]
    theirs = {
        text.words
        for text in (other.draw(held_out=False) for _ in range(40))
        if text.kind == "open"
    }
    assert not theirs & {text.words for text in drawn if text.kind == "open"}


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_texts_never_train(kind: str) -> None:
    texts = source()
    train = {texts.draw(held_out=False, kind=kind).words for _ in range(60)}
    test = {texts.draw(held_out=True, kind=kind).words for _ in range(10)}
    assert not train & test
    assert all(map(is_held_out, test)) and not any(map(is_held_out, train))


def test_about_one_text_in_sixteen_is_held_out() -> None:
    texts = [f"text {index}" for index in range(4000)]
    assert sum(map(is_held_out, texts)) == pytest.approx(len(texts) / HELD_OUT_ONE_IN, rel=0.25)


@pytest.mark.parametrize("kind", GRAMMARS)
def test_grammar_sentences_are_their_own_spoken_form(kind: str) -> None:
    tokenizer, rng = PhoneTokenizer(), random.Random(0)
    for _ in range(40):
        words = GRAMMARS[kind].sample(rng)
        assert tokenizer.normalize(words) == words
        assert all(tokenizer.knows(word.rstrip(",")) for word in words.split())
        assert set(words.replace(",", "").split()) <= set(GRAMMARS[kind].words())


def test_template_language_has_three_hundred_words() -> None:
    assert len(TEMPLATE_GRAMMAR.words()) >= 300
    assert len(TEMPLATE_GRAMMAR.sentences) >= 50


@pytest.mark.parametrize("kind", GRAMMARS)
def test_recogniser_takes_the_grammar(kind: str) -> None:
    pocketsphinx = pytest.importorskip("pocketsphinx", reason="the recogniser is a test extra")
    decoder = pocketsphinx.Decoder(samprate=16000, lm=None, loglevel="FATAL")
    decoder.add_jsgf_string(kind, jsgf(kind))
    decoder.activate_search(kind)
    missing = [word for word in GRAMMARS[kind].words() if decoder.lookup_word(word) is None]
    assert not missing


def test_voices_are_many_fixed_and_away_from_the_held_out_ones() -> None:
    voices = training_voices(126)
    assert voices == training_voices(126)
    assert len({voice.name for voice in (*voices, *HELD_OUT)}) == 126 + len(HELD_OUT)
    assert not any(voice.held_out for voice in voices) and all(voice.held_out for voice in HELD_OUT)
    for voice in voices:
        if voice.engine == "flite":
            places = [_place(other) for other in HELD_OUT if other.base == voice.base]
            assert _nearest(voice, places) >= CLEARANCE
