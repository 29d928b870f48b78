"""HuBERT-nano learns phones in a few steps, and its folder turns the corpus into tokens."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.nano.corpus.corpus import UNIT, VoiceAudio, iter_voices
from training.nano.corpus.synthesis import GRID
from training.nano.hubert.crops import Crops, to_listening
from training.nano.hubert.network import Student, new_hubert
from training.nano.hubert.teacher import Teacher, phone_loss
from training.nano.hubert.tokens import Listener, make_tokens, tokenise_voice
from training.nano.hubert.train import (
    HubertOptions,
    StudentObjective,
    main,
    train_hubert,
    train_teacher,
)

TONES = (0.0, 400.0, 1500.0, 3500.0)  # Hz: the "phones" of the made-up voices, 0 is noise


def made_voice(name: str, split: str, seed: int) -> VoiceAudio:
    """A voice of tones, each 200 ms long and labelled with its own phone."""
    rng = np.random.default_rng(seed)
    phones = np.repeat(rng.integers(0, len(TONES), 30), 10).astype(np.uint8)
    hertz = np.repeat(np.array(TONES)[phones], UNIT)
    audio = 0.2 * np.sin(2 * np.pi * np.cumsum(hertz) / 24_000) + 0.01 * rng.standard_normal(
        len(hertz)
    )
    starts = np.array([0, 50 * GRID, len(audio)])
    words, kinds, roles = (np.array([word] * 2) for word in ("tone tone", "open", "train"))
    return VoiceAudio(
        name, split, (audio * 32767).astype(np.int16), starts, words, kinds, roles, phones
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "corpus").mkdir()
    for index, (name, split) in enumerate((("a", "train"), ("b", "train"), ("held_c", "heldout"))):
        voice = made_voice(name, split, index)
        fields = ("audio", "starts", "texts", "kinds", "roles", "phones", "split")
        np.savez(
            folder / "corpus" / f"{name}.npz", **{field: getattr(voice, field) for field in fields}
        )
    return folder


def options(work: Path) -> HubertOptions:
    return HubertOptions(
        work,
        work / "hubert_nano",
        steps=6,
        teacher_steps=4,
        batch=2,
        units=60,
        clusters=6,
        kmeans_crops=4,
    )


def test_teacher_learns_separate_sounds_in_forty_steps(work: Path, tmp_path: Path) -> None:
    known, held_out = (
        Crops(to_listening(iter_voices(work, split))) for split in ("train", "heldout")
    )
    teacher = train_teacher(
        replace(options(work), work=tmp_path, teacher_steps=40, batch=4), known, held_out
    )
    waves, phones = held_out.draw(4, 60, np.random.default_rng(0))
    _, figures = phone_loss(teacher(waves)[1], phones)
    assert figures["accuracy"] > 0.7


def test_student_gets_nearer_to_labels_and_teacher(work: Path, tmp_path: Path) -> None:
    known, held_out = (
        Crops(to_listening(iter_voices(work, split))) for split in ("train", "heldout")
    )
    settings = replace(options(work), work=tmp_path)
    student, objective = (
        Student(new_hubert()),
        StudentObjective(Teacher(), known, None, held_out, settings),
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3)
    batch = objective.batch(np.random.default_rng(0))
    losses = []
    for step in range(8):
        loss, _ = objective.loss(student, batch, step, torch.Generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_train_again_tokens_and_report(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_hubert(options(work))
    written = (work / "hubert_nano" / "kmeans.npz").stat().st_mtime
    train_hubert(options(work))
    assert (work / "hubert_nano" / "kmeans.npz").stat().st_mtime == written, "all was done already"
    folder = work / "hubert_nano"
    assert json.loads((folder / "encoder.json").read_text()) == {"layer": 4, "quantizer": "kmeans"}
    assert (folder / "model.safetensors").stat().st_size < 5_000_000

    assert make_tokens(work, folder, processes=1) == 3
    assert make_tokens(work, folder, processes=1) == 0, "tokens of this listener are there already"
    voice = next(iter_voices(work, "heldout"))
    with np.load(work / "tokens" / f"{voice.name}.npz", allow_pickle=False) as file:
        semantic, starts = file["semantic"], file["starts"]
    assert semantic.dtype == np.uint16 and len(semantic) == len(voice.audio) // UNIT
    assert np.array_equal(starts, voice.starts)
    assert np.array_equal(semantic, tokenise_voice(Listener(folder), voice))

    assert main(["report", "--work", str(work)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clusters"] == 6 and 0 <= report["phone_nmi"] <= 1


def test_no_corpus_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--work", str(tmp_path)]) == 1
    assert "no corpus in" in capsys.readouterr().err
