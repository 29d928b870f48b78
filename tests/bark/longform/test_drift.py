"""Long text that stays the same person: what falls out is spoken again, the same after a kill."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from bark.errors import SettingError
from bark.longform.drift import Drift, Heard, Limits
from bark.longform.journal import Journal
from bark.longform.speak import Part, speak_long, speak_parts
from bark.stages.seeds import part_seed
from bark.text.dialogue import Turn
from bark.voice.voice import Voice
from tests.bark.longform.test_longform import TURNS, Stub, same
from tests.made_voices import make


@dataclass
class Ear:
    """Hears a pitch that depends on how often a text was spoken: `out` says for which it is wrong."""

    out: dict[str, int] = field(default_factory=dict)  # text → how often it falls out
    times: dict[str, int] = field(default_factory=dict)

    def __call__(self, text: str, voice: Voice | None, audio: np.ndarray) -> Heard:
        count = self.times[text] = self.times.get(text, 0) + 1
        wrong = count <= self.out.get(text, 0)
        return Heard(0.8, -0.5, -20.0, 1.0, 200.0 * (2 - 0.1 * count if wrong else 1))


def steady(bark: Stub, ear: Ear, **options) -> list[Part]:
    rest = {"seed": 1, "drift": Drift(ear)} | options
    return list(speak_parts(bark, TURNS, make(200), **rest))


def test_parts_alike_are_spoken_once_and_measured() -> None:
    bark = Stub()
    parts = steady(bark, Ear())
    assert same(parts, list(speak_parts(Stub(), TURNS, make(200), seed=1)))
    assert len(bark.calls) == 7 and [part.spoken for part in parts] == [1] * 7
    assert parts[3].record(24_000)["heard"] == {
        "likeness": 0.8, "clarity": -0.5, "loudness": -20.0, "speed": 1.0, "pitch": 200.0,
    }  # fmt: skip


def test_a_part_that_falls_out_is_spoken_again_with_seeds_of_its_own() -> None:
    bark = Stub()
    parts = steady(bark, Ear({TURNS[2].text: 1, TURNS[4].text: 9}))
    assert [part.spoken for part in parts] == [1, 1, 2, 1, 3, 1, 1]
    fifth = part_seed(1, 5)
    seeds = [seed for text, _, seed in bark.calls if text == TURNS[4].text]
    assert seeds == [fifth, *(part_seed(fifth, 0, 1000 + number) for number in (1, 2))]
    assert parts[4].seed == seeds[2]  # the nearest to the first of three that fell out
    assert parts[4].record(24_000)["spoken"] == 3
    assert same(parts, steady(Stub(), Ear({TURNS[2].text: 1, TURNS[4].text: 9})))


def test_the_last_try_starts_from_the_voice_again() -> None:
    bark, voice = Stub(), make(200)
    list(
        speak_parts(
            bark, TURNS, voice, seed=1, mode="chained", drift=Drift(Ear({TURNS[3].text: 9}))
        )
    )
    heard = [digest for text, digest, _ in bark.calls if text == TURNS[3].text]
    assert heard[0] == heard[1] != voice.digest and heard[2] == voice.digest


def test_the_first_part_of_each_speaker_is_the_measure() -> None:
    turns = [Turn(name, f"{name} says {n}.") for n in range(3) for name in ("ANA", "BO")]

    def ear(text: str, voice: Voice | None, audio: np.ndarray) -> Heard:
        return Heard(pitch=220.0 if text.startswith("ANA") else 110.0)

    bark = Stub()
    voices = {"ANA": make(200), "BO": make(210)}
    list(speak_parts(bark, turns, voices=voices, seed=1, drift=Drift(ear)))
    assert len(bark.calls) == 6


def test_without_a_voice_the_second_part_tells_how_alike_parts_are() -> None:
    likeness = iter([0.9, 0.6, 0.88])  # of the second, the third, and the third again

    def ear(text: str, voice: Voice | None, audio: np.ndarray) -> Heard:
        return Heard(likeness=None if voice is None else next(likeness))

    parts = list(speak_parts(Stub(), TURNS[:3], seed=1, drift=Drift(ear)))
    assert [part.spoken for part in parts] == [1, 1, 2]
    assert [(part.heard or {}).get("likeness") for part in parts] == [None, 0.9, 0.88]


def test_measuring_alone_speaks_nothing_again() -> None:
    parts = steady(Stub(), ear := Ear({TURNS[2].text: 9}), drift=Drift(ear, repair=False))
    assert [part.spoken for part in parts] == [1] * 7 and parts[2].heard["pitch"] == 380


@pytest.mark.parametrize("stop", range(1, 9))
def test_a_run_that_was_killed_at_any_call_goes_on_with_the_same_result(
    tmp_path, stop: int
) -> None:
    out = {TURNS[2].text: 1, TURNS[4].text: 9}
    whole = steady(Stub(), Ear(out))
    with pytest.raises(KeyboardInterrupt):
        steady(Stub(stop_after=stop), Ear(out), journal=tmp_path / "j")
    known = Journal(tmp_path / "j").parts
    bark = Stub()
    again = steady(bark, Ear(out), journal=tmp_path / "j")
    assert same(again, whole)
    assert [part.heard for part in again] == [part.heard for part in whole]
    assert [part.spoken for part in again] == [part.spoken for part in whole]
    assert not {text for text, _, _ in bark.calls} & {TURNS[n - 1].text for n in known}


def test_the_record_and_the_journal_say_how_it_was_kept_steady(tmp_path) -> None:
    take = speak_long(Stub(), TURNS, make(200), seed=1, drift=Drift(Ear()), journal=tmp_path / "j")
    kept = take.record()["drift"]
    assert kept["repair"] is True and Limits(**kept["limits"]) == Limits()
    with pytest.raises(SettingError, match="another job: its drift differs"):
        speak_long(Stub(), TURNS, make(200), seed=1, journal=tmp_path / "j")
    assert "drift" not in speak_long(Stub(), TURNS, seed=1).record()


FIRST = Heard(0.8, -0.5, -20.0, 1.0, 200.0)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (FIRST, ()),
        (Heard(0.95, -0.1, -21.0, 1.2, 210.0), ()),  # better is never too far
        (Heard(0.6, -0.5, -20.0, 1.0, 200.0), ("likeness",)),
        (Heard(0.8, -1.5, -20.0, 1.0, 200.0), ("clarity",)),
        (Heard(0.8, -0.5, -28.0, 1.0, 200.0), ("loudness",)),
        (Heard(0.8, -0.5, -12.0, 0.5, 200.0), ("loudness", "speed")),
        (Heard(0.8, -0.5, -20.0, 1.0, 300.0), ("pitch",)),
        (Heard(), ()),
    ],
)
def test_limits(part: Heard, names: tuple[str, ...]) -> None:
    assert Limits().fallen(part, FIRST) == names
    assert Limits().fallen(part, Heard()) == ()


def test_a_limit_is_above_zero() -> None:
    with pytest.raises(SettingError, match="limit of pitch: got 0; allowed: a number > 0"):
        Limits(pitch=0)
