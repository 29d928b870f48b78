"""bark.voice.mix: stretches of two voices, in the share that was asked for."""

from dataclasses import replace

import numpy as np
import pytest

from bark.errors import SettingError, VoiceError
from bark.tokens import BARK
from bark.voice import Voice, mix_voices
from bark.voice.names import NANO_FAMILY, NANO_VOICES, TOKENS_KEY
from tests.made_voices import make

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
HEARD = round(BARK.fine_history / BARK.coarse_rate * BARK.semantic_rate)  # tokens


def pair(first: int = 500, second: int = 500) -> tuple[Voice, Voice]:
    """Voices whose tokens and codes say whose they are: even and odd."""
    voices = []
    for odd, tokens in enumerate((first, second)):
        made = make(tokens, seed=odd)
        fine = made.fine // 2 * 2 + odd
        voices.append(Voice(made.semantic // 2 * 2 + odd, fine[:2], fine, made.info))
    return voices[0], voices[1]


@pytest.mark.parametrize("by", ["concat", "alternate"])
@pytest.mark.parametrize("share", SHARES)
def test_the_mix_is_a_voice_and_keeps_the_share(by, share: float) -> None:
    mixed = mix_voices(*pair(), by=by, share=share).validate()
    for tokens, per_second in ((mixed.semantic, 49.9), (mixed.fine[0], 75)):
        heard = tokens[-round(4.2 * per_second) :] if by == "concat" else tokens
        assert (heard % 2).mean() == pytest.approx(share, abs=0.02)
    assert HEARD - 4 <= len(mixed.semantic) <= HEARD


@pytest.mark.parametrize("by", ["concat", "alternate"])
def test_tokens_and_codes_change_the_speaker_together(by) -> None:
    mixed = mix_voices(*pair(), by=by, share=0.4)
    changes = np.flatnonzero(np.diff(mixed.semantic % 2)) + 1
    frames = np.flatnonzero(np.diff(mixed.fine[3] % 2)) + 1
    assert len(changes) == (1 if by == "concat" else 7)
    assert np.abs(frames - changes * BARK.frames_per_semantic).max() <= 1
    assert mixed.semantic[-1] % 2 == 1  # the second voice comes last


def test_either_end_is_a_voice_itself() -> None:
    first, second = pair()
    for share, voice in ((0, first), (1, second)):
        mixed = mix_voices(first, second, share=share)
        assert np.array_equal(mixed.semantic[-200:], voice.canonical().semantic[-200:])
        assert np.array_equal(mixed.fine[:, -300:], voice.canonical().fine[:, -300:])


@pytest.mark.parametrize("by", ["concat", "alternate"])
@pytest.mark.parametrize("lengths", [(60, 500), (500, 60), (70, 80)])
def test_a_short_voice_shortens_the_mix_and_keeps_the_share(by, lengths: tuple[int, int]) -> None:
    mixed = mix_voices(*pair(*lengths), by=by, share=0.5)
    last = 2 * min(lengths)
    assert (mixed.semantic[-last:] % 2).mean() == pytest.approx(0.5, abs=0.02)


def test_info_keeps_both_consents_and_sources() -> None:
    first, second = pair()
    one = {
        "consent": "self",
        "source_sha256": "ab",
        "language": "en",
        "model": "large",
        "name": "x",
    }
    mixed = mix_voices(replace(first, info=one), replace(second, info={"source_sha256": "cd"}))
    assert mixed.info["consent"] == "self + unknown" and mixed.info["source_sha256"] == "ab + cd"
    assert mixed.info["mixed"] == "concat, 0.5 of the second" and mixed.info["model"] == "large"
    assert "name" not in mixed.info and TOKENS_KEY not in mixed.info
    both = mix_voices(replace(first, info=one), replace(second, info=one))
    assert both.info["consent"] == "self" and both.info["language"] == "en"
    assert "consent" not in mix_voices(first, second).info


def test_what_cannot_be_mixed_is_told_in_one_line() -> None:
    first, second = pair()
    nano = Voice.load(NANO_VOICES / "alba.npz")
    with pytest.raises(
        VoiceError, match=f"belong to different models: got encodec.*; allowed: {NANO_FAMILY}"
    ):
        mix_voices(replace(first, info={"model": "large"}), nano)
    with pytest.raises(VoiceError, match="too little of a voice for such a share: got 0.9 s"):
        mix_voices(*pair(40, 500), share=0.1)
    with pytest.raises(SettingError, match="share: got 1.5; allowed: 0"):
        mix_voices(first, second, share=1.5)
    with pytest.raises(SettingError, match="by: got 'mean'; allowed: concat or alternate"):
        mix_voices(first, second, by="mean")
