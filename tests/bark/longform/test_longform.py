"""Long form: which voice each part goes on from, seeds, joins, and a journal that survives a kill."""

import base64
import json
import multiprocessing
import re
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark import Bark
from bark.errors import SettingError, SilentError, StorageError, TextError, VoiceError
from bark.longform.join import join_audio
from bark.longform.journal import Journal
from bark.longform.plan import default_budget, plan_parts
from bark.longform.speak import Part, speak_long, speak_parts
from bark.settings import Settings
from bark.stages.seeds import part_seed
from bark.text.dialogue import Turn
from bark.text.reading import Reading
from bark.text.split import Budget
from bark.tokens import BARK, TokenLayout
from bark.voice.voice import Voice
from tests.made_voices import make


@dataclass
class Spoken:
    audio: np.ndarray
    tokens: Voice


class Letters:
    """A token for each word."""

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def normalize(self, text: str) -> str:
        return text

    def read(self, text: str) -> Reading:
        return Reading(text, visible=len(text.split()))

    def encode_reading(self, reading: Reading) -> list[int]:
        return self.encode(reading.words)


@dataclass
class Stub:
    """Speaks tokens that depend on text, voice and seed, and remembers what it was asked."""

    name: str = "stub"
    layout: TokenLayout = BARK
    tokenizer: Letters = field(default_factory=Letters)
    calls: list[tuple[str, str | None, int]] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)
    stop_after: int | None = None
    silent: set[int] = field(default_factory=set)  # seeds with which nothing is said
    batches: list[int] = field(default_factory=list)  # how many were spoken side by side

    source: dict[str, Any] = field(default_factory=dict)
    family: str = "stub"

    def check(self, settings: dict[str, Any], seed: int = 0) -> Settings:
        if "bad" in settings or seed < 0:
            raise SettingError("setting", settings)
        return Settings()

    def generate(
        self, text: str, voice: Voice | None = None, *, seed: int, **settings: Any
    ) -> Spoken:
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        if seed in self.silent:
            raise SilentError("nothing was spoken")
        self.calls.append((text, None if voice is None else voice.digest, seed))
        self.settings.append(settings)
        key = f"{text}|{voice and voice.digest}|{seed}|{sorted(settings.items())}"
        tokens = make(20 + len(text), seed=list(key.encode()))
        return Spoken(self.decode(tokens.fine), tokens)

    def generate_batch(
        self, texts: list[str], voice: Voice | None = None, *, seeds: list[int], **settings: Any
    ) -> list[Spoken]:
        self.batches.append(len(texts))
        return [
            self.generate(t, voice, seed=s, **settings) for t, s in zip(texts, seeds, strict=True)
        ]

    def resolve_voice(self, voice):
        from bark.voice.voice import resolve_voice

        return resolve_voice(voice, self.layout)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.repeat(codes[0] / 2048, 320).astype(np.float32)


TURNS = [Turn(None, f"This is part {number}.") for number in range(1, 8)]


def same(one: list[Part], other: list[Part]) -> bool:
    return len(one) == len(other) and all(
        (a.number, a.text, a.speaker, a.seed, a.take)
        == (b.number, b.text, b.speaker, b.seed, b.take)
        and a.tokens == b.tokens
        and np.array_equal(a.audio, b.audio)
        for a, b in zip(one, other, strict=True)
    )


def voices_heard(bark: Stub) -> list[str | None]:
    return [digest for _, digest, _ in bark.calls]


# ---- modes -----------------------------------------------------------------------------------------------


def test_anchored_parts_all_go_on_from_the_voice():
    bark, voice = Stub(), make(200)
    list(speak_parts(bark, TURNS, voice, seed=1))
    assert voices_heard(bark) == [voice.digest] * 7


def test_anchored_without_a_voice_goes_on_from_the_first_part():
    bark = Stub()
    parts = list(speak_parts(bark, TURNS, seed=1))
    first = parts[0].tokens.canonical().digest
    assert voices_heard(bark) == [None] + [first] * 6


@pytest.mark.parametrize("voice", [None, make(200)])
def test_chained_parts_go_on_from_the_one_before(voice):
    bark = Stub()
    parts = list(speak_parts(bark, TURNS, voice, mode="chained", seed=1))
    said = [part.tokens.digest for part in parts]
    assert voices_heard(bark) == [voice and voice.digest, *said[:-1]]


def test_reanchor_returns_to_the_voice_every_k_parts():
    bark, voice = Stub(), make(200)
    parts = list(speak_parts(bark, TURNS, voice, mode="reanchor=3", seed=1))
    said, anchor = [part.tokens.digest for part in parts], voice.digest
    assert voices_heard(bark) == [anchor, said[0], said[1], anchor, said[3], said[4], anchor]
    bark = Stub()
    parts = list(speak_parts(bark, TURNS, mode="reanchor=2", seed=1))
    said = [part.tokens.digest for part in parts]
    assert voices_heard(bark) == [None, said[0], said[0], said[2], said[0], said[4], said[0]]


def test_a_part_too_short_for_a_voice_is_passed_over():
    bark = Stub()
    whole, made = bark.generate, []

    def short_second(text, voice=None, **rest):
        made.append(text)
        spoken = whole(text, voice, **rest)
        return Spoken(spoken.audio, make(1, 1)) if len(made) == 2 else spoken

    bark.generate = short_second  # type: ignore[method-assign]
    parts = list(speak_parts(bark, TURNS[:4], mode="chained", seed=1))
    said = [part.tokens.digest for part in parts]
    assert voices_heard(bark) == [None, said[0], said[0], said[2]]
    take = speak_long(Stub(), TURNS[:2], seed=1)
    assert take.voice.digest == take.parts[-1].tokens.digest
    assert take.voice.info["model"] == "stub" and take.voice.info["seed"] == "1"


@pytest.mark.parametrize(
    "mode", ["", "anchor", "reanchor", "reanchor=", "reanchor=0", "reanchor=-1", "reanchor=x"]
)
def test_unknown_modes(mode):
    with pytest.raises(
        SettingError, match='mode: got .*; allowed: "anchored", "chained" or "reanchor=K"'
    ):
        next(speak_parts(Stub(), TURNS, mode=mode))


# ---- dialogue --------------------------------------------------------------------------------------------


def test_each_speaker_has_a_voice_and_a_history():
    bark, ana, bo = Stub(), make(100, seed=1), make(100, seed=2)
    text = "Once.\nANA: Hello.\nBO: Hi there.\nANA: How are you?\nBO: Fine."
    take = speak_long(bark, text, voices={"Ana": ana, "Bo": bo}, mode="chained", seed=1)
    assert [part.speaker for part in take.parts] == [None, "Ana", "Bo", "Ana", "Bo"]
    said = [part.tokens.digest for part in take.parts]
    assert voices_heard(bark) == [None, ana.digest, bo.digest, said[1], said[2]]


def test_a_mark_names_a_voice_and_a_path_only_where_that_is_allowed(tmp_path, monkeypatch):
    voice = make(100, seed=3)
    path = voice.save(tmp_path / "radio.npz")
    monkeypatch.setenv("BARK_VOICES", str(tmp_path))
    for mark, allowed in (("radio", False), (path, True)):
        bark = Stub()
        speak_long(bark, f"Listen. [voice:{mark}] Static.", seed=1, allow_paths=allowed)
        assert voices_heard(bark) == [None, voice.digest]
    # a text may come from a stranger: it opens no file of this computer, and quotes nothing of one
    (tmp_path / "secret.npz").write_text("password")
    for mark in (path, tmp_path / "secret.npz", tmp_path / "none.NPZ", "~nosuchuser/a.npz"):
        bark = Stub()
        with pytest.raises(VoiceError, match="names a voice, not a path") as refused:
            speak_long(bark, f"Listen. [voice:{mark}] Static.", seed=1)
        assert bark.calls == [] and "password" not in str(refused.value)


def test_an_unknown_mark_fails_before_anything_is_spoken():
    bark = Stub()
    with pytest.raises(VoiceError, match="no voice is named 'nobody'"):
        speak_long(bark, "Listen. [voice:nobody] Static.", seed=1)
    assert bark.calls == []


# ---- planning --------------------------------------------------------------------------------------------


def test_plan_obeys_the_models_window_and_length():
    bark = Stub(layout=TokenLayout(text_window=10, max_semantic=500))
    text = "These are words of a text that goes on for a while. " * 20
    for turn in plan_parts(bark, text):
        assert len(bark.tokenizer.encode(turn.text)) <= 10
    assert default_budget(BARK) == Budget(max_tokens=256, max_seconds=13.0)
    assert default_budget(TokenLayout(max_semantic=100)).max_seconds == pytest.approx(
        0.85 * 100 / 49.9
    )
    assert " ".join(turn.text for turn in plan_parts(bark, text)) == text.strip()
    assert len(plan_parts(bark, text, budget=Budget(max_tokens=100, max_seconds=100))) == 3


def test_nothing_to_speak():
    with pytest.raises(TextError, match="nothing in the text can be spoken"):
        plan_parts(Stub(), "...\n\n*")
    with pytest.raises(TextError, match="there is nothing to speak"):
        speak_long(Stub(), [])


class Latin(Letters):
    """Knows the letters a to z, and says so."""

    def encode(self, text: str) -> list[int]:
        if not (reading := self.read(text)).words:
            raise TextError("nothing in the text can be spoken", fix="Give an English word")
        return self.encode_reading(reading)

    def read(self, text: str) -> Reading:
        words = [word for word in text.split() if re.search("[A-Za-z]", word)]
        return Reading(" ".join(words), visible=len(words))

    def encode_reading(self, reading: Reading) -> list[int]:
        return [len(word) for word in reading.words.split()]


def test_what_the_tokenizer_cannot_speak_is_left_out():
    bark = Stub(tokenizer=Latin())
    for between in ("~~~~", "你好。", "Привет.", "| <> |"):
        parts = [
            turn.text
            for turn in plan_parts(bark, f"Hello there.\n\n{between}\n\nGood bye, see you soon.")
        ]
        said = " ".join(parts)
        assert said.startswith("Hello there.") and said.endswith("Good bye, see you soon.")
    with pytest.raises(TextError, match="Give an English word"):
        plan_parts(bark, "你好。再见。")


def test_bad_arguments_never_reach_the_journal(tmp_path):
    journal = tmp_path / "j"
    for wrong in ({"bad": 1}, {"seed": -1}):
        with pytest.raises(SettingError):
            speak_long(Stub(), TURNS[:2], journal=journal, **{"seed": 1, **wrong})
    given = {"seed": np.int64(3), "semantic_temperature": np.float32(0.5)}
    take = speak_long(Stub(), TURNS[:2], journal=journal, **given)
    assert (
        speak_long(Stub(), TURNS[:2], journal=journal, **given).parts[1].tokens
        == take.parts[1].tokens
    )


class Speller(Letters):
    """Says numbers digit by digit."""

    def read(self, text: str) -> Reading:
        return Reading(re.sub(r"\d", "number ", text))

    def encode_reading(self, reading: Reading) -> list[int]:
        return [1]


def test_parts_are_as_long_as_they_are_spoken_not_as_they_are_written():
    text = "Call 5557771234 now. Or 5558887777 later. Or 5559996666 tomorrow."
    assert len(plan_parts(Stub(), text)) == 1
    parts = [turn.text for turn in plan_parts(Stub(tokenizer=Speller()), text)]
    assert len(parts) > 1 and " ".join(parts) == text


# ---- candidates ------------------------------------------------------------------------------------------


@dataclass
class Loudest:
    """A judge of no taste that remembers what it was asked."""

    asked: list[tuple[str, str | None, int]] = field(default_factory=list)

    def __call__(self, text: str, voice: Voice | None, takes: list[np.ndarray]) -> list[float]:
        self.asked.append((text, voice and voice.digest, len(takes)))
        return [float(np.abs(take).sum()) for take in takes]


@pytest.mark.parametrize("voice", [None, make(200)])
def test_the_best_of_several_takes_is_kept(voice):
    bark, judge = Stub(), Loudest()
    parts = list(speak_parts(bark, TURNS, voice, seed=1, candidates=4, judge=judge))
    assert bark.batches == [4] * 7 and len(set(bark.calls)) == 28
    first = voice or parts[0].tokens.canonical()
    assert judge.asked == [
        (turn.text, voice and voice.digest if number == 0 else first.digest, 4)
        for number, turn in enumerate(TURNS)
    ]
    for part in parts:
        history = voice if part.number == 1 else first
        seeds = [seed for text, _, seed in bark.calls if text == part.text]
        takes = {seed: Stub().generate(part.text, history, seed=seed) for seed in seeds}
        loudness = {seed: float(np.abs(take.audio).sum()) for seed, take in takes.items()}
        assert part.seed == max(loudness, key=lambda seed: loudness[seed])
        assert part.score == loudness[part.seed] and part.tokens == takes[part.seed].tokens
    assert {part_seed(1, number) for number in range(1, 8)} <= {seed for _, _, seed in bark.calls}


def test_the_first_of_equals_is_kept_so_that_candidates_change_nothing_for_nothing():
    def judge(text, voice, takes):
        return [0.0] * len(takes)

    alone = list(speak_parts(Stub(), TURNS, make(200), seed=1))
    assert same(
        alone, list(speak_parts(Stub(), TURNS, make(200), seed=1, candidates=3, judge=judge))
    )


def test_candidates_that_say_nothing_do_not_run():
    bark, judge = Stub(silent={part_seed(1, 2)}), Loudest()
    parts = list(speak_parts(bark, TURNS, make(200), seed=1, candidates=3, judge=judge))
    assert [takes for _, _, takes in judge.asked] == [3, 2, 3, 3, 3, 3, 3]
    assert parts[1].seed not in bark.silent
    again = part_seed(1, 0, 1)
    bark = Stub(silent={1, *(part_seed(1, 0, 4 + index) for index in range(1, 4))})
    assert next(speak_parts(bark, TURNS, seed=1, candidates=3, judge=judge)).seed in {
        again, *(part_seed(again, 0, 4 + index) for index in range(1, 4))
    }  # fmt: skip


def test_scores_and_candidates_are_kept_in_the_journal(tmp_path):
    def spoken(bark: Stub, **more: Any) -> list[Part]:
        return list(
            speak_parts(
                bark, TURNS, make(200), seed=1, journal=tmp_path / "a.journal", judge=judge, **more
            )
        )

    judge, whole = Loudest(), Loudest()
    with pytest.raises(KeyboardInterrupt):
        spoken(Stub(stop_after=7), candidates=3)
    parts = spoken(Stub(), candidates=3)
    assert same(
        parts, list(speak_parts(Stub(), TURNS, make(200), seed=1, candidates=3, judge=whole))
    )
    assert judge.asked == whole.asked and None not in {part.score for part in parts}
    assert [part.score for part in spoken(Stub(), candidates=3)] == [part.score for part in parts]
    with pytest.raises(SettingError, match="another job: its candidates differs"):
        spoken(Stub())


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_candidates_are_checked(wrong):
    with pytest.raises(SettingError, match="candidates"):
        next(speak_parts(Stub(), TURNS, candidates=wrong, judge=Loudest()))


@pytest.mark.parametrize(
    "wrong", [[], [1.0], [1.0, 2.0, 3.0], [float("nan"), 1.0], [1.0, float("inf")]]
)
def test_scores_are_checked(wrong):
    with pytest.raises(SettingError, match="scores of the judge: got .* allowed: 2 finite numbers"):
        speak_long(Stub(), TURNS, candidates=2, judge=lambda *_: wrong)


def test_scores_may_be_any_numbers(tmp_path):
    kinds = iter([np.ones(2, np.float32), np.array([0, 1]), (1, 2)] * 3)
    made = speak_long(
        Stub(),
        TURNS,
        seed=1,
        candidates=2,
        judge=lambda *_: next(kinds),
        journal=tmp_path / "a.journal",
    )
    assert [part.score for part in made.parts] == [1.0, 1.0, 2.0, 1.0, 1.0, 2.0, 1.0]


def test_many_candidates_are_spoken_a_few_at_a_time():
    bark, judge = Stub(), Loudest()
    next(speak_parts(bark, TURNS, seed=1, candidates=18, judge=judge))
    assert bark.batches == [8, 8, 2] and judge.asked[0][2] == 18 and len(set(bark.calls)) == 18


def test_a_part_that_no_candidate_speaks_ends_it():
    class Mute(Stub):
        def generate(self, *_: Any, **__: Any) -> Spoken:
            raise SilentError("nothing")

    with pytest.raises(SilentError, match="nothing was spoken for 'This is part 1.' with 15 seeds"):
        next(speak_parts(Mute(), TURNS, seed=1, candidates=3, judge=Loudest()))


def test_candidates_need_a_judge():
    with pytest.raises(SettingError, match="2 candidates and nobody to choose"):
        speak_long(Stub(), TURNS, candidates=2)


# ---- seeds -----------------------------------------------------------------------------------------------


def test_seeds_of_parts():
    seeds = {
        part_seed(seed, number, take)
        for seed in (0, 1)
        for number in range(1, 50)
        for take in range(3)
    }
    assert len(seeds) == 2 * 49 * 3 and all(0 <= seed < 2**63 for seed in seeds)
    assert part_seed(77, 1) == 77  # a short text sounds the same with and without long form


def test_the_same_seed_gives_the_same_parts_and_another_gives_others():
    one, again, other = (speak_long(Stub(), TURNS, seed=seed) for seed in (5, 5, 6))
    assert same(list(one.parts), list(again.parts)) and np.array_equal(one.audio, again.audio)
    assert one.seed == 5 and one.parts[3].tokens != other.parts[3].tokens
    drawn = speak_long(Stub(), TURNS)
    assert same(list(drawn.parts), list(speak_long(Stub(), TURNS, seed=drawn.seed).parts))


def test_settings_reach_every_part_and_progress_only_when_asked(capsys):
    bark = Stub()
    speak_long(bark, TURNS, seed=1, min_eos_p=0.05)
    assert bark.settings == [{"min_eos_p": 0.05}] * 7
    bark = Stub()
    speak_long(bark, TURNS, seed=1, progress=True)
    assert bark.settings == [{"progress": True}] * 7
    assert "parts: 100%" in capsys.readouterr().err


def test_regenerate_draws_only_the_named_parts_anew(tmp_path):
    before = speak_long(Stub(), TURNS, seed=1)
    after = speak_long(Stub(), TURNS, seed=1, regenerate=[3, 7])
    for number, (old, new) in enumerate(zip(before.parts, after.parts, strict=True), 1):
        assert (old.tokens == new.tokens) == (number not in (3, 7))
        assert new.take == (1 if number in (3, 7) else 0)
    with pytest.raises(SettingError, match=r"parts to regenerate: got \[0, 8\]; allowed: 1 to 7"):
        speak_long(Stub(), TURNS, regenerate=[0, 3, 8])


# ---- joins -----------------------------------------------------------------------------------------------


def test_silence_between_parts():
    pieces = [
        np.full(1000, 0.5, np.float32),
        np.full(500, -0.5, np.float32),
        np.full(800, 0.5, np.float32),
    ]
    audio = join_audio(pieces, 1000, silence=0.25)
    assert len(audio) == 2300 + 2 * 250 and audio.dtype == np.float32
    assert (audio[1000:1250] == 0).all() and (audio[100:900] == 0.5).all()
    assert abs(np.diff(audio)).max() <= 0.5 / 5 + 1e-6  # no click: 5 ms are 5 samples here
    assert audio[0] == 0.5 and audio[-1] == 0.5
    np.testing.assert_array_equal(join_audio(pieces, 1000, silence=0), np.concatenate(pieces))
    assert (pieces[1] == -0.5).all()
    assert len(join_audio(pieces, 24_000)) == 2300 + 2 * 6000


def test_crossfade_keeps_the_power():
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 20_000)).astype(np.float32)
    audio = join_audio(list(noise), 1000, crossfade=5.0)
    assert len(audio) == 35_000
    np.testing.assert_array_equal(audio[:15_000], noise[0][:15_000])
    np.testing.assert_array_equal(audio[20_000:], noise[1][5_000:])
    assert audio[15_000:20_000].std() == pytest.approx(0.1, rel=0.05)
    short = join_audio([np.ones(4, np.float32), np.ones(100, np.float32)], 1000, crossfade=1.0)
    assert len(short) == 102  # at most half of a piece


@pytest.mark.parametrize(
    "joins, message",
    [
        (
            {"silence": 0.1, "crossfade": 0.1},
            "silence and crossfade: got 0.1 s and 0.1 s; allowed: one of them",
        ),
        ({"silence": -1}, "silence between parts: got -1; allowed: 0 to 60 s"),
        ({"crossfade": 61}, "crossfade between parts: got 61"),
        ({"silence": float("nan")}, "silence between parts: got nan"),
    ],
)
def test_bad_joins(joins, message):
    bark = Stub()
    with pytest.raises(SettingError, match=message):
        speak_long(bark, TURNS, **joins)
    assert bark.calls == []


# ---- the journal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["anchored", "chained", "reanchor=3"])
@pytest.mark.parametrize("done", [0, 1, 4, 7])
def test_an_interrupted_run_goes_on_with_the_same_result(tmp_path, mode, done):
    whole = speak_long(Stub(), TURNS, mode=mode, seed=9)
    journal = tmp_path / "book.jsonl"
    if done < 7:
        with pytest.raises(KeyboardInterrupt):
            speak_long(Stub(stop_after=done), TURNS, mode=mode, seed=9, journal=journal)
    else:
        speak_long(Stub(), TURNS, mode=mode, seed=9, journal=journal)
    bark = Stub()
    resumed = speak_long(bark, TURNS, mode=mode, journal=journal)  # the seed comes from the journal
    assert len(bark.calls) == 7 - done
    assert resumed.seed == 9 and same(list(resumed.parts), list(whole.parts))
    np.testing.assert_array_equal(resumed.audio, whole.audio)


def test_a_torn_last_line_costs_only_that_part(tmp_path):
    journal = tmp_path / "book.jsonl"
    whole = speak_long(Stub(), TURNS, seed=9, journal=journal)
    data = journal.read_bytes()
    starts = [at + 1 for at, byte in enumerate(data) if byte == 10]
    for cut in (1, 5, starts[0], starts[0] + 1, starts[3] - 1, starts[3] + 40, len(data) - 1):
        journal.write_bytes(data[:cut])
        bark = Stub()
        resumed = speak_long(bark, TURNS, seed=9, journal=journal)
        assert same(list(resumed.parts), list(whole.parts))
        assert len(bark.calls) == 7 - max(0, data[:cut].count(b"\n") - 1)
        assert journal.read_bytes() == data


def test_regenerating_with_a_journal_keeps_all_other_parts(tmp_path):
    journal = tmp_path / "book.jsonl"
    before = speak_long(Stub(), TURNS, mode="chained", seed=9, journal=journal)
    bark = Stub()
    after = speak_long(bark, TURNS, mode="chained", journal=journal, regenerate=[3])
    assert [text for text, _, _ in bark.calls] == ["This is part 3."]
    assert voices_heard(bark) == [before.parts[1].tokens.digest]
    for old, new in zip(before.parts, after.parts, strict=True):
        assert (old.tokens == new.tokens) == (old.number != 3)
    third = speak_long(Stub(), TURNS, mode="chained", journal=journal, regenerate=[3])
    assert [part.take for part in third.parts] == [0, 0, 2, 0, 0, 0, 0]
    assert third.parts[2].tokens != after.parts[2].tokens
    bark = Stub()
    assert same(
        list(speak_long(bark, TURNS, mode="chained", journal=journal).parts), list(third.parts)
    )
    assert bark.calls == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seed": 10}, "its seed differs: got 10; allowed: 9"),
        ({"mode": "chained"}, 'its mode differs: got "chained"; allowed: "anchored"'),
        ({"voice": make(100)}, "its voices differs"),
        ({"min_eos_p": 0.1}, r"its settings differs: got {\"min_eos_p\": 0.1}; allowed: {}"),
        ({"text": TURNS[:6]}, "its parts differs: got 6; allowed: 7"),
        ({"text": [*TURNS[:6], Turn(None, "Other.")]}, "its text differs"),
        ({"text": [*TURNS[:6], Turn("announcer", TURNS[6].text)]}, "its text differs"),
    ],
)
def test_a_journal_of_another_job_is_refused(tmp_path, change, message):
    journal = tmp_path / "book.jsonl"
    speak_long(Stub(), TURNS, seed=9, journal=journal)
    before = journal.read_bytes()
    arguments: dict[str, Any] = {"text": TURNS, "seed": 9} | change
    if change.get("text") and arguments["text"][-1].speaker:
        arguments["voices"] = {"announcer": make(50)}
    bark = Stub()
    with pytest.raises(
        SettingError, match=f"belongs to another job: {message}.*Repeat the command|{message}"
    ):
        speak_long(bark, arguments.pop("text"), journal=journal, **arguments)
    assert bark.calls == [] and journal.read_bytes() == before


@pytest.mark.parametrize(
    "data",
    [b"RIFF" + bytes(40), b"hello", b"{}\n", b'{"journal":1}\n', b'{"journal":2,"job":{}}\n'],
)
def test_another_file_is_never_touched(tmp_path, data):
    path = tmp_path / "precious"
    path.write_bytes(data)
    with pytest.raises(SettingError, match="is no journal|is no line of a journal|has format"):
        speak_long(Stub(), TURNS, journal=path)
    assert path.read_bytes() == data


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    journal = tmp_path / "book.jsonl"
    speak_long(Stub(), TURNS, seed=9, journal=journal)
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([*lines[:3], b"{broken", *lines[4:]]))
    with pytest.raises(SettingError, match="line 4 is no line of a journal"):
        speak_long(Stub(), TURNS, seed=9, journal=journal)
    record = json.loads(lines[3])
    record["fine"][1] = record["fine"][1][:-8]
    journal.write_bytes(b"\n".join([*lines[:3], json.dumps(record).encode(), *lines[4:]]))
    with pytest.raises(SettingError, match="part 3 is damaged. Remove its line"):
        speak_long(Stub(), TURNS, seed=9, journal=journal)


def test_an_unwritable_journal_is_one_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write the journal"):
        speak_long(Stub(), TURNS, seed=9, journal=tmp_path / "file" / "book.jsonl")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot read .*folder"):
        speak_long(Stub(), TURNS, seed=9, journal=tmp_path / "folder")


def test_two_processes_never_speak_one_journal(tmp_path):
    """The second gets one line; what the first wrote meanwhile is neither cut nor doubled."""
    journal = tmp_path / "book.jsonl"
    first = speak_parts(Stub(), TURNS, seed=9, journal=journal)
    next(first)
    with journal.open("ab") as file:
        file.write(b'{"part":2')  # the first is in the middle of a line
    before = journal.read_bytes()
    with pytest.raises(StorageError, match=r"another process is speaking this: .*got process \d+"):
        speak_long(Stub(), TURNS, seed=9, journal=journal)
    assert journal.read_bytes() == before
    first.close()
    speak_long(Stub(), TURNS, seed=9, journal=journal)
    assert [path.name for path in tmp_path.iterdir()] == ["book.jsonl"]
    assert len(journal.read_bytes().splitlines()) == 8


@pytest.mark.parametrize(
    "change",
    [
        {"take": 10**9},
        {"seed": -1},
        {"seed": 2**70},
        {"part": 0},
        {"score": "x"},
        {"fine": [[8], 1]},
    ],
)
def test_lines_are_checked_by_field(tmp_path, change):
    journal = tmp_path / "book.jsonl"
    speak_long(Stub(), TURNS, seed=9, journal=journal)
    lines = journal.read_bytes().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | change).encode()
    journal.write_bytes(b"\n".join([*lines, b""]))
    with pytest.raises(SettingError, match="line 3 is no line of a journal"):
        speak_long(Stub(), TURNS, seed=9, journal=journal)


def test_a_part_that_unpacks_to_too_much_is_damaged(tmp_path):
    journal = tmp_path / "book.jsonl"
    speak_long(Stub(), TURNS, seed=9, journal=journal)
    lines = journal.read_bytes().splitlines()
    bomb = base64.b64encode(zlib.compress(bytes(300_000_000))).decode()
    lines[2] = json.dumps(json.loads(lines[2]) | {"semantic": [[100], bomb]}).encode()
    journal.write_bytes(b"\n".join([*lines, b""]))
    with pytest.raises(SettingError, match="part 2 is damaged"):
        speak_long(Stub(), TURNS, seed=9, journal=journal)


def test_journal_keeps_tokens_exactly(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.begin({"a": 1})
    odd = Voice(np.zeros(0), np.zeros((2, 0)), np.zeros((8, 0)))
    for number, tokens in enumerate((make(300), odd), 1):
        journal.add(Part(number, "", None, 5, 0, np.zeros(0), tokens))
        assert Journal(tmp_path / "j").tokens(number) == tokens


def _speak_slowly(journal, said):
    for part in speak_parts(Stub(), TURNS, mode="chained", seed=9, journal=journal):
        said.send(part.number)
        time.sleep(0.02)


def test_a_killed_process_goes_on_with_the_same_result(tmp_path):
    """kill -9 at the moment a part is reported, and once in the middle of the next."""
    journal = tmp_path / "book.jsonl"
    context = multiprocessing.get_context("fork")  # a new one would import torch anew
    for target in (2, 5):
        reader, writer = context.Pipe(duplex=False)
        running = context.Process(target=_speak_slowly, args=(journal, writer))
        running.start()
        while reader.recv() != target:
            pass
        running.kill()
        running.join()
    bark = Stub()
    resumed = speak_long(bark, TURNS, mode="chained", seed=9, journal=journal)
    assert len(bark.calls) <= 2
    assert same(list(resumed.parts), list(speak_long(Stub(), TURNS, mode="chained", seed=9).parts))


def test_a_real_pipeline_resumes_bit_for_bit(tmp_path):
    """The tiny random model of the real code path: audio decoded from the journal is the audio that was made."""
    from bark.pipeline import Bark
    from tests.tiny import make_tiny_model

    bark = Bark.from_pretrained(make_tiny_model(tmp_path / "tiny"), device="cpu")
    text = "Here is the first sentence, quite long. And here is the second one of them. The third ends it."
    settings = {"min_eos_p": None, "max_duration_s": 0.6}
    journal = tmp_path / "j"
    parts = plan_parts(bark, text)
    assert len(parts) >= 3 and max(len(bark.tokenizer.encode(turn.text)) for turn in parts) <= 64
    spoken = speak_parts(bark, parts, seed=3, journal=journal, **settings)
    next(spoken)
    spoken.close()
    resumed = speak_long(bark, text, seed=3, journal=journal, **settings)
    whole = speak_long(bark, text, seed=3, **settings)
    assert same(list(resumed.parts), list(whole.parts))
    np.testing.assert_array_equal(resumed.audio, whole.audio)
    alone = bark.generate(parts[0].text, seed=3, **settings)
    np.testing.assert_array_equal(alone.audio, whole.parts[0].audio)


def test_parts_that_fill_the_longest_utterance_are_named(tiny_bark: Path) -> None:
    tiny = Bark.from_pretrained(tiny_bark)
    full = speak_long(tiny, "hello", seed=1, max_duration_s=None, allow_early_stop=False)
    assert full.unfinished == ()  # it was to last so long
    assert len(full.parts[0].tokens.semantic) == tiny.layout.max_semantic
    assert replace(full, settings={}).unfinished == (1,)
    assert speak_long(tiny, "hello", seed=1, max_duration_s=0.5).unfinished == ()
