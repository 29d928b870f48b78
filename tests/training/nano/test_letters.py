"""The spelling-to-sound model: alignment, a small training, and what the shipped one can do."""

import numpy as np
import pytest

from bark.text.english.letters import Speller
from training.nano.letters import align, dictionary, errors, held_out, learn_costs, main, train


def test_letters_are_aligned_with_the_phones_they_stand_for() -> None:
    words = [(word, tuple(word.upper().replace("X", "KS"))) for word in ("ab", "ax", "xb", "bb")]
    cost = learn_costs(words * 10)
    assert align("xab", tuple("KSAB"), cost) == [("x", ("K", "S")), ("a", ("A",)), ("b", ("B",))]
    assert align("ab", tuple("ABABA"), cost) is None


def test_a_small_model_learns_its_words(tmp_path) -> None:
    words = [entry for entry in dictionary() if len(entry[0]) == 3][:400]
    model = train(words)
    np.savez_compressed(tmp_path / "letters.npz", allow_pickle=False, **model)
    speller = Speller.load(tmp_path / "letters.npz")
    assert sum(speller.pronounce(word) == said for word, said in words) > 0.6 * len(words)


def test_the_shipped_model_on_words_it_never_saw() -> None:
    tested = [entry for entry in dictionary() if held_out(entry[0])][::20]
    speller = Speller.load()
    wrong = sum(errors(speller.pronounce(word), said) for word, said in tested)
    assert len(tested) > 500
    assert wrong / sum(len(said) for _, said in tested) < 0.14


@pytest.mark.parametrize(
    ("said", "wanted", "count"), [("", "", 0), ("A B", "A B", 0), ("A", "B C", 2), ("A B C", "B C", 1)]
)  # fmt: skip
def test_errors_are_the_least_edits(said: str, wanted: str, count: int) -> None:
    assert errors(said.split(), wanted.split()) == count


def test_main_trains_and_measures(tmp_path, capsys) -> None:
    assert main(["--out", str(tmp_path / "letters.npz"), "--words", "300"]) == 0
    assert "phone error" in capsys.readouterr().out
    assert (tmp_path / "letters.npz").stat().st_size > 1000
