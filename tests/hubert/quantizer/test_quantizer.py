"""Quantizers: gitmylo's files give gitmylo's tokens, ours are readable by gitmylo's reader, pickles are refused."""

import json
import pickle
import runpy
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bark.errors import CheckpointError, MissingFileError, SettingError
from hubert.quantizer.files import load_quantizer
from hubert.quantizer.kmeans import KMeansQuantizer
from hubert.quantizer.languages import LANGUAGES, QUANTIZERS, quantizer_for
from hubert.quantizer.lstm import LSTMQuantizer, read_info
from hubert.quantizer.networks import LSTMNetwork, QuantizerSizes
from tests.conftest import ROOT

HERE = ROOT / "tests" / "golden"
V0_FILE = HERE / "quantizer" / "quantizer_v0.pth"


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def check(quantizer: LSTMQuantizer, file: Path) -> None:
    with np.load(file) as expected:
        for frames in (1, 2, 49, 500):
            features = expected[f"features_{frames}"]
            tokens = quantizer(features)
            assert tokens.dtype == np.int64
            assert np.array_equal(tokens, expected[f"tokens_{frames}"])
            found = log_softmax(quantizer.logits(features))[:50]
            assert np.abs(found - expected[f"logprobs_{frames}"]).max() < 1e-4


def tiny(version: int = 0) -> LSTMQuantizer:
    torch.manual_seed(1)
    return LSTMQuantizer(LSTMNetwork(QuantizerSizes(6, 5, 11, version)))


def test_tokens_equal_gitmylos() -> None:
    quantizer = LSTMQuantizer.load(V0_FILE)
    check(quantizer, HERE / "quantizer" / "quantizer_v0_expected.npz")
    assert quantizer.sizes == QuantizerSizes(48, 24, 100, 0)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("quantizer_v1.pth", "quantizer_v1"),
        ("tokenizer_renamed.pth", "quantizer_v0"),
        ("quantizer_v0_tiny_without_info.pth", "quantizer_v0"),
    ],
)
def test_every_file_equals_gitmylos(golden: Path, file: str, expected: str) -> None:
    check(
        LSTMQuantizer.load(golden / "E_quantizer" / file),
        golden / "E_quantizer" / f"{expected}_expected.npz",
    )


def test_the_whole_path_equals_fairseq_and_gitmylo(golden: Path) -> None:
    from hubert.features import HubertFeatures

    features = HubertFeatures.from_pretrained(golden / "D_hubert" / "hubert_tiny.pt", layer=2)
    for version in (0, 1):
        quantizer = LSTMQuantizer.load(golden / "E_quantizer" / f"quantizer_v{version}.pth")
        expected = np.load(golden / "E_quantizer" / f"quantizer_v{version}_expected.npz")
        for samples in (16000, 33333):
            audio = np.load(golden / "D_hubert" / f"hubert_{samples}.npz")["audio"]
            assert np.array_equal(
                quantizer(features(audio)), expected[f"hubert_layer2_{samples}_tokens"]
            )


@pytest.mark.slow
def test_a_true_size_file_of_the_older_style(golden: Path, tmp_path: Path) -> None:
    weights = runpy.run_path(str(golden / "E_quantizer" / "generate_oldstyle_full.py"))["weights"]()
    torch.save(weights, tmp_path / "old.pth")
    quantizer = LSTMQuantizer.load(tmp_path / "old.pth")
    assert quantizer.sizes == QuantizerSizes()
    with np.load(golden / "E_quantizer" / "oldstyle_full_expected.npz") as expected:
        assert np.array_equal(quantizer(expected["features"]), expected["tokens"])
        found = np.take_along_axis(
            log_softmax(quantizer.logits(expected["features"])), expected["top5_idx"], 1
        )
        assert np.abs(found - expected["top5_logprob"]).max() < 1e-4


@pytest.mark.parametrize("version", [0, 1])
def test_a_batch_is_its_items(version: int) -> None:
    quantizer = tiny(version)
    batch = np.random.default_rng(0).normal(size=(3, 7, 6)).astype(np.float32)
    assert np.array_equal(quantizer(batch), np.stack([quantizer(item) for item in batch]))


@pytest.mark.parametrize("version", [0, 1])
def test_save_then_load_is_the_same_quantizer(tmp_path: Path, version: int) -> None:
    quantizer = tiny(version)
    features = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    path = quantizer.save(tmp_path / "mine.pth")
    again = LSTMQuantizer.load(shutil.copy(path, tmp_path / "renamed.pth"))
    assert again.sizes == quantizer.sizes
    assert np.array_equal(again.logits(features), quantizer.logits(features))
    assert quantizer.save(tmp_path / "same.pth").read_bytes() == path.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "mine.pth",
        "renamed.pth",
        "same.pth",
    ]


def test_gitmylos_reader_finds_what_it_expects(tmp_path: Path) -> None:
    path = tiny(1).save(tmp_path / "mine.pth")
    with zipfile.ZipFile(path) as archive:  # his steps: the first such member, JSON with these four
        member = [name for name in archive.namelist() if name.endswith("/.info")][0]
        info = json.loads(archive.read(member).decode("utf-8"))
    assert info == {"input_size": 6, "hidden_size": 5, "output_size": 11, "version": 1}
    names = torch.load(path, weights_only=True)
    assert {"lstm.weight_ih_l0", "lstm.bias_hh_l1", "intermediate.weight", "fc.bias"} <= set(names)


def test_a_lying_info_is_a_hint_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quantizer = tiny()
    torch.save(quantizer.network.state_dict(), tmp_path / "q.pth")
    assert read_info(tmp_path / "q.pth") == {}
    with zipfile.ZipFile(tmp_path / "q.pth", "a") as archive:
        archive.writestr("q/.info", '{"input_size": 768, "version": 1}')
    assert LSTMQuantizer.load(tmp_path / "q.pth").sizes == quantizer.sizes
    assert "the tensors are" in caplog.text
    for broken in (
        b"\xff",
        b"[" * 100_000,
        b"3",
        b" " * 70_000,
        b'{"version": "1"}',
        b'{"version": -1}',
    ):
        torch.save(quantizer.network.state_dict(), tmp_path / "q.pth")
        with zipfile.ZipFile(tmp_path / "q.pth", "a") as archive:
            archive.writestr("q/.info", broken)
        assert read_info(tmp_path / "q.pth") == {}
        assert LSTMQuantizer.load(tmp_path / "q.pth").sizes == quantizer.sizes


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no file .*nowhere"):
        load_quantizer(tmp_path / "nowhere.pth")
    with pytest.raises(CheckpointError, match="is a HuBERT, not a quantizer"):
        load_quantizer(HERE / "hubert" / "hubert_tiny_fp16.pt")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(
        CheckpointError, match="other.pt is no LSTM quantizer: it lacks 'lstm.weight_ih_l0'"
    ):
        load_quantizer(tmp_path / "other.pt")
    state = tiny().network.state_dict()
    state["fc.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "bent.pt")
    with pytest.raises(CheckpointError, match="does not fit an LSTM quantizer.*fc.bias"):
        load_quantizer(tmp_path / "bent.pt")


def test_features_of_another_hubert_are_refused() -> None:
    for quantizer in (tiny(), KMeansQuantizer(np.ones((3, 6)))):
        with pytest.raises(SettingError, match=r"\(4, 7\).*\(frames, 6\).*HuBERT and the layer"):
            quantizer(np.zeros((4, 7), np.float32))
        with pytest.raises(SettingError, match="wrong shape"):
            quantizer(np.zeros((0, 6), np.float32))
        with pytest.raises(SettingError, match="NaN"):
            quantizer(np.full((4, 6), np.nan, np.float32))


def test_kmeans_labels_equal_scikit_learns(golden: Path, tmp_path: Path) -> None:
    with np.load(golden / "E_quantizer" / "km20_expected.npz") as expected:
        path = KMeansQuantizer(expected["centers"]).save(tmp_path / "km.npz")
        labels = load_quantizer(path)(expected["features"])
        assert labels.dtype == np.int64
        assert np.array_equal(labels, expected["labels"])


def test_a_fitted_kmeans_is_taken_over() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    features = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    fitted = cluster.KMeans(5, n_init=1, random_state=0).fit(features)
    assert np.array_equal(
        KMeansQuantizer(fitted.cluster_centers_)(features), fitted.predict(features)
    )


def test_pickled_kmeans_is_never_opened(golden: Path, tmp_path: Path) -> None:
    for load in (load_quantizer, KMeansQuantizer.load, LSTMQuantizer.load):
        with pytest.raises(
            CheckpointError, match="pickles are never run.*Export its centres.*joblib.load"
        ):
            load(golden / "E_quantizer" / "km20.bin")


class _Marker:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (str(self.path), "w"))


def test_nothing_hidden_in_a_file_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "a.bin").write_bytes(pickle.dumps(_Marker(marker)))
    torch.save({"fc.weight": _Marker(marker)}, tmp_path / "b.pth")
    np.savez(tmp_path / "c.npz", centers=np.array([_Marker(marker)], dtype=object))
    for name in ("a.bin", "b.pth", "c.npz"):
        with pytest.raises(CheckpointError):
            load_quantizer(tmp_path / name)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("centers", "message"),
    [
        (np.zeros(3), "wrong shape"),
        (np.zeros((0, 4)), "wrong shape"),
        (np.full((2, 2), np.nan), "NaN"),
    ],
)
def test_bad_centres_are_refused(tmp_path: Path, centers: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "km.npz", centers=centers)
    with pytest.raises(CheckpointError, match=message):
        KMeansQuantizer.load(tmp_path / "km.npz")


def test_other_npz_files_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "voice.npz", semantic_prompt=np.zeros(3))
    with pytest.raises(CheckpointError, match="holds no k-means"):
        KMeansQuantizer.load(tmp_path / "voice.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "voice.npz").read_bytes()[:50])
    with pytest.raises(CheckpointError, match="cut.npz is damaged or no .npz"):
        KMeansQuantizer.load(tmp_path / "cut.npz")


def test_the_registry_is_whole() -> None:
    assert set(QUANTIZERS) <= set(LANGUAGES)
    for source in QUANTIZERS.values():
        assert source.repo.count("/") == 1
        assert source.file.endswith(".pth")
        assert source.version in (0, 1)
    assert len({(source.repo, source.file) for source in QUANTIZERS.values()}) == len(QUANTIZERS)


def test_languages() -> None:
    assert quantizer_for("de") == (QUANTIZERS["de"], None)
    for language in ("fr", "hi", "ko", "ru", "zh"):
        source, warning = quantizer_for(language)
        assert source == QUANTIZERS["en"]
        assert (
            warning and f"no quantizer is published for {language}" in warning and "pl" in warning
        )
    with pytest.raises(
        SettingError, match="Bark does not speak this language.*'nl'.*en, de, es.*zh"
    ):
        quantizer_for("nl")
