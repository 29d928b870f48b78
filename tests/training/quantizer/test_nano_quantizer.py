"""nano speaks pairs and learns to hear them: the recipe of its own LSTM quantizer."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("accelerate", reason="the training extra is not installed")

from hubert.encoder import SemanticEncoder
from hubert.features import HubertFeatures
from hubert.quantizer.lstm import LSTMQuantizer
from tests.listening import make_tiny_hubert
from tests.pairs import make_dataset
from tests.speech import voiced
from training.nano.quantizer import QuantizerOptions, speak_pairs, train_quantizer
from training.quantizer.dataset import PreparedDataset


def test_nano_speaks_pairs_and_hears_them(tmp_path: Path) -> None:
    dataset = speak_pairs("nano", "nano", tmp_path, 3)
    assert len(dataset.entries) == 3 and dataset.vocabulary == 250
    kmeans = SemanticEncoder.from_pretrained("nano").quantizer
    for entry in dataset.entries:
        features, tokens = dataset.read(entry)
        length = min(len(features), len(tokens))
        assert (
            np.mean(kmeans(features[:length]) == tokens[:length]) > 0.4
        )  # hardly by chance, among 250
    again = speak_pairs("nano", "nano", tmp_path, 3)
    assert again.fingerprint == dataset.fingerprint, "all was done already"


def test_the_quantizer_lies_beside_the_kmeans_in_half_precision(tmp_path: Path) -> None:
    hubert = make_tiny_hubert(tmp_path / "hubert")
    width = HubertFeatures.from_pretrained(hubert).dim
    made = make_dataset(tmp_path / "pairs", 12)
    assert isinstance(made, PreparedDataset) and made.feature_dim != width
    options = QuantizerOptions(steps=6, hidden_size=8, device="cpu")
    found = train_quantizer(made, tmp_path / "run", hubert, options)
    assert found.pairs == len(made.split("test"))
    path = hubert / "quantizer.pth"
    written = LSTMQuantizer.load(path)
    parameters = sum(p.numel() for p in written.network.parameters())
    stored = (
        sum(t.nbytes for t in written.datastore.state_dict().values()) if written.datastore else 0
    )
    assert path.stat().st_size < 2 * parameters + stored + 12_000  # and headers
    (hubert / "encoder.json").write_text(json.dumps({"layer": 2, "quantizer": "lstm"}))
    with pytest.raises(
        Exception, match="do not belong together"
    ):  # it was trained on other features
        SemanticEncoder.from_pretrained(hubert)
    assert len(
        SemanticEncoder.from_pretrained(hubert, quantizer="kmeans").encode(voiced(1.0, 16_000))
    )
