"""training.nano.report.measures: the arithmetic of the report, and its judges where the extras are installed."""

import numpy as np
import pytest

from bark.errors import TextError
from bark.pipeline import Bark
from hubert.judge import (
    Aligner,
    Recogniser,
    TakeJudge,
    is_english,
    own_words,
    spoken_words,
)
from tests.hubert.conftest import SAID
from tests.judges import skip_without_judges
from training.engine.metrics import edit_distance
from training.nano.report.measures import centroid, figure, intelligibility, nearest_voice, quality


def test_edits_count_each_kind_of_error_once() -> None:
    assert edit_distance("one two three".split(), "one two three".split()) == 0
    assert edit_distance("one two three".split(), "one three".split()) == 1
    assert edit_distance("one two".split(), "one two two".split()) == 1
    assert edit_distance("one two".split(), "one too".split()) == 1
    assert edit_distance([], "a b".split()) == 2 and edit_distance("a b".split(), []) == 2


def test_figure_is_the_mean_with_an_interval_around_it() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 400)
    found = figure(list(values))
    assert found.value == pytest.approx(values.mean()) and found.trials == 400
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(
        2 * 1.96 / 20, rel=0.15
    )  # twice 1.96 standard errors
    rate = figure([1, 0, 2], [4, 4, 2])
    assert rate.value == pytest.approx(0.3)
    assert str(figure([1.0, 1.0])) == "1.000 (1.000 to 1.000; n = 2)"
    assert figure([]).trials == 0


def test_nearest_voice_compares_with_the_best_of_the_others() -> None:
    references = np.eye(3)
    found = nearest_voice(np.array([0.6, 0.8, 0.0]), references, 0)
    assert found.own == pytest.approx(0.6) and found.other == pytest.approx(0.8)
    assert found.margin == pytest.approx(-0.2)
    np.testing.assert_allclose(
        centroid([np.array([1.0, 0.0]), np.array([0.0, 1.0])]), [0.5**0.5] * 2
    )


def test_recogniser_hears_nothing_in_silence() -> None:
    pytest.importorskip("pocketsphinx")
    grammar = "#JSGF V1.0; grammar d; public <d> = (one | two | three)+ ;"
    assert Recogniser(grammar)(np.zeros(12_000, dtype=np.float32)) in (
        [],
        ["two"],
        ["one"],
        ["three"],
    )
    assert isinstance(Recogniser(None)(np.zeros(12_000, dtype=np.float32)), list)


def test_words_of_any_english_text_can_be_heard() -> None:
    assert (
        spoken_words("Blorfing costs 2 dollars today.")
        == "blorfing costs two dollars today".split()
    )
    assert is_english(spoken_words("Blorfing costs 2 dollars today, [laughs] my dear doctor."))
    assert not is_english(spoken_words("Guten Morgen, heute sprechen wir"))
    with pytest.raises(TextError):
        spoken_words("你好")
    pytest.importorskip("pocketsphinx")
    own_words("Blorfing costs 2 dollars")(np.zeros(12_000, dtype=np.float32))


def test_a_clip_is_heard_alike_whatever_was_heard_before(takes: list[np.ndarray]) -> None:
    pytest.importorskip("pocketsphinx")
    words, clips = tuple(SAID.split()), [*takes, takes[0][::2]]
    aligner = Aligner()
    forth = [aligner.clarity(words, clip) for clip in clips]
    assert [aligner.clarity(words, clip) for clip in clips[::-1]] == forth[::-1]
    assert [Aligner().clarity(words, clip) for clip in clips] == forth


def test_a_judge_likes_the_voice_and_the_words(
    nano: Bark, takes: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    skip_without_judges()
    judge = TakeJudge(nano)
    voices = [nano.resolve_voice(name) for name in ("alba", "bruno")]
    said, other = SAID, "three six oh eight blorfing oh three six"
    for index, voice in enumerate(voices):
        scores = judge(said, voice, [*takes, np.zeros_like(takes[0])])
        assert scores.index(max(scores)) == index and scores[2] == -4
        assert judge(said, None, takes)[index] > judge(other, None, takes)[index] + 0.1
    assert judge(other, None, takes)[0] >= -0.8 and judge(said, None, takes)[0] <= 0
    assert judge("Guten Morgen, heute sprechen wir", None, takes) == [0.0, 0.0]
    assert "the first take is kept" in caplog.text
    again = judge(said, voices[1], [*takes, np.zeros_like(takes[0])])
    assert again == scores  # whatever was judged between


def test_quality_falls_with_noise() -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    random = np.random.default_rng(0)
    time = np.arange(48_000) / 24_000
    voice = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 25))
    speech = (0.1 * voice * (np.sin(2 * np.pi * 3 * time) > 0)).astype(np.float32)
    little = speech + random.normal(0, 0.003, len(speech)).astype(np.float32)
    much = speech + random.normal(0, 0.1, len(speech)).astype(np.float32)
    assert intelligibility(speech, little) > intelligibility(speech, much)
    assert quality(speech, little) > quality(speech, much)
