"""hubert.refine: takes are scored against the recording, and one is promoted only if it is proven better."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from bark import Bark, Voice, refine_voice
from bark.errors import (
    AudioError,
    Cancelled,
    MissingFileError,
    SettingError,
    SilentError,
    VoiceError,
)
from bark.settings import Settings
from bark.speech import Generation
from bark.tokens import BARK
from hubert.clone import Cloner
from hubert.refine import RULE, Refinement, Refiner, Texts, load_judge
from hubert.refine.judges import WavLM, Whisper, load_judges, word_error
from hubert.refine.scores import Listener, Scores, paced, silent_share
from hubert.refine.texts import ENGLISH
from hubert.refine.trial import Interval, Pair, Trial, quantile
from hubert.refine.windows import clone_windows
from tests.hubert.conftest import SAID
from tests.judges import skip_without_judges
from tests.listening import golden_codec, golden_encoder
from tests.made_voices import make
from tests.speech import phrase

RATE = 24_000  # Hz
TEXTS = Texts(("take a", "take b"), ("heard a", "heard b"), tuple(f"trial {n}" for n in range(8)))
INFO = {"consent": "self", "language": "de", "source_sha256": "ab" * 32, "source": "me.wav"}
TONE = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
RECORDING = (RATE, TONE)


class Level:
    """A speaker judge for which loudness is who speaks: likeness to the recording is the level."""

    def embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        if not np.any(audio):
            raise AudioError("silence")
        level = min(1.0, float(np.abs(audio).max()))
        return np.array([level, math.sqrt(1 - level**2)])


class Slow:
    """A word judge for which louder speech is less clear."""

    def clarity(self, text: str, audio: np.ndarray, sample_rate: int) -> float:
        return -float(np.abs(audio).max())


class Choir:
    """A Bark whose voices speak at levels of their own; a take's level becomes that of its voice."""

    layout = BARK

    def __init__(self, levels: dict[str, float], takes: Sequence[float]) -> None:
        self.levels, self.takes = dict(levels), list(takes)
        self.spoken: list[tuple[str, str, int]] = []
        self.silent: set[tuple[str, str]] = set()

    def resolve_voice(self, voice: Any) -> Any:
        return voice

    def generate_batch(
        self, texts: Sequence[str], voices: Sequence[Voice], *, seeds: Sequence[int], progress: Any
    ) -> list[Generation]:
        progress.check()
        if any((v.digest, t) in self.silent for v, t in zip(voices, texts, strict=True)):
            raise SilentError("one is silent")
        rows = zip(texts, voices, seeds, strict=True)
        return [self.generate(t, v, seed=s, progress=progress) for t, v, s in rows]

    def generate(self, text: str, voice: Voice, *, seed: int, progress: Any) -> Generation:
        if (voice.digest, text) in self.silent:
            raise SilentError("silent")
        self.spoken.append((text, voice.digest, seed))
        tokens = make(seed=seed % 2**31)
        level = self.levels[voice.digest]
        if text.startswith("take"):
            level = self.takes[sum(text.startswith("take") for text, *_ in self.spoken) - 1]
            self.levels[tokens.canonical(BARK).digest] = level
        audio = (level + 0.002 * math.sin(seed * (1 + int(voice.digest[:4], 16)))) * TONE
        return Generation(
            audio, tokens, text, seed, Settings(), "fake", BARK, spoken_in=voice, family="fake"
        )


def refine(
    takes: Sequence[float], own: float = 0.5, hearer: Any = None, **options: Any
) -> tuple[Refinement, Choir]:
    base = replace(make(seed=7), info=INFO)
    choir = Choir({base.digest: own}, takes)
    refiner = Refiner(choir, Level(), hearer, TEXTS)  # type: ignore[arg-type]
    return refiner.refine(base, RECORDING, len(takes), seed=1, **options), choir


def test_a_better_take_becomes_the_prompt_and_says_where_it_comes_from() -> None:
    found, _ = refine([0.5, 0.9, 0.6, 0.4])
    assert found.promoted and found.chosen == 2 and found.trial is not None
    assert found.trial.gain.mean == pytest.approx(0.4, abs=0.02)
    assert {key: found.voice.info[key] for key in INFO} == INFO
    assert found.voice.info["refined_from"] == found.base.digest
    assert found.voice.info["refined"].startswith("take 2 of 4, likeness +0.4")
    assert found.voice.digest == found.takes[1].take.voice.digest
    assert found.lines()[-1].startswith("promoted take 2: likeness +0.4")


def test_no_take_is_promoted_that_does_not_speak_better_as_a_prompt() -> None:
    found, choir = refine([0.45, 0.4, 0.3, 0.45])
    assert found.voice is found.base and not found.promoted and found.trial is None
    assert "kept the voice" in found.result()
    assert not any(text.startswith("trial") for text, *_ in choir.spoken), "no work for nothing"


def test_what_is_better_by_chance_only_is_not_promoted() -> None:
    """The audition says so, the trial does not: differences of .001 under noise of .002."""
    found, _ = refine([0.5, 0.501, 0.4, 0.4])
    assert found.trial is not None and not found.promoted and found.voice is found.base
    assert found.trial.gain.low < 0 and "kept the voice, not take 2" in found.result()


def test_words_must_not_be_lost() -> None:
    assert not refine([0.5, 0.9, 0.6, 0.4], hearer=Slow())[0].promoted  # clarity falls by .4
    assert refine([0.5, 0.53, 0.4, 0.4], hearer=Slow())[0].promoted  # by .03


def test_a_candidate_that_falls_silent_is_not_promoted() -> None:
    found, choir = refine([0.5, 0.9, 0.6, 0.4])
    silenced = Choir({found.base.digest: 0.5}, [0.5, 0.9, 0.6, 0.4])
    silenced.silent.add((found.voice.digest, "trial 3"))
    refiner = Refiner(silenced, Level(), None, TEXTS)  # type: ignore[arg-type]
    again = refiner.refine(found.base, RECORDING, 4, seed=1)
    assert again.trial is not None and len(again.trial.heard) == 7
    assert again.trial.gain.low > 0 and not again.promoted


def test_trial_and_choice_share_no_text_and_no_seed() -> None:
    _, choir = refine([0.5, 0.9, 0.6, 0.4])
    trial = [(text, seed) for text, _, seed in choir.spoken if text.startswith("trial")]
    other = [(text, seed) for text, _, seed in choir.spoken if not text.startswith("trial")]
    for which in (0, 1):
        assert not {row[which] for row in trial} & {row[which] for row in other}
    assert len(trial) == 16 and len(set(trial)) == 8  # both prompts speak the same
    used = [*ENGLISH.takes, *ENGLISH.audition, *ENGLISH.trial]
    assert len(set(used)) == len(used)


def test_it_stops_when_more_takes_bring_nothing() -> None:
    assert len(refine([0.6, 0.5, 0.5, 0.5] * 4)[0].takes) == 8  # the second four brought nothing
    assert len(refine([0.5] * 4 + [0.6] * 4 + [0.7] * 4 + [0.8] * 4)[0].takes) == 16


def test_of_several_voices_the_one_that_speaks_best_is_refined() -> None:
    first, second = (replace(make(seed=seed), info=INFO) for seed in (7, 8))
    choir = Choir({first.digest: 0.5, second.digest: 0.7}, [0.1] * 4)
    refiner = Refiner(choir, Level(), None, TEXTS)  # type: ignore[arg-type]
    found = refiner.refine([first, second], [RECORDING, RECORDING], 4, seed=1)
    assert found.base is second and found.voice is second and found.base_number == 2
    assert len(found.windows) == 2 and found.windows[1] > found.windows[0]
    takes = {voice for text, voice, _ in choir.spoken if text.startswith("take")}
    assert takes == {second.digest}


def test_each_good_window_of_a_recording_is_a_candidate() -> None:
    cloner = Cloner(golden_encoder(), golden_codec())
    made = clone_windows(cloner, (RATE, phrase([(2.0, 0.6)] * 4)), consent="self")
    ends = [each.report.end for each in made]
    assert len(made) == 3 and min(np.diff(sorted(ends))) >= 2.0
    assert all(each.voice.info["consent"] == "self" for each in made)


def test_everything_spoken_is_kept(tmp_path: Path) -> None:
    found, _ = refine([0.5, 0.9, 0.6, 0.4])
    names = {path.name for path in found.save(tmp_path / "kept").iterdir()}
    takes = {f"take-{n:02}.{kind}" for n in range(1, 5) for kind in ("wav", "npz", "json")}
    trial = {f"trial-{n:02}-{side}.wav" for n in range(1, 9) for side in ("before", "after")}
    assert names == takes | trial | {"before.npz", "refine.json"}
    record = json.loads((tmp_path / "kept" / "refine.json").read_text())
    assert record["chosen"] == 2 and record["trial"]["passed"] and record["trial"]["rule"] == RULE
    assert [take["number"] for take in record["takes"]] == [1, 2, 3, 4]
    assert Voice.load(tmp_path / "kept" / "before.npz") == found.base


def test_progress_is_told_and_a_call_can_be_ended() -> None:
    told: list[tuple[str, int, int]] = []
    refine([0.5, 0.9, 0.6, 0.4], progress=lambda *step: told.append(step))
    assert {"takes", "prompts", "trial"} <= {stage for stage, *_ in told}
    assert ("trial", 8, 8) in told
    stop = Event()
    stop.set()
    with pytest.raises(Cancelled):
        refine([0.5] * 4, cancel=stop)


@pytest.mark.parametrize("takes", [1, 0, 2.0, True])
def test_takes_are_a_number_of_two_or_more(takes: Any) -> None:
    with pytest.raises(SettingError, match="takes: got .*; allowed: a whole number >= 2"):
        refine_voice("alba", RECORDING, model="nano", takes=takes)


def test_there_must_be_a_voice() -> None:
    refiner = Refiner(Choir({}, []), Level(), None, TEXTS)  # type: ignore[arg-type]
    for nobody in ([], [None]):
        with pytest.raises(VoiceError, match="no voice to refine"):
            refiner.refine(nobody, RECORDING)  # type: ignore[arg-type]


def pairs(before: Sequence[float], after: Sequence[float], clearer: float = 0.0) -> Trial:
    take = refine([0.5, 0.4, 0.4, 0.4])[0].takes[0].take
    rows = zip(before, after, strict=True)
    return Trial(tuple(Pair("t", 1, take, take, row, (-0.5, -0.5 + clearer)) for row in rows))


@pytest.mark.parametrize(
    ("gains", "clearer", "passed"),
    [
        ([0.02, 0.03, 0.04, 0.03], 0.0, True),
        ([0.02, 0.03, 0.04, 0.03], -0.04, True),
        ([0.02, 0.03, 0.04, 0.03], -0.06, False),
        ([0.20, -0.10, 0.15, -0.02], 0.0, False),  # better on average, not beyond chance
        ([-0.02, -0.03, -0.04, -0.03], 0.5, False),
        ([0.0, 0.0, 0.0, 0.0], 0.0, False),
        ([0.5], 0.0, False),  # one pair proves nothing
    ],
)
def test_the_rule(gains: Sequence[float], clearer: float, passed: bool) -> None:
    found = pairs([0.5] * len(gains), [0.5 + gain for gain in gains], clearer)
    assert found.passed is passed and found.to_dict()["passed"] is passed
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_interval_is_students() -> None:
    values = [0.1, 0.3, 0.2, 0.4, 0.0, 0.2]
    found = Interval.of(values)
    half = 2.571 * np.std(values, ddof=1) / math.sqrt(6)
    assert found.mean == pytest.approx(0.2) and found.count == 6
    assert (found.low, found.high) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-3)
    table = {4: 2.776, 7: 2.365, 11: 2.201, 23: 2.069, 100: 1.984}
    assert all(quantile(n) == pytest.approx(value, rel=0.01) for n, value in table.items())
    assert str(Interval.of([0.5, 0.5])) == "+0.500 (+0.500 to +0.500; n = 2)"


def test_channels_in_opposite_phase_are_listened_to() -> None:
    both = np.stack([TONE, -TONE], axis=1)
    alone, opposite = (Listener.of([(RATE, audio)], Level(), None) for audio in (TONE, both))
    np.testing.assert_allclose(opposite.target, alone.target, atol=1e-3)


def test_odd_takes_lose_points() -> None:
    takes = [take.take for take in refine([0.5, 0.4, 0.4, 0.4])[0].takes]
    slow = replace(takes[0], audio=np.tile(takes[0].audio, 3))
    scores = paced([slow, *takes[1:]], [Scores(0.5)] * 4)
    assert scores[0].pace > 0.5 > scores[1].pace and scores[0].total < scores[1].total
    assert Scores(0.5, silence=0.5).total < Scores(0.5).total > Scores(0.5, clarity=-1).total
    half = np.concatenate([np.ones(RATE), np.zeros(RATE)]).astype(np.float32)
    assert silent_share(half, RATE) == pytest.approx(0.5, abs=0.02)
    assert silent_share(np.zeros(RATE), RATE) == 1.0


def test_own_texts_are_dealt_out_once() -> None:
    texts = [f"text {n} {'x' * (n + 1)}" for n in range(11)]
    dealt = Texts.of([*texts, "", texts[0]])
    assert sorted([*dealt.takes, *dealt.audition, *dealt.trial]) == sorted(texts)
    assert len(dealt.takes) == len(dealt.audition) == 2 and dealt.takes[0] == texts[-1]
    with pytest.raises(SettingError, match="texts to refine by: got 7 different ones"):
        Texts.of(texts[:7] * 2)


def test_the_same_seed_gives_the_same_voice() -> None:
    found = [refine([0.5, 0.9, 0.6, 0.4])[0] for _ in "ab"]
    assert found[0].to_dict() == found[1].to_dict() and found[0].voice == found[1].voice


# ---- judges --------------------------------------------------------------------------------------


def test_judges_are_objects_or_names() -> None:
    level, slow = Level(), Slow()
    assert load_judge(level) is level
    assert load_judges([slow, level]) == (level, slow) and load_judges([level]) == (level, None)
    with pytest.raises(SettingError, match="judge: got 'nobody'; allowed: resemblyzer, wavlm, p"):
        load_judge("nobody")
    with pytest.raises(SettingError, match="judge: got object; allowed: an object with embed"):
        load_judge(object())  # type: ignore[arg-type]
    for wrong in ([], [slow], [level, level], [level, slow, slow]):
        with pytest.raises(SettingError, match="one speaker encoder and at most one recogniser"):
            load_judges(wrong)


@pytest.mark.parametrize("name", ["wavlm", "whisper"])
def test_weights_that_cannot_be_had_are_one_error_with_the_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        MissingFileError, match=f"the judge {name} is not.*hf download .*; or judge by"
    ):
        load_judge(name)


def test_the_judges_that_need_no_network_hear_who_speaks_and_what(
    nano: Bark, takes: list[np.ndarray]
) -> None:
    skip_without_judges()
    speaker, hearer = load_judges(["resemblyzer", "pocketsphinx"])
    said, other = takes
    own = speaker.embed(nano.decode(nano.resolve_voice("alba").fine), RATE)  # type: ignore[union-attr]
    assert own @ speaker.embed(said, RATE) > own @ speaker.embed(other, RATE)
    assert hearer is not None
    right = hearer.clarity(SAID, said, RATE)
    wrong = hearer.clarity("three six oh eight three", said, RATE)
    assert right is not None and wrong is not None and right > wrong + 0.1
    assert hearer.clarity("Guten Morgen, heute sprechen wir", said, RATE) is None


def test_wavlm_gives_unit_embeddings(tmp_path: Path) -> None:
    """Its network at random and tiny, in the files that transformers reads."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    config = WavLMConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 3, conv_kernel=(10, 8, 4), conv_stride=(5, 8, 8), num_feat_extract_layers=3,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, tdnn_dim=(8, 8),
        tdnn_kernel=(3, 1), tdnn_dilation=(1, 1), xvector_output_dim=12,
    )  # fmt: skip
    WavLMForXVector(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    judge = WavLM.from_pretrained(tmp_path)
    found = judge.embed(np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32), RATE)
    assert found.shape == (12,) and np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    with pytest.raises(AudioError, match="no voice to compare"):
        judge.embed(np.zeros(RATE, np.float32), RATE)


def test_whisper_counts_words_heard_wrong() -> None:
    class Heard:
        def eval(self) -> "Heard":
            return self

        def generate(self, features: Any) -> list[int]:
            return [0]

    class Processor:
        def __call__(self, samples: np.ndarray, **_: Any) -> Any:
            assert len(samples) == 16_000
            return type("Features", (), {"input_features": samples})

        def batch_decode(self, tokens: Any, **_: Any) -> list[str]:
            return ["Good mourning, all."]

    judge = Whisper(Heard(), Processor())
    clarity = judge.clarity("good morning ALL", np.zeros(RATE, np.float32), RATE)
    assert clarity == pytest.approx(-1 / 3)
    assert (
        word_error("one", "one two three four") == 1.0 and word_error("Grüß Gott", "grüß gott") == 0
    )
