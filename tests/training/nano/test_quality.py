"""The shipped nano, measured in short with fixed seeds: nothing may silently get worse.

Four held-out synthetic voices (golden/nano, spoken by flite and made for this test) are cloned by nano's own cloner
and say held-out digits. The full measurement is `python -m training.nano.report`; see bark/nano/REPORT.md.
"""

import numpy as np
import pytest
import soundfile
import torch

from bark.checkpoints.find import find_model
from bark.errors import MissingFileError
from bark.pipeline import Bark
from hubert.judge import Recogniser, VoiceEmbedder
from tests.conftest import ROOT
from tests.judges import skip_without_judges
from training.engine.metrics import edit_distance
from training.nano.report.measures import intelligibility, nearest_voice

CLIPS = ROOT / "tests" / "golden" / "nano"
VOICES = ("held_awb_a", "held_kal_b", "held_rms_a", "held_slt_b")
TEXTS = ("one eight six seven", "five four three three four")
DIGITS = (
    "#JSGF V1.0; grammar d; public <d> = (zero|one|two|three|four|five|six|seven|eight|nine)+ ;"
)


def clip(name: str) -> np.ndarray:
    audio, rate = soundfile.read(CLIPS / f"{name}.ogg", dtype="float32")
    assert rate == 24_000
    return audio


@pytest.fixture(scope="module")
def spoken() -> list[tuple[int, str, np.ndarray]]:
    """Return voice, text and audio of each clip, made on one thread."""
    pytest.importorskip("pocketsphinx")
    skip_without_judges()
    try:
        find_model("nano")
    except MissingFileError as error:
        pytest.skip(str(error))
    from hubert.clone import Cloner

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        bark, cloner = (
            Bark.from_pretrained("nano", device="cpu"),
            Cloner.from_pretrained("nano", device="cpu"),
        )
        made = []
        for index, name in enumerate(VOICES):
            voice = cloner.clone(clip(f"{name}_prompt"), sample_rate=24_000).voice
            takes = bark.generate_batch(list(TEXTS), voice, seeds=[index, index + 100])
            made += [(index, text, take.audio) for text, take in zip(TEXTS, takes, strict=True)]
        return made
    finally:
        torch.set_num_threads(threads)


def test_clones_are_nearest_to_their_own_voice(spoken: list[tuple[int, str, np.ndarray]]) -> None:
    embed = VoiceEmbedder()
    references = np.stack([embed(clip(f"{name}_reference")) for name in VOICES])
    found = [nearest_voice(embed(audio), references, voice) for voice, _, audio in spoken]
    assert np.mean([one.margin > 0 for one in found]) >= 0.85
    assert np.mean([one.own for one in found]) >= 0.75


def test_digits_are_understood(spoken: list[tuple[int, str, np.ndarray]]) -> None:
    hear = Recogniser(DIGITS)
    wrong = sum(edit_distance(text.split(), hear(audio)) for _, text, audio in spoken)
    # measured .11, 4 of 36 words (.42 with the first weights)
    assert wrong / sum(len(text.split()) for _, text, _ in spoken) <= 0.25


def test_the_codec_copies_speech() -> None:
    pytest.importorskip("pystoi")
    try:
        codec = find_model("nano").load_codec()
    except MissingFileError as error:
        pytest.skip(str(error))
    original = clip("held_slt_b_reference")
    codes = codec.encode(original)
    assert intelligibility(original, codec.decode(codes)[: len(original)]) >= 0.90
    assert intelligibility(original, codec.decode(codes[:2])[: len(original)]) >= 0.82
