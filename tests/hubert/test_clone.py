"""Cloning: one window, two resamplings from the source, a voice that Suno's rules accept."""

import os
import re
import subprocess
import sys
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from bark.audio.read import load_audio, resample
from bark.errors import AudioError, MissingFileError, SettingError
from bark.tokens import BARK
from bark.voice.voice import Voice
from booth.cli.clone import main
from hubert import clone as clone_module
from hubert.clone import Cloner, clone_voice
from hubert.reference import examine
from hubert.reference.source import open_source
from tests.conftest import ROOT
from tests.listening import golden_codec, golden_encoder, make_hub_cache, make_tiny_hubert
from tests.speech import phrase, voiced
from tests.tiny import LAYOUT, make_tiny_model

CLEAN = [(1.5, 0.4), (2.0, 0.5), (1.8, 0.4), (2.2, 0.6)]


@pytest.fixture(scope="module")
def cloner() -> Cloner:
    return Cloner(golden_encoder(), golden_codec())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Bark with its own tiny HuBERT."""
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    make_tiny_hubert(folder / "hubert", LAYOUT.semantic_vocab)
    return folder


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "me.wav", phrase(CLEAN, 44_100), 44_100)
    return tmp_path / "me.wav"


def test_a_voice_is_the_window_through_both_encoders(cloner: Cloner, wav: Path) -> None:
    made = cloner.clone(wav)
    window: dict[str, Any] = {"start": made.report.start, "end": made.report.end}
    semantic = cloner.encoder.encode(load_audio(wav, 16_000, **window))
    fine = cloner.codec.encode(load_audio(wav, 24_000, **window))
    expected = Voice(semantic, fine[:2], fine).canonical()
    assert made.report == examine(wav)
    assert np.array_equal(made.voice.semantic, expected.semantic)
    assert np.array_equal(made.voice.coarse, expected.coarse)
    assert np.array_equal(made.voice.fine, expected.fine)


def test_the_source_is_resampled_once_to_each_rate(
    cloner: Cloner, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []

    def spy(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
        asked.append((len(audio), from_rate, to_rate))
        return resample(audio, from_rate, to_rate)

    monkeypatch.setattr(clone_module, "resample", spy)
    cloner.clone(wav)
    (count, rate, first), other = asked  # each from the file's own samples, never 24 → 16 kHz
    assert first == 16_000 and other == (count, rate, 24_000)


@pytest.mark.parametrize("seconds", [1.1, 1.103, 1.25, 1.5, 2.0, 3.3, 5.0, 7.7])
def test_suno_accepts_every_length(cloner: Cloner, seconds: float) -> None:
    voice = cloner.clone(voiced(seconds + 0.01), sample_rate=24_000, start=0.0, end=seconds).voice
    voice.validate()
    frames, tokens = voice.fine.shape[1], len(voice.semantic)
    assert frames == int(tokens * 75 / 49.9)
    assert round(frames / tokens, 1) == 1.5
    assert abs(tokens - seconds * 49.9) < 3


def test_the_voice_says_where_it_comes_from(cloner: Cloner, wav: Path) -> None:
    import hashlib

    info = cloner.clone(wav, consent="self").voice.info
    assert info["source"] == "me.wav"
    assert info["source_sha256"] == hashlib.sha256(wav.read_bytes()).hexdigest()
    assert info["consent"] == "self"
    assert info["model"] == "large" and info["language"] == "en" and info["checks"] == "ok"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", info["date"])
    assert float(info["end"]) - float(info["start"]) == pytest.approx(
        float(info["seconds"]), abs=0.002
    )
    assert str(wav.parent) not in "".join(info.values())
    with pytest.raises(SettingError, match="consent"):
        cloner.clone(wav, consent="because")


@pytest.mark.parametrize("channels", [1, 2])
def test_a_recording_is_opened_once(
    cloner: Cloner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    path = tmp_path / "me.flac"
    soundfile.write(path, np.tile(phrase(CLEAN, 44_100)[:, None], (1, channels)), 44_100)
    expected = cloner.clone(open_source(path)).voice  # opened for each reading
    files: list[BufferedReader] = []

    def opening(self: Path, *arguments: Any) -> BufferedReader:
        files.append(self.open_here(*arguments))
        return files[-1]

    monkeypatch.setattr(Path, "open_here", Path.open, raising=False)
    monkeypatch.setattr(Path, "open", opening)
    voice = cloner.clone(path).voice
    assert len(files) == 1 and files[0].closed
    assert voice.digest == expected.digest
    assert voice.info["source_sha256"] == expected.info["source_sha256"]


def test_clone_voice_uses_the_parts_it_is_given(cloner: Cloner, wav: Path) -> None:
    parts = {"encoder": cloner.encoder, "codec": cloner.codec}
    voice = clone_voice(wav, **parts)
    assert np.array_equal(voice.fine, cloner.clone(wav).voice.fine)
    assert clone_voice(str(wav), **parts).digest == voice.digest
    samples, rate = soundfile.read(wav)
    assert clone_voice(samples, sample_rate=rate, **parts).digest == voice.digest


def test_several_recordings_give_several_voices(cloner: Cloner, wav: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "you.flac", phrase([(3.0, 0.5)], 22_050), 22_050)
    voices = clone_voice([wav, tmp_path / "you.flac"], encoder=cloner.encoder, codec=cloner.codec)
    assert [voice.info["source"] for voice in voices] == ["me.wav", "you.flac"]
    assert voices[0].digest == cloner.clone(wav).voice.digest


def test_start_and_end_are_kept(cloner: Cloner, wav: Path) -> None:
    info = clone_voice(wav, start=0.5, end=4.0, encoder=cloner.encoder, codec=cloner.codec).info
    assert (info["start"], info["end"], info["seconds"]) == ("0.500", "4.000", "3.500")


def test_a_bark_folder_brings_its_layout_codec_and_hubert(
    model: Path, wav: Path, tmp_path: Path
) -> None:
    voice = clone_voice(wav, model=model)
    voice.validate(LAYOUT)
    assert voice.semantic.max() < LAYOUT.semantic_vocab
    assert voice.fine.shape[1] == int(len(voice.semantic) * 1.5)  # this layout's rates, 75 and 50
    assert Voice.load(voice.save(tmp_path / "v.npz", LAYOUT), LAYOUT) == voice


def test_everything_missing_is_listed_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wav: Path
) -> None:
    for name in ("HF_HUB_CACHE", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingFileError) as caught:
        clone_voice(wav)
    message = str(caught.value)
    for part in (
        "hubert-base-ls960: config.json, pytorch_model.bin",
        "quantifier_hubert",
        "encodec_24khz",
        "hf download",
    ):
        assert part in message


# ---- the command --------------------------------------------------------------------------------------


def test_the_command_writes_a_voice_and_one_line(
    model: Path, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "out" / "me.npz"
    assert main([str(wav), "-o", str(place), "--model", str(model), "--consent", "self"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert re.match(
        rf"{re.escape(str(place))}: \d+ tokens from \d+\.\d\d-\d+\.\d\d s of 9.4 s, .*checks: ok",
        out,
    )
    assert Voice.load(place, LAYOUT).info["consent"] == "self"

    before = place.read_bytes()
    assert main([str(wav), "-o", str(place), "--model", str(model), "--consent", "self"]) == 1
    assert "already there" in capsys.readouterr().err
    assert place.read_bytes() == before
    assert (
        main(
            [str(wav), "-o", str(place), "--model", str(model), "--force", "--consent", "synthetic"]
        )
        == 0
    )
    assert place.read_bytes() != before


def test_the_command_says_what_was_cleaned(
    model: Path, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = soundfile.read(wav)[0]
    rumble = 0.2 * np.sin(2 * np.pi * 23 * np.arange(len(audio)) / 24_000)
    soundfile.write(tmp_path / "lorry.wav", audio + rumble, 24_000)
    for name, done in (("me", "nothing, there was no need"), ("lorry", "high-pass 60 Hz")):
        words = [str(tmp_path / f"{name}.wav"), "-o", str(tmp_path / f"{name}.npz"), "--clean"]
        assert main([*words, "--model", str(model), "--consent", "self"]) == 0
        assert f", cleaned: {done}, checks: " in capsys.readouterr().out


def test_the_command_clones_what_it_can(
    model: Path, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"this is no sound")
    soundfile.write(tmp_path / "short.wav", phrase([(1.4, 0.4)]), 24_000)
    words = [str(tmp_path / name) for name in ("bad.wav", "me.wav", "short.wav")]
    assert (
        main([*words, "-o", str(tmp_path / "voices"), "--model", str(model), "--consent", "self"])
        == 1
    )
    captured = capsys.readouterr()
    assert sorted(file.name for file in (tmp_path / "voices").iterdir()) == ["me.npz", "short.npz"]
    assert captured.out.count("\n") == 2
    assert "clone: " in captured.err and "bad.wav: is not recognised as audio" in captured.err
    assert "short.wav: short: only" in captured.err


def test_the_check_needs_no_model(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(wav), "--check", "--model", "none"]) == 0
    assert "level -20 dBFS" in capsys.readouterr().out
    assert list(wav.parent.iterdir()) == [wav]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["absent.wav", "--check"], 2, "no file absent.wav"),
        (["absent.wav", "gone.wav", "--check"], 2, "no file absent.wav, gone.wav"),
        (["me.wav", "--language", "nl"], 2, "Bark does not speak this language"),
        (["me.wav", "--model", "none"], 2, "no model 'none'"),
        (["me.wav", "--device", "abacus"], 2, "abacus"),
        (["me.wav", "--quantizer", "absent.pth", "--model", "nano"], 2, "absent.pth"),
        (["me.wav", "--consent", "maybe"], 2, "--consent: got 'maybe'; allowed: self"),
        (["me.wav", "a/me.flac"], 2, "two recordings would make the same voice"),
        (["me.wav", "you.wav", "-o", "x.npz"], 2, "give a folder with -o"),
        ([], 2, "RECORDING"),
        (["me.wav", "--start", "soon"], 2, "--start: got 'soon'; allowed: a number >= 0"),
        (["me.wav", "--end", "-1"], 2, "--end"),
        (["me.wav", "--start", "9", "--end", "3", "--check"], 2, ""),
    ],
)
def test_failures_are_one_line(
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("me.wav").write_bytes(b"what it holds is looked at last")
    assert main(["--consent", "self", *words]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1 or len(words) > 2
    assert not captured.out


def test_nobody_is_cloned_without_a_word(
    wav: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(wav), "-o", str(wav.parent / "me.npz"), "--model", str(model)]) == 2
    assert "nobody said whose this is. Add --consent self" in capsys.readouterr().err
    assert list(wav.parent.iterdir()) == [wav]


def test_bad_recordings_leave_nothing_behind(cloner: Cloner, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="silent"):
        clone_voice(
            np.zeros(48_000), sample_rate=24_000, encoder=cloner.encoder, codec=cloner.codec
        )
    with pytest.raises(AudioError, match="too short to clone"):
        clone_voice(voiced(1.0), sample_rate=24_000, encoder=cloner.encoder, codec=cloner.codec)


def test_a_note_of_the_encoder_becomes_a_finding(cloner: Cloner) -> None:
    from dataclasses import replace

    from hubert.encoder import SemanticEncoder

    noted = SemanticEncoder(
        cloner.encoder.features, cloner.encoder.quantizer, "an accent is likely"
    )
    made = replace(cloner, encoder=noted).clone(phrase(CLEAN), sample_rate=24_000)
    assert [finding.code for finding in made.findings] == ["language"]
    assert made.voice.info["checks"] == "language"


def test_real_people_can_be_cloned(cloner: Cloner, shared: Path) -> None:
    files = sorted((shared / "speech" / "eval").glob("*/*.flac"))[::10]
    for voice in clone_voice(files, encoder=cloner.encoder, codec=cloner.codec):
        voice.validate(BARK)
        assert 1.1 <= voice.seconds() <= 10.1


SCRIPT = """
import re, sys
from pathlib import Path
from hubert.clone import main
code = main(sys.argv[1:])
print(code, int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
def test_an_hour_is_cloned_by_true_size_parts_within_one_and_a_half_gigabytes(
    tmp_path: Path,
) -> None:
    cache = make_hub_cache(tmp_path / "hub")
    block = (phrase(CLEAN * 6, 44_100) * 32767).astype(np.int16)
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 44_100, 2, "PCM_16") as file:
        for _ in range(64):
            file.write(np.stack([block, block], axis=1))
    assert soundfile.info(tmp_path / "hour.wav").duration > 3600
    words = [str(tmp_path / "hour.wav"), "-o", str(tmp_path / "me.npz"), "--consent", "self"]
    command = [sys.executable, "-c", SCRIPT, *words]
    environment = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0 and done.stdout.count("\n") == 2, done.stderr
    line, numbers = done.stdout.strip().splitlines()
    code, megabytes = numbers.split()
    assert code == "0" and "checks: ok" in line
    assert int(megabytes) < 1500
    assert Voice.load(tmp_path / "me.npz").seconds() > 5


def test_every_kind_of_samples_gives_the_same_voice(cloner: Cloner) -> None:
    parts: Any = {"encoder": cloner.encoder, "codec": cloner.codec, "model": "nano"}
    samples = voiced(3.0)
    whole = np.round(samples * 32767).astype(np.int16)
    floats = whole.astype(np.float32) / 32768
    voices = [
        clone_voice(floats, sample_rate=24_000, **parts),
        clone_voice(whole, sample_rate=24_000, **parts),
        clone_voice(torch.from_numpy(floats), sample_rate=24_000, **parts),
        clone_voice((24_000, whole), **parts),
    ]
    assert len({voice.digest for voice in voices}) == 1
