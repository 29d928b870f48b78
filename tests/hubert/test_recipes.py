"""The cloning recipes of gitmylo's and serp-ai's notebooks, from a recording to a voice that speaks.

Written anew as their user would type them. What is not installed here is the import of torchaudio and
encodec: `bark.suno` has ``load`` and ``convert_audio`` in their place. All weights are tiny, in the real
formats: fairseq's HuBERT, gitmylo's quantizer, encodec's and Suno's files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bark.audio import save_audio
from bark.voice.voice import Voice, resolve_voice
from hubert import hubert_manager
from tests.bark.codec.test_encodec import TH_FILE
from tests.listening import HUBERT_FILE, QUANTIZER_FILE
from tests.speech import voiced
from tests.suno_files import suno_folder

BRIEF = {"silent": True, "max_gen_duration_s": 0.2}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of theirs: weights in ``models``, a recording, a hub that has HuBERT and a quantizer."""
    from bark import generation

    def fetch(repo: str, file: str) -> Path:
        return HUBERT_FILE if file == "pytorch_model.bin" else QUANTIZER_FILE

    monkeypatch.setattr(hubert_manager, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    models = suno_folder(tmp_path / "models")
    shutil.copyfile(TH_FILE, models / "encodec_24khz-tiny.th")
    (models / "vocab.txt").write_text("[UNK]\nHello\n")
    save_audio("audio.wav", voiced(2.0, 44_100), 44_100)
    generation.clean_models()
    return tmp_path


def test_serp_ais_cloning_notebook(workplace: Path) -> None:
    from bark.api import semantic_to_waveform
    from bark.generation import (
        codec_decode,
        generate_coarse,
        generate_fine,
        generate_text_semantic,
        load_codec_model,
        preload_models,
    )
    from bark.suno import convert_audio
    from bark.suno import load as torchaudio_load
    from hubert.customtokenizer import CustomTokenizer
    from hubert.hubert_manager import HuBERTManager
    from hubert.pre_kmeans_hubert import CustomHubert

    # the models that listen
    device = "cpu"
    codec_model = load_codec_model(use_gpu=device == "cuda", path="models")
    manager = HuBERTManager()
    manager.make_sure_hubert_installed()
    manager.make_sure_tokenizer_installed()
    hubert_model = CustomHubert(
        checkpoint_path="data/models/hubert/hubert.pt",
        output_layer=2,  # 9 of the real one
    ).to(device)
    hubert_model.eval()
    for parameter in [*hubert_model.parameters(), *codec_model.parameters()]:
        parameter.requires_grad = False
    tokenizer = CustomTokenizer.load_from_checkpoint("data/models/hubert/tokenizer.pth").to(device)

    # a recording becomes three prompts
    wav, rate = torchaudio_load("audio.wav")
    wav = convert_audio(wav, rate, codec_model.sample_rate, codec_model.channels).to(device)
    vectors = hubert_model.forward(wav, input_sample_hz=codec_model.sample_rate)
    semantic = tokenizer.get_token(vectors).cpu().numpy()
    with torch.no_grad():
        frames = codec_model.encode(wav.unsqueeze(0))
    codes = torch.cat([frame[0] for frame in frames], dim=-1).squeeze()
    codes = codes.cpu().numpy()
    assert codes.shape == (8, 150) and semantic.shape == (99,)

    # saved where their notebook saves it, found by its bare name
    target = workplace / "bark" / "assets" / "prompts" / "output.npz"
    target.parent.mkdir(parents=True)
    np.savez(target, fine_prompt=codes, coarse_prompt=codes[:2, :], semantic_prompt=semantic)
    assert np.array_equal(resolve_voice("output").fine, codes)  # type: ignore[union-attr]

    # and spoken in, simply and with more control
    preload_models(
        text_use_gpu=False, text_use_small=False, coarse_use_gpu=False, coarse_use_small=False,
        fine_use_gpu=False, fine_use_small=False, codec_use_gpu=False, force_reload=False, path="models",
    )  # fmt: skip
    x_semantic = generate_text_semantic(
        "Hello", history_prompt="output", temp=0.7, top_k=50, top_p=0.95, seed=1, **BRIEF
    )
    x_coarse = generate_coarse(
        x_semantic, history_prompt="output", temp=0.7, top_k=50, top_p=0.95, seed=1, silent=True
    )
    x_fine = generate_fine(x_coarse, history_prompt="output", temp=0.5, seed=1)
    audio = codec_decode(x_fine)
    assert audio.dtype == np.float32 and len(audio) == 320 * x_fine.shape[1]
    whole, simple = semantic_to_waveform(
        x_semantic, history_prompt="output", silent=True, output_full=True, seed=1
    )
    assert len(simple) == 320 * whole["fine_prompt"].shape[1] > 0


@pytest.mark.parametrize("large_quantizer", [False, True])
def test_gitmylos_notebook(workplace: Path, large_quantizer: bool) -> None:
    from bark.generation import generate_text_semantic, load_codec_model, load_model
    from bark.suno import convert_audio
    from bark.suno import load as torchaudio_load
    from bark_hubert_quantizer.customtokenizer import CustomTokenizer
    from bark_hubert_quantizer.hubert_manager import HuBERTManager
    from bark_hubert_quantizer.pre_kmeans_hubert import CustomHubert

    device = torch.device("cpu")
    model, local = (
        ("quantifier_V1_hubert_base_ls960_23.pth", "tokenizer_large.pth")
        if large_quantizer
        else ("quantifier_hubert_base_ls960_14.pth", "tokenizer.pth")
    )
    hubert_model = CustomHubert(
        HuBERTManager.make_sure_hubert_installed(), output_layer=2, device=device
    )
    quantizer = CustomTokenizer.load_from_checkpoint(
        HuBERTManager.make_sure_tokenizer_installed(model=model, local_file=local), device
    )
    encodec_model = load_codec_model(path="models")  # for EncodecModel.encodec_model_24khz()
    encodec_model.set_target_bandwidth(6.0)
    encodec_model.to(device)

    wav, rate = torchaudio_load("audio.wav")
    listened = wav.to(device)
    if listened.shape[0] == 2:
        listened = listened.mean(0, keepdim=True)
    tokens = quantizer.get_token(hubert_model.forward(listened, input_sample_hz=rate))
    wav = convert_audio(wav, rate, encodec_model.sample_rate, 1).unsqueeze(0).to(device)
    with torch.no_grad():
        encoded = encodec_model.encode(wav)
    codes = torch.cat([frame[0] for frame in encoded], dim=-1).squeeze()
    np.savez(
        "speaker.npz",
        semantic_prompt=tokens.cpu(),
        fine_prompt=codes.cpu(),
        coarse_prompt=codes.cpu()[:2, :],
    )

    voice = Voice.load("speaker.npz")  # by every strict rule
    assert voice.fine.shape == (8, 150) and len(voice.semantic) == 99
    load_model(use_gpu=False, model_type="text", path="models")
    assert len(generate_text_semantic("Hello", history_prompt="speaker.npz", seed=1, **BRIEF)) <= 10
