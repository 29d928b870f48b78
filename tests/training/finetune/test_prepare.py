"""training.finetune.prepare: both layouts, every bad line named by number, nothing finished is done twice."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark.errors import CheckpointError, MissingFileError, SettingError, StorageError
from bark.text.english.phones import PhoneTokenizer
from bark.voice.voice import Voice
from hubert.clone import Cloner
from hubert.encoder import SemanticEncoder
from tests.conftest import contents
from tests.listening import make_tiny_hubert
from tests.speech import phrase
from tests.tiny import LAYOUT, make_tiny_model
from training.finetune import encode as prepare_module
from training.finetune.data import Entry, VoiceData, split_entries
from training.finetune.encode import PrepareReport, prepare, summary
from training.finetune.prepare import main
from training.finetune.transcripts import read_transcript

TEXTS = ("one two three", "Dr. Bell has 2 cats.", "four five", "never mind the rain")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    make_tiny_hubert(folder / "hubert", LAYOUT.semantic_vocab)
    return folder


@pytest.fixture(scope="module")
def cloner(model: Path) -> Cloner:
    return Cloner.from_pretrained(model, device="cpu")


def write_recordings(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    names = []
    for number in range(4):
        names.append(f"u{number}")
        audio = phrase([(0.6 + 0.2 * number, 0.1)], 22_050)
        soundfile.write(folder / f"u{number}.wav", audio, 22_050)
    return names


@pytest.fixture
def ljspeech(tmp_path: Path) -> Path:
    """Four recordings as LJSpeech lays them out; the third column, where there is one, is what was said."""
    folder = tmp_path / "lj"
    write_recordings(folder / "wavs")
    rows = [
        f"u0|{TEXTS[0]}|",
        f"u1|Dr. Bell's 2|{TEXTS[1]}",
        f"u2.wav|{TEXTS[2]}",
        f"u3|{TEXTS[3]}|{TEXTS[3]}",
    ]
    (folder / "metadata.csv").write_text("\ufeff" + "\r\n".join(rows) + "\r\n", "utf-8")
    return folder


def run(folder: Path, out: Path, cloner: Cloner, **options: Any) -> PrepareReport:
    return prepare(folder, out, cloner, PhoneTokenizer(), **options)


def test_a_line_becomes_text_and_a_whole_history_prompt(
    ljspeech: Path, cloner: Cloner, tmp_path: Path
) -> None:
    report = run(ljspeech, tmp_path / "out", cloner)
    assert (report.lines, report.computed, report.kept, report.refused) == (4, 4, 0, ())
    data = VoiceData.load(tmp_path / "out")
    assert data == report.data and data.layout == LAYOUT
    assert [entry.text for entry in data.entries] == list(TEXTS)
    for number, entry in enumerate(data.entries):
        assert entry.text_ids == tuple(PhoneTokenizer().encode(TEXTS[number]))
        voice = Voice.load(data.path(entry), LAYOUT)  # any of them can be spoken with
        seconds = len(soundfile.read(ljspeech / "wavs" / f"u{number}.wav")[0]) / 22_050
        assert (
            abs(voice.seconds(LAYOUT) - seconds) < 0.06
        )  # the whole recording, not a window of it
        assert len(voice.semantic) % 2 == 0 and 2 * voice.fine.shape[1] == 3 * len(voice.semantic)
        example = data.example(entry)
        np.testing.assert_array_equal(example.semantic, voice.semantic)
        np.testing.assert_array_equal(example.codes, voice.fine)
    assert report.seconds == pytest.approx(sum(entry.frames for entry in data.entries) / 75)


def test_path_and_text_give_the_same_tokens(ljspeech: Path, cloner: Cloner, tmp_path: Path) -> None:
    theirs = tmp_path / "serp"
    (theirs / "a").mkdir(parents=True)
    for wav in (ljspeech / "wavs").iterdir():
        (theirs / "a" / wav.name).write_bytes(wav.read_bytes())
    outside = theirs / "a" / "u3.wav"
    rows = [
        f"a/u0.wav|{TEXTS[0]}",
        f"./a/u1.wav|{TEXTS[1]}",
        f"a/u2.wav | {TEXTS[2]}",
        f"{outside}|{TEXTS[3]}",
    ]
    (theirs / "train.txt").write_text("\n\n".join(rows), "utf-8")
    first = run(ljspeech, tmp_path / "one", cloner).data
    second = run(theirs, tmp_path / "two", cloner).data
    assert [entry.digest for entry in first.entries] == [entry.digest for entry in second.entries]
    assert [entry.text_ids for entry in first.entries] == [
        entry.text_ids for entry in second.entries
    ]
    assert [entry.line for entry in second.entries] == [1, 3, 5, 7]
    assert second.entries[0].name == "a_u0"


def plant_bad_lines(folder: Path) -> list[str]:
    """Add lines that cannot be used to good LJSpeech material, from line 5 on; return what each is told."""
    wavs = folder / "wavs"
    (wavs / "noise.wav").write_bytes(b"this is no sound")
    soundfile.write(wavs / "silent.wav", np.zeros(22_050), 22_050)
    soundfile.write(wavs / "short.wav", phrase([(0.2, 0.1)], 22_050), 22_050)
    soundfile.write(wavs / "long.wav", phrase([(0.9, 0.2)] * 30, 22_050), 22_050)
    soundfile.write(wavs / "fast.wav", phrase([(0.6, 0.1)], 22_050), 22_050)
    soundfile.write(wavs / "signs.wav", phrase([(0.7, 0.1)], 22_050), 22_050)
    rows: list[tuple[bytes, str]] = [
        (b"no bar at all", "has 1 fields; allowed: id|text or id|text|normalised text"),
        (b"u0|a|b|c", "has 4 fields"),
        (b"|who said this?", "names no recording"),
        (b"u9| |", "has no text"),
        (b"u9|gone", "there is no such recording: got u9"),
        (b"u1.wav|again", "the same recording as line 2: got u1"),
        (b"u2|caf\xe9", "is not UTF-8 at byte 6"),
        (b"noise|a fine day", "noise.wav: is not recognised as audio"),
        (b"silent|a fine day", "silent.wav: is silent"),
        (b"short|a fine day", "short.wav: its length: got 0.3 s; allowed: 0.5 … 30.0 s"),
        (b"long|a fine day", "long.wav: its length: got 33.0 s"),
        (b"fast|" + b"much too much text for so little sound", "38 characters in 0.7 s: nobody speaks so fast"),
        (b"signs|?!...", "signs.wav: nothing in the text can be spoken"),
    ]  # fmt: skip
    path = folder / "metadata.csv"
    path.write_bytes(path.read_bytes() + b"\n".join(row for row, _ in rows))
    return [told for _, told in rows]


def test_every_bad_line_is_named_and_the_rest_is_used(
    ljspeech: Path, cloner: Cloner, tmp_path: Path
) -> None:
    told = plant_bad_lines(ljspeech)
    report = run(ljspeech, tmp_path / "out", cloner)
    assert len(report.data.entries) == 4 and report.lines == 4 + len(told)
    assert [bad.line for bad in report.refused] == list(range(5, 5 + len(told)))
    for bad, expected in zip(report.refused, told, strict=True):
        assert expected in bad.why
        assert str(tmp_path) not in bad.why
    written = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert written["refused"] == [asdict(bad) for bad in report.refused]
    assert (written["lines"], written["usable"], written["train"], written["validation"]) == (
        17,
        4,
        3,
        1,
    )
    assert sorted(path.name for path in (tmp_path / "out" / "tokens").iterdir()) == [
        f"u{n}.npz" for n in range(4)
    ]


def test_long_lines_teach_the_acoustic_stages_only(
    ljspeech: Path, cloner: Cloner, tmp_path: Path
) -> None:
    soundfile.write(
        ljspeech / "wavs" / "slow.wav", phrase([(2.2, 0.3)], 22_050), 22_050
    )  # over 100 tokens
    with (ljspeech / "metadata.csv").open("a") as file:
        file.write("slow|a fine day\n")
    report = run(ljspeech, tmp_path / "out", cloner)
    assert [bad.line for bad in report.acoustic_only] == [5]
    data = report.data
    assert sum(map(len, data.split("semantic"))) == 4
    assert sum(map(len, data.split("coarse"))) == 5


def test_what_is_finished_is_kept(
    ljspeech: Path, cloner: Cloner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    made = prepare_module._tokens

    def full_disk(recording: Path, *others: Any) -> Voice:
        if recording.stem == "u2":
            raise StorageError("cannot write", "no space left")
        return made(recording, *others)

    monkeypatch.setattr(prepare_module, "_tokens", full_disk)
    with pytest.raises(StorageError, match="no space left"):
        run(ljspeech, out, cloner)
    assert not (out / "data.json").exists()
    monkeypatch.setattr(prepare_module, "_tokens", made)
    report = run(ljspeech, out, cloner)
    assert (report.computed, report.kept) == (2, 2)
    before = contents(out)
    assert (run(ljspeech, out, cloner).kept, contents(out)) == (4, before)

    metadata = ljspeech / "metadata.csv"
    metadata.write_text(metadata.read_text("utf-8").replace("four five", "four five six"), "utf-8")
    again = run(ljspeech, out, cloner)  # a corrected text costs nothing
    assert again.kept == 4 and again.data.fingerprint != report.data.fingerprint
    soundfile.write(ljspeech / "wavs" / "u0.wav", phrase([(1.0, 0.1)], 22_050), 22_050)
    (out / "tokens" / "u1.npz").write_bytes(b"damaged")
    assert run(ljspeech, out, cloner).computed == 2


def test_other_encoders_make_other_tokens(ljspeech: Path, cloner: Cloner, tmp_path: Path) -> None:
    class Other(SemanticEncoder):
        def encode(self, audio: np.ndarray, sample_rate: int = 16_000) -> np.ndarray:
            return (super().encode(audio, sample_rate) + 1) % LAYOUT.semantic_vocab

    other = Other(cloner.encoder.features, cloner.encoder.quantizer)
    first = run(ljspeech, tmp_path / "out", cloner).data
    report = run(ljspeech, tmp_path / "out", replace(cloner, encoder=other))
    assert report.computed == 4 and report.data.fingerprint != first.fingerprint


def test_the_split_depends_on_the_names_and_has_the_share_asked_for() -> None:
    entries = [Entry(f"line-{number}", number, "a", (1,), 10, 15, "d") for number in range(200)]
    train, validation = split_entries(entries, 0.1)
    assert len(validation) == 20 and not set(train) & set(validation)
    assert set(split_entries(entries[::-1], 0.1)[1]) == set(validation)
    for share in (1e-9, 1 - 1e-9):  # one of each at least
        assert min(map(len, split_entries(entries[:3], share))) == 1


def serp(folder: Path, source: Path, train: str, valid: str) -> Path:
    """Lay the recordings of `source` out as serp-ai's notebook does: train.txt and valid.txt."""
    folder.mkdir()
    for name, numbers in (("train.txt", train), ("valid.txt", valid)):
        lines = [f"{source}/wavs/u{n}.wav|{TEXTS[int(n)]}" for n in numbers]
        (folder / name).write_text("\n".join(lines), "utf-8")
    return folder


def test_the_lines_of_valid_txt_validate_and_no_others(
    ljspeech: Path, cloner: Cloner, tmp_path: Path
) -> None:
    data = VoiceData.load(
        run(serp(tmp_path / "a", ljspeech, "01", "23"), tmp_path / "out", cloner).data.folder
    )
    for stage in ("coarse", "fine"):
        train, validation = data.split(stage)
        assert [entry.text for entry in train] == list(TEXTS[:2])
        assert [entry.text for entry in validation] == list(TEXTS[2:4])
    again = run(serp(tmp_path / "b", ljspeech, "012", "3"), tmp_path / "out", cloner)
    assert again.computed == 0 and again.data.fingerprint != data.fingerprint


def test_faults_of_valid_txt_are_named_by_its_lines(
    ljspeech: Path, cloner: Cloner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(serp(tmp_path / "a", ljspeech, "012", "23"), tmp_path / "out", cloner)
    assert [(bad.transcript, bad.line) for bad in report.refused] == [("valid.txt", 1)]
    assert "the same recording as line 3 of train.txt" in report.refused[0].why
    told = summary(report)
    assert "1 validate, as valid.txt says" in told and "valid.txt line 1: " in told
    with pytest.raises(SettingError, match="train.txt and valid.txt: got 3 and 0; allowed: 1 or"):
        run(serp(tmp_path / "b", ljspeech, "012", "2"), tmp_path / "out2", cloner)


def test_what_cannot_be_trained_on_is_refused(
    ljspeech: Path, cloner: Cloner, tmp_path: Path
) -> None:
    with pytest.raises(MissingFileError, match=r"no transcript in .*allowed: metadata.csv"):
        read_transcript(tmp_path)
    with pytest.raises(SettingError, match="validation: got 1.5"):
        run(ljspeech, tmp_path / "out", cloner, validation=1.5)
    (ljspeech / "metadata.csv").write_text("u0|one\nu9|two\n")
    with pytest.raises(
        SettingError, match=r"usable lines .*got 1; line 2: there is no such recording: got u9"
    ):
        run(ljspeech, tmp_path / "out", cloner)
    with pytest.raises(MissingFileError, match="no prepared data"):
        VoiceData.load(tmp_path)
    entry = {"name": "a", "line": 1, "text": "x", "text_ids": [1], "tokens": 1, "frames": 1,
             "digest": "0" * 64}  # fmt: skip
    good = {"format_version": 1, "model": "nano", "layout": {}, "validation": 0.1}
    for wrong, message in (
        ({"entries": [{}]}, r"entries\[0\].*name"),
        ({"entries": [entry | {"name": "../../secret"}]}, "name of a file beside it"),
        ({"entries": [entry | {"text_ids": [-1]}]}, "text_ids"),
        ({"entries": [entry], "layout": {"fine_books": 10**9}}, "fine_books.*prepare again"),
        ({"entries": [entry], "format_version": 2}, "format_version: got 2"),
    ):
        (tmp_path / "data.json").write_text(json.dumps(good | wrong))
        with pytest.raises(CheckpointError, match=message):
            VoiceData.load(tmp_path)


def test_the_command(
    ljspeech: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (ljspeech / "metadata.csv").open("a") as file:
        file.write("u9|gone\n")
    words = [
        str(ljspeech),
        "--out",
        str(tmp_path / "out"),
        "--model",
        str(model),
        "--device",
        "cpu",
    ]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(
        "4 of 5 lines, 0.1 min: 4 computed, 0 kept; 3 train, 1 validate\n"
    )
    assert "metadata.csv line 5: there is no such recording: got u9" in captured.out
    assert main([str(tmp_path / "none"), *words[1:]]) == 2
    assert "no folder" in capsys.readouterr().err
    assert main([*words, "--quantizer", str(tmp_path / "none.pth")]) == 2
    assert "none.pth" in capsys.readouterr().err
