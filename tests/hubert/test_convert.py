"""hubert.convert: pieces are cut in pauses, laid where they were, and joined without clicks."""

from pathlib import Path

import numpy as np
import pytest

from bark.errors import AudioError, VoiceError
from bark.pipeline import Bark
from hubert.convert import LONGEST, Piece, _laid_out, convert_voice, speech_pieces
from hubert.encoder import SemanticEncoder
from hubert.reference.speech import SpeechDetector
from tests.listening import make_tiny_hubert
from tests.speech import phrase, voiced

RATE = 16_000  # Hz


@pytest.fixture(scope="module")
def bark(tiny_bark: Path) -> Bark:
    return Bark.from_pretrained(tiny_bark)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SemanticEncoder:
    folder = make_tiny_hubert(tmp_path_factory.mktemp("hubert"))
    return SemanticEncoder.from_pretrained(folder)


def test_pieces_are_short_and_cut_in_pauses() -> None:
    parts = [(2.5, 0.5)] * 9  # 27 s
    pieces = speech_pieces(phrase(parts, RATE))
    assert len(pieces) > 2 and all(piece.end - piece.start <= LONGEST + 1 for piece in pieces)
    for before, after in zip(pieces, pieces[1:], strict=False):
        assert before.end <= after.start
        assert 2.5 - 0.2 <= before.end % 3.0 <= 3.0  # in the half second after a word
    assert sum(piece.end - piece.start for piece in pieces) > 9 * 2.5


def test_speech_without_a_pause_is_cut_all_the_same() -> None:
    pieces = speech_pieces(np.tile(voiced(10.0, RATE), 4))
    assert len(pieces) >= 4 and all(piece.end - piece.start <= LONGEST + 1 for piece in pieces)
    assert sum(piece.end - piece.start for piece in pieces) == pytest.approx(40, abs=1)


def test_long_silences_are_in_no_piece() -> None:
    silence = np.zeros(5 * RATE, np.float32)
    pieces = speech_pieces(np.concatenate([silence, voiced(2.0, RATE), silence, voiced(2.0, RATE)]))
    assert [round(piece.end - piece.start) for piece in pieces] == [2, 2]


def test_what_holds_no_speech_is_refused() -> None:
    with pytest.raises(AudioError, match=r"no speech found to convert: got 3\.0 s of sound"):
        speech_pieces(np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32))


def test_pieces_are_laid_where_they_were_and_do_not_click() -> None:
    rate = 24_000
    pieces = [Piece(0.5, 1.5), Piece(1.5, 2.5), Piece(4.0, 5.0)]
    tone = 0.5 * np.cos(2 * np.pi * 200 * np.arange(rate) / rate).astype(np.float32)
    joined = _laid_out(pieces, [tone] * 3, 6.0, rate)
    assert abs(len(joined) - 6 * rate) <= rate // 50
    assert np.abs(np.diff(joined)).max() < 0.05  # the tone's own steps are up to 0.026
    for start, end, loud in [(0, 0.45, 0), (0.6, 2.4, 0.35), (2.6, 3.95, 0), (4.1, 4.9, 0.35)]:
        part = joined[round(start * rate) : round(end * rate)]
        assert np.sqrt(np.mean(np.square(part))) == pytest.approx(loud, abs=0.02)


def test_a_recording_keeps_its_length_and_follows_the_seed(
    bark: Bark, encoder: SemanticEncoder
) -> None:
    voice = bark.generate("one two", seed=0).voice
    audio = phrase([(1.5, 1.5), (1.5, 0.5)], RATE)
    takes = [
        convert_voice(audio, voice, model=bark, encoder=encoder, sample_rate=RATE, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert len(takes[0].audio) == pytest.approx(5.0 * 24_000, abs=600)
    assert np.array_equal(takes[0].audio, takes[1].audio)
    assert not np.array_equal(takes[0].audio, takes[2].audio)
    assert len(takes[0].parts) == 2 and takes[0].spoken_in[None] == voice


def test_someone_to_convert_to_is_needed(bark: Bark, encoder: SemanticEncoder) -> None:
    with pytest.raises(VoiceError, match="no voice to convert to"):
        convert_voice(voiced(2.0, RATE), None, model=bark, encoder=encoder, sample_rate=RATE)  # type: ignore[arg-type]


def test_nano_says_the_recording_in_another_voice() -> None:
    audio = phrase([(1.6, 0.3)], RATE)
    take = convert_voice(audio, "bruno", model="nano", sample_rate=RATE, seed=0)
    assert len(take.audio) == pytest.approx(1.9 * 24_000, abs=600)
    detector = SpeechDetector()
    spans = detector.spans(detector.probabilities([take.audio], 24_000))
    assert np.diff(spans, axis=1).sum() > 1.0  # it is speech again
