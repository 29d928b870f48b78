"""The semantic encoder: features and quantizer that belong together, chosen by model and language."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bark.audio.read import load_audio
from bark.errors import CheckpointError, MissingFileError, SettingError
from hubert import encoder as encoder_module
from hubert.encoder import SemanticEncoder, hub_files, hubert_folder
from hubert.features import HUB_REPO, NANO, HubertFeatures
from hubert.quantizer.kmeans import KMeansQuantizer
from hubert.quantizer.languages import QUANTIZERS
from hubert.quantizer.lstm import LSTMQuantizer
from tests.conftest import ROOT
from tests.listening import HUBERT_FILE, QUANTIZER_FILE, golden_encoder, make_tiny_hubert
from tests.speech import voiced
from tests.tiny import make_tiny_model


def test_encode_is_the_quantizer_of_the_features() -> None:
    encoder = golden_encoder()
    audio = voiced(1.0, 16_000)
    tokens = encoder.encode(audio)
    assert tokens.dtype == np.int64
    assert tokens.shape == (49,)
    assert np.array_equal(tokens, encoder.quantizer(encoder.features(audio)))


def test_other_rates_are_resampled() -> None:
    encoder = golden_encoder()
    tokens = encoder.encode(voiced(1.0, 24_000), 24_000)
    same = encoder.encode(voiced(1.0, 16_000), 16_000)
    assert tokens.shape == same.shape


def test_parts_that_do_not_belong_together_are_refused() -> None:
    features = HubertFeatures.from_pretrained(HUBERT_FILE, 1)
    with pytest.raises(
        CheckpointError, match="do not belong together.*6-wide features and a HuBERT of 48"
    ):
        SemanticEncoder(features, KMeansQuantizer(np.ones((2, 6))))


def test_our_folder_says_its_layer_and_quantizer(tmp_path: Path) -> None:
    folder = make_tiny_hubert(tmp_path)
    encoder = SemanticEncoder.from_pretrained(folder)
    assert encoder.features.layer == 2
    assert isinstance(encoder.quantizer, KMeansQuantizer)
    assert encoder.note is None
    assert len(set(encoder.encode(voiced(1.0, 16_000)).tolist())) > 1
    assert "English" in (SemanticEncoder.from_pretrained(folder, "de").note or "")
    with pytest.raises(SettingError, match="Bark does not speak"):
        SemanticEncoder.from_pretrained(folder, "xx")

    (folder / "encoder.json").write_text(json.dumps({"layer": 2, "quantizer": "magic"}))
    with pytest.raises(
        CheckpointError, match="encoder.json: quantizer: got 'magic'; allowed: kmeans or lstm"
    ):
        SemanticEncoder.from_pretrained(folder)
    (folder / "encoder.json").write_text(json.dumps({"layer": 2, "quantizer": "lstm"}))
    assert isinstance(
        SemanticEncoder.from_pretrained(folder, quantizer="kmeans").quantizer, KMeansQuantizer
    )
    with pytest.raises(MissingFileError, match="quantizer.pth"):
        SemanticEncoder.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="do not belong together"):
        SemanticEncoder.from_pretrained(folder, quantizer=QUANTIZER_FILE)


def test_a_model_leads_to_its_hubert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hubert_folder("large") is None
    assert hubert_folder("small") is None
    assert hubert_folder("nano") == NANO
    folder = make_tiny_model(tmp_path / "bark")
    assert hubert_folder(folder) == NANO  # its codec is nano's
    own = make_tiny_hubert(folder / "hubert")
    assert hubert_folder(folder) == own
    assert hubert_folder(own) == own
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hubert_folder("~/bark") == own


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """Stand in for the hub: HuBERT base is the tiny one, every quantizer the golden one; returns what was asked."""
    asked: list[tuple[str, str]] = []

    def fetch(repo: str, file: str) -> Path:
        asked.append((repo, file))
        return QUANTIZER_FILE

    real = HubertFeatures.from_pretrained

    def load(name: str, layer: int | None = None, **options: str) -> HubertFeatures:
        asked.append((name, ""))
        return real(HUBERT_FILE, 2)

    monkeypatch.setattr(encoder_module, "fetch", fetch)
    monkeypatch.setattr(HubertFeatures, "from_pretrained", load)
    return asked


def test_languages_choose_the_quantizer(hub: list[tuple[str, str]]) -> None:
    encoder = SemanticEncoder.from_pretrained("large", "pl")
    assert hub == [(QUANTIZERS["pl"].repo, QUANTIZERS["pl"].file), (HUB_REPO, "")]
    assert isinstance(encoder.quantizer, LSTMQuantizer)
    assert encoder.note is None
    french = SemanticEncoder.from_pretrained("large", "fr")
    assert hub[2] == (QUANTIZERS["en"].repo, QUANTIZERS["en"].file)
    assert "no quantizer is published for fr" in (french.note or "")
    with pytest.raises(SettingError, match="Bark does not speak"):
        SemanticEncoder.from_pretrained("large", "nl")
    assert len(hub) == 4  # nothing was fetched for that


def test_a_quantizer_of_ones_own_needs_no_other(hub: list[tuple[str, str]]) -> None:
    encoder = SemanticEncoder.from_pretrained("large", "fr", quantizer=QUANTIZER_FILE)
    assert hub == [(HUB_REPO, "")]
    assert encoder.note is None


def test_a_trained_quantizer_brings_its_hubert_layer_and_shift(tmp_path: Path) -> None:
    file = Path(shutil.copy(QUANTIZER_FILE, tmp_path / "quantizer.pth"))
    settings = {"encoder": {"hubert": str(HUBERT_FILE), "layer": 1}, "shift": 1}
    (tmp_path / "quantizer.json").write_text(json.dumps(settings))
    assert hub_files("large", "en", file) == []
    encoder = SemanticEncoder.from_pretrained("large", quantizer=file)
    assert (encoder.features.layer, encoder.shift) == (1, 1)
    audio = voiced(1.0, 16_000)
    named = encoder.quantizer(encoder.features(audio))
    assert np.array_equal(encoder.encode(audio), [*named[1:], named[-1]])
    encoder.shift = -1
    assert np.array_equal(encoder.encode(audio), [named[0], *named[:-1]])
    (tmp_path / "quantizer.json").write_text('{"shift": 99}')
    with pytest.raises(CheckpointError, match="quantizer.json is damaged"):
        SemanticEncoder.from_pretrained("large", quantizer=file)


def test_what_is_needed_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    base = [(HUB_REPO, "config.json"), (HUB_REPO, "pytorch_model.bin")]
    assert hub_files("large", "it", None) == [*base, (QUANTIZERS["it"].repo, QUANTIZERS["it"].file)]
    assert hub_files("large", "it", "mine.pth") == base
    assert hub_files("nano", "en", None) == []


def test_int8_gives_nearly_the_same_tokens(pretended_cpu: set[str]) -> None:
    """nano's two quantizers on the bundled recording; a quantised HuBERT is for a CPU only."""
    audio = load_audio(ROOT / "booth" / "samples" / "reference.flac", 16_000)[:48_000]
    for quantizer in ("kmeans", "lstm"):
        exact, small = (
            SemanticEncoder.from_pretrained("nano", quantizer=quantizer, dtype=dtype).encode(audio)
            for dtype in ("auto", "int8")
        )
        assert exact.shape == small.shape
        assert np.mean(exact == small) > 0.85
    with pytest.raises(SettingError, match="int8 is for a CPU"):
        SemanticEncoder.from_pretrained("nano", device="cuda", dtype="int8")
