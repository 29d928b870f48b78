"""transformers' own pipeline and processor speak from a converted folder, with voices saved here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bark.checkpoints.find import find_model
from bark.convert import convert
from tests.made_voices import make

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "Hello")
SHORT = {"semantic_max_new_tokens": 6, "do_sample": False}


@pytest.fixture(scope="module")
def source(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Suno's tiny golden checkpoints, with a codec and a vocabulary beside them."""
    folder = tmp_path_factory.mktemp("suno")
    for name in ("text", "coarse", "fine"):
        (folder / f"{name}.pt").symlink_to(golden / f"A_suno_checkpoints/{name}.pt")
    codec = golden / "F_encodec/encodec_24khz_tiny-76c38443.th"
    (folder / "encodec_24khz.th").symlink_to(codec)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in Hugging Face's layout."""
    return convert(source, tmp_path_factory.mktemp("hf") / "bark", "hf")


def spoken(tts: Any, **preset: Any) -> np.ndarray:
    torch.manual_seed(0)  # the fine stage draws
    made = tts("Hello world", preprocess_params=preset, generate_kwargs=SHORT)
    assert made["sampling_rate"] == 24_000
    return made["audio"]


def test_their_pipeline_speaks_with_our_voices(folder: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    voice = make(120)
    voice.export_hf(folder, "me")
    tts = pipeline("text-to-speech", model=str(folder))
    by_file = spoken(tts, voice_preset=str(voice.save(tmp_path / "me.npz")))
    assert len(by_file) > 1000
    assert np.array_equal(spoken(tts, voice_preset="me"), by_file)
    assert np.array_equal(spoken(tts, voice_preset=voice.to_hf_preset()), by_file)
    assert not np.array_equal(spoken(tts)[:1000], by_file[:1000])


def test_the_folder_has_a_vocabulary_for_both_loaders(folder: Path) -> None:
    from transformers import AutoProcessor

    theirs = AutoProcessor.from_pretrained(folder).tokenizer
    ours = find_model(folder).load_tokenizer()
    for text in ("Hello world", "hello Hello", "HELLO"):  # capitals count
        ids = theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text) == ids
    assert ours.encode("Hello") == [WORDS.index("Hello")]


def test_a_folder_without_a_vocabulary_is_said(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "empty"))
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in source.iterdir():
        if file.name != "vocab.txt":
            (bare / file.name).symlink_to(file)
    convert(bare, tmp_path / "hf", "hf")
    assert "the new folder has no vocabulary" in caplog.text and "hf download" in caplog.text
