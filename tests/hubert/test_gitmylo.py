"""gitmylo's import paths work as his README and serp-ai's notebook use them."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bark.audio.sinc import sinc_resample
from bark.errors import CheckpointError, SettingError
from hubert import hubert_manager
from hubert.customtokenizer import CustomTokenizer, Data, auto_train
from hubert.hubert_manager import HuBERTManager
from hubert.pre_kmeans_hubert import CustomHubert
from hubert.quantizer.languages import QUANTIZERS
from hubert.quantizer.lstm import LSTMQuantizer, read_info
from hubert.quantizer.networks import ContextNetwork, QuantizerSizes
from tests.listening import HUBERT_FILE, QUANTIZER_FILE, golden_encoder
from tests.speech import voiced


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []

    def fetch(repo: str, file: str) -> Path:
        asked.append((repo, file))
        return HUBERT_FILE if file == "pytorch_model.bin" else QUANTIZER_FILE

    monkeypatch.setattr(hubert_manager, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    return asked


def test_the_notebooks_steps(hub: list[tuple[str, str]]) -> None:
    manager = HuBERTManager()
    manager.make_sure_hubert_installed(
        "https://example.org/hubert_base_ls960.pt", "hubert.pt"
    )  # his order
    manager.make_sure_tokenizer_installed()
    hubert_model = CustomHubert(checkpoint_path="data/models/hubert/hubert.pt", output_layer=2).to(
        "cpu"
    )
    tokenizer = CustomTokenizer.load_from_checkpoint("data/models/hubert/tokenizer.pth").to("cpu")
    wav = torch.from_numpy(voiced(1.0, 24_000))[None]  # (1, N), as torchaudio.load gives it
    semantic_vectors = hubert_model.forward(wav, input_sample_hz=24_000)
    semantic_tokens = tokenizer.get_token(semantic_vectors)
    assert semantic_vectors.shape == (49, 48)
    assert semantic_tokens.dtype == torch.int64
    hubert_model.resampler = "soxr"  # as the cloner resamples
    again = tokenizer.get_token(hubert_model.forward(wav, input_sample_hz=24_000))
    expected = golden_encoder().encode(voiced(1.0, 24_000), 24_000)
    assert np.array_equal(again.cpu().numpy(), expected)
    his = hubert_model.features(sinc_resample(wav[0], 24_000, 16_000).numpy())
    assert torch.equal(tokenizer.get_token(torch.from_numpy(his)), semantic_tokens)


def test_the_readmes_steps(hub: list[tuple[str, str]]) -> None:
    hubert_model = CustomHubert(
        HuBERTManager.make_sure_hubert_installed(), output_layer=2, device="cpu"
    )
    path = HuBERTManager.make_sure_tokenizer_installed(
        model="quantifier_V1_hubert_base_ls960_23.pth", local_file="tokenizer_large.pth"
    )
    assert Path(path) == Path("data/models/hubert/tokenizer_large.pth")
    tokenizer = CustomTokenizer.load_from_checkpoint(path, map_location=torch.device("cpu"))
    features = hubert_model.forward(torch.from_numpy(voiced(0.5, 16_000)))
    assert tokenizer.get_token(features).shape == (24,)


def test_files_are_fetched_once_and_languages_do_not_mix(hub: list[tuple[str, str]]) -> None:
    first = HuBERTManager.make_sure_tokenizer_installed()
    assert HuBERTManager.make_sure_tokenizer_installed() == first
    assert len(hub) == 1
    german = QUANTIZERS["de"]
    second = HuBERTManager.make_sure_tokenizer_installed(model=german.file, repo=german.repo)
    assert second != first
    assert hub[1] == (german.repo, german.file)
    assert sorted(file.name for file in Path("data/models/hubert").iterdir()) == [
        german.file,
        "tokenizer.pth",
    ]


def test_features_of_any_shape_and_rate() -> None:
    model = CustomHubert(HUBERT_FILE, output_layer=1)
    wave = torch.from_numpy(voiced(1.0, 16_000))
    mono = model(wave)
    assert torch.equal(model(wave[None]), mono)
    assert torch.equal(model(torch.stack([wave, wave])), mono)  # channels are averaged
    assert model(wave, flatten=False).shape == (1, *mono.shape)
    multiple = CustomHubert(HUBERT_FILE, seq_len_multiple_of=320, output_layer=1)
    assert torch.equal(multiple(wave[:15_999]), model(wave[:15_680]))


@pytest.mark.parametrize("version", [0, 1])
def test_a_tokenizer_of_ones_own_survives_saving(tmp_path: Path, version: int) -> None:
    torch.manual_seed(0)
    mine = CustomTokenizer(hidden_size=5, input_size=6, output_size=7, version=version).train()
    mine.save(tmp_path / "mine.pth")
    assert mine.training and mine.fc.weight.requires_grad  # saving is no end of training
    assert read_info(tmp_path / "mine.pth")["version"] == version
    again = CustomTokenizer.load_from_checkpoint(tmp_path / "mine.pth")
    features = torch.randn(9, 6)
    assert torch.equal(again(features), mine.eval()(features))
    assert torch.allclose(again(features).exp().sum(-1), torch.ones(9))
    assert torch.allclose(
        again(features[None])[0], again(features)
    )  # over the vocabulary in a batch too
    other = CustomTokenizer(5, 6, 7, version)
    other.load_state_dict(torch.load(tmp_path / "mine.pth", weights_only=True))
    assert torch.equal(other.eval().get_token(features), again.get_token(features))


def test_the_default_sizes_are_gitmylos() -> None:
    with torch.device("meta"):
        tokenizer = CustomTokenizer()
    assert sum(weight.numel() for weight in tokenizer.parameters()) == 25_995_024


def test_newer_versions_are_named(tmp_path: Path) -> None:
    LSTMQuantizer(ContextNetwork(QuantizerSizes(6, 4, 7, 2))).save(tmp_path / "v2.pth")
    with pytest.raises(
        CheckpointError, match="v2.pth is of a version this class lacks. Use hubert.LSTMQuantizer"
    ):
        CustomTokenizer.load_from_checkpoint(tmp_path / "v2.pth")
    shutil.copy(HUBERT_FILE, tmp_path / "hubert.pt")
    with pytest.raises(CheckpointError, match="is a HuBERT, not a quantizer"):
        CustomTokenizer.load_from_checkpoint(tmp_path / "hubert.pt")


def windowed_sinc(wave: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Sample by sample in float64: sinc cut off at .99 of the lower Nyquist, six zeros a side."""
    cutoff = 0.99 * min(rate, target)
    times = np.arange(-(-len(wave) * target // rate)) / target
    result = np.zeros(len(times))
    for n, time in enumerate(times):
        x = (np.arange(len(wave)) / rate - time) * cutoff
        near = np.abs(x) < 6
        h = np.sinc(x[near]) * np.cos(np.pi * x[near] / 12) ** 2 * cutoff / rate
        result[n] = wave[near] @ h
    return result


@pytest.mark.parametrize(
    ("rate", "target"), [(24_000, 16_000), (44_100, 16_000), (8_000, 16_000), (48_000, 24_000)]
)
@pytest.mark.parametrize("length", [1, 400, 1234])
def test_his_resampler_is_the_windowed_sinc(rate: int, target: int, length: int) -> None:
    wave = np.random.default_rng(0).normal(0, 0.2, length)
    expected = windowed_sinc(wave, rate, target)
    exact = sinc_resample(torch.from_numpy(wave), rate, target).numpy()
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-12)
    single = sinc_resample(torch.from_numpy(wave.astype(np.float32)), rate, target)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=0, atol=1e-6)


def test_an_unknown_resampler_is_refused() -> None:
    with pytest.raises(SettingError, match="resampler: got 'fft'; allowed: sinc or soxr"):
        CustomHubert(HUBERT_FILE, resampler="fft")
    assert CustomHubert(HUBERT_FILE, output_layer=1).groups == 1


@pytest.mark.parametrize("module", ["customtokenizer", "hubert_manager", "pre_kmeans_hubert"])
def test_his_package_has_the_names_of_ours(module: str) -> None:
    theirs = importlib.import_module(f"bark_hubert_quantizer.{module}")
    ours = importlib.import_module(f"hubert.{module}")
    names = [name for name in vars(theirs) if not name.startswith("_")]
    assert names and all(getattr(theirs, name) is getattr(ours, name) for name in names)


def test_sizes_are_told_as_his_files_and_objects_tell_them(tmp_path: Path) -> None:
    mine = CustomTokenizer(hidden_size=5, input_size=6, output_size=7, version=1)
    told = Data(mine.input_size, mine.hidden_size, mine.output_size, mine.version)
    assert Data.load(told.save()) == told == Data(6, 5, 7, 1)
    assert Data() == Data(768, 1024, 10_000, 0)
    mine.save(tmp_path / "mine.pth")
    assert read_info(tmp_path / "mine.pth") == json.loads(told.save())


def test_his_training_names_the_commands() -> None:
    tokenizer = CustomTokenizer(2, 3, 4)
    for call in (
        tokenizer.prepare_training,
        lambda: tokenizer.train_step(torch.zeros(1, 3), torch.zeros(1)),
        lambda: auto_train("Literature", load_model="model.pth"),
    ):
        with pytest.raises(SettingError, match="is not here. Run: python -m hubert.prepare"):
            call()
