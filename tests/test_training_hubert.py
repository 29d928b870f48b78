"""HuBERT-nano learns phones in a few steps, resumes, and its folder turns the corpus into tokens."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.corpus import UNIT, VoiceAudio, iter_voices
from training.crops import Crops, to_listening
from training.hubert import HubertOptions, main, train_hubert
from training.synthesis import GRID
from training.teacher import train_teacher
from training.tokens import Listener, load_tokens, make_tokens, tokenise_voice

TONES = (0.0, 400.0, 1500.0, 3500.0)  # Hz: the "phones" of the made-up voices, 0 is noise


def made_voice(name: str, split: str, seed: int) -> VoiceAudio:
    """A voice of tones, each 200 ms long and labelled with its own phone."""
    rng = np.random.default_rng(seed)
    phones = np.repeat(rng.integers(0, len(TONES), 30), 10).astype(np.uint8)
    hertz = np.repeat(np.array(TONES)[phones], UNIT)
    audio = 0.2 * np.sin(2 * np.pi * np.cumsum(hertz) / 24_000) + 0.01 * rng.standard_normal(len(hertz))
    starts = np.array([0, 50 * GRID, len(audio)])
    words, kinds, roles = (np.array([word] * 2) for word in ("tone tone", "open", "train"))
    return VoiceAudio(name, split, (audio * 32767).astype(np.int16), starts, words, kinds, roles, phones)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "corpus").mkdir()
    for index, (name, split) in enumerate((("a", "train"), ("b", "train"), ("held_c", "heldout"))):
        voice = made_voice(name, split, index)
        fields = ("audio", "starts", "texts", "kinds", "roles", "phones", "split")
        np.savez(folder / "corpus" / f"{name}.npz", **{field: getattr(voice, field) for field in fields})
    return folder


def options(work: Path) -> HubertOptions:
    return HubertOptions(
        work, work / "hubert_nano", steps=6, teacher_steps=4, batch=2, units=60, clusters=6, kmeans_crops=4,
        save_every=3,
    )  # fmt: skip


def test_teacher_learns_separate_sounds_in_forty_steps(work: Path) -> None:
    voices = to_listening(iter_voices(work, "train"))
    teacher = train_teacher(Crops(voices, seed=0), steps=40, batch=4, units=60)
    waves, phones = Crops(voices, seed=1).draw(4, 60)
    _, logits = teacher(waves)
    assert (logits.argmax(2) == phones).float().mean() > 0.7


def test_train_resume_tokens_and_report(
    work: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    train_hubert(replace(options(work), steps=3))
    with caplog.at_level(logging.INFO):
        train_hubert(options(work))  # goes on at step 3
    assert "student step 0" not in caplog.text
    folder = work / "hubert_nano"
    assert json.loads((folder / "encoder.json").read_text()) == {"layer": 4, "quantizer": "kmeans"}
    assert (folder / "model.safetensors").stat().st_size < 5_000_000

    assert make_tokens(work, folder, processes=1) == 3
    assert make_tokens(work, folder, processes=1) == 0, "tokens of this listener are there already"
    voice = next(iter_voices(work, "heldout"))
    semantic, starts = load_tokens(work, voice.name)
    assert semantic.dtype == np.uint16 and len(semantic) == len(voice.audio) // UNIT
    assert np.array_equal(starts, voice.starts)
    assert np.array_equal(semantic, tokenise_voice(Listener(folder), voice))

    assert main(["report", "--work", str(work)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clusters"] == 6 and 0 <= report["phone_nmi"] <= 1


def test_no_corpus_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--work", str(tmp_path)]) == 1
    assert "no corpus in" in capsys.readouterr().err
