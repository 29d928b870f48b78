"""training.nano.report and training.nano.report.trials: rows, files, and the choice of what is cloned and what is kept for likeness."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("accelerate", reason="the training extra is not installed")

from bark.errors import MissingFileError
from training.nano.report.measures import Figure
from training.nano.report.pictures import draw_spectrograms
from training.nano.report.report import BY_HAND, Row, write_report
from training.nano.report.trials import PROMPT_SECONDS, choose, held_out_voices, recorded_voices


def figure_of(value: float) -> Figure:
    return Figure(value, value - 0.1, value + 0.1, 7)


def test_rows_say_whether_the_target_is_reached(tmp_path: Path) -> None:
    assert Row("STOI", 0.9, figure_of(0.91)).reached == "yes"
    assert Row("STOI", 0.9, figure_of(0.89)).reached == "no"
    assert Row("WER", 0.12, figure_of(0.2), above=False).reached == "no"
    assert Row("WER", 0.12, figure_of(0.1), above=False).reached == "yes"
    assert Row("WER", None, figure_of(0.1)).reached == "-"
    path = tmp_path / "REPORT.md"
    write_report(path, [Row("WER", 0.12, figure_of(0.1), above=False)], ["A note."])
    assert "| WER | ≤ 0.12 | 0.100 (0.000 to 0.200; n = 7) | yes |" in path.read_text()
    assert path.read_text().endswith("A note.\n\n")
    path.write_text(path.read_text() + BY_HAND + "\nReading is.\n")
    write_report(path, [], ["Another note."])
    assert path.read_text().endswith(f"Another note.\n\n{BY_HAND}\nReading is.\n")


def test_held_out_prompts_and_references_are_different_utterances(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    count, length = 12, 48_000
    audio = np.repeat(np.arange(1, count + 1), length).astype(
        np.int16
    )  # each utterance has its own level
    np.savez(
        tmp_path / "corpus" / "held_a.npz",
        audio=audio, starts=np.arange(count + 1) * length, texts=np.array([f"text {i}" for i in range(count)]),
        kinds=np.array(["digits"] * 6 + ["open"] * 6), roles=np.array(["prompt"] * 8 + ["test"] * 4),
        phones=np.zeros(count * length // 480, np.uint8), split=np.array("heldout"), recipe=np.array("{}"),
    )  # fmt: skip
    (voice,) = held_out_voices(tmp_path)
    levels = {round(float(level) * 32768) for level in np.unique(voice.prompt)}
    others = {round(float(clip[0]) * 32768) for clip in voice.references}
    assert len(voice.prompt) >= PROMPT_SECONDS * 24_000
    assert levels | others == set(range(1, 9)) and not levels & others
    assert [text for _, text, _ in voice.tests] == ["text 8", "text 9", "text 10", "text 11"]
    assert [text for _, text, _ in choose(voice, ("open", "digits"), 2)] == ["text 8", "text 9"]


def test_real_speakers_are_folders(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no speakers in"):
        recorded_voices(tmp_path)
    (tmp_path / "ann").mkdir()
    for index, seconds in enumerate((2, 7, 3)):
        soundfile.write(tmp_path / "ann" / f"{index}.flac", np.full(16_000 * seconds, 0.1), 16_000)
    (voice,) = recorded_voices(tmp_path)
    assert voice.name == "ann" and len(voice.prompt) == PROMPT_SECONDS * 24_000
    assert [len(clip) for clip in voice.references] == [48_000, 72_000]


def test_spectrograms_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    noise = np.random.default_rng(0).normal(size=30_000)
    path = tmp_path / "picture.png"
    draw_spectrograms(path, [("ann", noise, noise[:9000]), ("bob", noise, noise)])
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 10_000
