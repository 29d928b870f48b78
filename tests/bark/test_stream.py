"""Streaming, progress and cancelling: pieces that join to the whole, and calls that end when asked."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest

from bark import Bark
from bark.errors import Cancelled, SettingError, TextError, VoiceError
from bark.longform import speak_long
from bark.stages.coarse import coarse_steps

SENTENCE = "Good morning."
LONGER = "The sun began to shine, and the traveller rose."


def joined(pieces: object) -> np.ndarray:
    return np.concatenate(list(pieces))  # type: ignore[call-overload]


@pytest.mark.parametrize("voice", [None, "alba"])
def test_pieces_join_to_what_generate_and_speak_long_make(
    nano: Bark, voice: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = nano.generate(SENTENCE, voice, seed=1)
    assert np.array_equal(joined(nano.stream(SENTENCE, voice, seed=1)), whole.audio)
    monkeypatch.setattr("bark.longform.plan.MAX_SECONDS", 1.6)  # of a part
    text = "It was warm now. He sat down."
    long = speak_long(nano, text, voice, seed=2)
    pieces = list(nano.stream(text, voice, seed=2))
    assert len(long.parts) == 2 and np.array_equal(joined(pieces), long.audio)
    assert len(pieces) > 2


def test_settled_codes_of_a_stream_are_those_of_the_whole(tiny_bark: Path) -> None:
    """On a network whose fine windows are short, so that several of them settle on the way."""
    bark = Bark.from_pretrained(tiny_bark, device="cpu")
    semantic = np.arange(100) % bark.layout.semantic_vocab
    voice = bark.generate("a voice", seed=3, allow_early_stop=False).voice
    for history in (None, voice):
        whole = bark.speak_tokens([semantic], history, seeds=4)[0]
        steps = coarse_steps(len(semantic), bark.layout)
        chosen = bark.defaults
        written = bark.coarse.stream(
            semantic,
            history,
            sampling=chosen.coarse,
            sliding_window_len=20,
            generator=bark._generators("coarse", [4])[0],
        )
        assert len(list(written)) == -(-steps // 20)
        coarse = bark.coarse_codes(semantic, history, seed=4, sliding_window_len=20)
        fine = bark.fine_codes(coarse, history, seed=4)
        growing = (coarse[:, :end] for end in (*range(10, coarse.shape[1], 10), coarse.shape[1]))
        settled = list(
            bark.fine.stream(
                growing,
                coarse.shape[1],
                None if history is None else history.fine,
                temperature=chosen.fine.temperature,
                generator=bark._generators("fine", [4])[0],
            )
        )
        assert len(settled) > 1 and np.array_equal(settled[-1], fine)
        for codes in settled:
            assert np.array_equal(codes, fine[:, : codes.shape[1]])
        assert whole.coarse.shape == coarse.shape


def test_low_latency_speaks_as_long_and_begins_earlier(nano: Bark) -> None:
    semantic = nano.semantic_tokens(LONGER, "alba", seed=2)
    assert 120 < len(semantic) < 300  # 2.4 to 6 s: several chunks of 0.8 s
    exact = list(nano.stream_tokens(semantic, "alba", seed=2))
    early = list(nano.stream_tokens(semantic, "alba", seed=2, latency="low"))
    assert len(joined(early)) == len(joined(exact)) and len(early[0]) < len(exact[0])
    assert np.abs(joined(early)).max() <= 1.5 and len(early) > 2
    with pytest.raises(SettingError, match="latency: got .soon.; allowed: exact or low"):
        nano.stream(SENTENCE, latency="soon")  # type: ignore[arg-type]


def test_arguments_of_a_stream_are_checked_before_the_first_piece(nano: Bark) -> None:
    with pytest.raises(SettingError, match="coarse_top_k: got 0"):
        nano.stream(SENTENCE, coarse_top_k=0)
    with pytest.raises(TextError):
        nano.stream("...")


def test_progress_is_told_stage_by_stage(nano: Bark) -> None:
    told: list[tuple[str, int, int]] = []
    nano.generate(SENTENCE, seed=1, progress=lambda *step: told.append(step))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["semantic", "coarse", "fine"]
    for stage in ("semantic", "coarse", "fine"):
        done = [step[1] for step in told if step[0] == stage]
        last = [step for step in told if step[0] == stage][-1]
        assert done == sorted(done) and last[1] == last[2]


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
def test_a_call_is_cancelled_and_the_object_stays_usable(nano: Bark, stage: str) -> None:
    flag = Event()

    def stop(now: str, done: int, total: int) -> None:
        if now == stage:
            flag.set()

    with pytest.raises(Cancelled, match="cancelled"):
        nano.generate(SENTENCE, seed=1, progress=stop, cancel=flag)
    with pytest.raises(Cancelled):
        joined(nano.stream(SENTENCE, seed=1, cancel=flag))
    assert np.array_equal(nano.generate("Yes.", seed=1).audio, joined(nano.stream("Yes.", seed=1)))


def test_several_texts_need_generate_batch(nano: Bark) -> None:
    with pytest.raises(TextError, match="got list; allowed: str. Use generate_batch"):
        nano.generate(["a", "b"])  # type: ignore[arg-type]


def test_marks_change_the_speaker_of_a_stream_as_in_long_form(nano: Bark) -> None:
    text = "[voice:clara] Yes. [voice:dario] No."
    assert np.array_equal(joined(nano.stream(text, seed=1)), speak_long(nano, text, seed=1).audio)
    with pytest.raises(VoiceError, match="no voice is named 'nobody'"):
        nano.stream("[voice:nobody] Yes.")
