"""The reference doctor: windows end in pauses, every planted defect is named, an hour fits in little memory."""

import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark.errors import AudioError
from hubert.reference import (
    HEARD_SECONDS,
    MAX_WINDOW,
    Report,
    bandwidth,
    energy,
    examine,
    speech_frames,
)
from tests.conftest import ROOT
from tests.speech import RATE, phrase, voiced


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def look(audio: np.ndarray, rate: int = RATE, **options: Any) -> Report:
    return examine(audio, sample_rate=rate, **options)


CLEAN = [(1.5, 0.4), (2.0, 0.5), (1.8, 0.4), (2.2, 0.6)]  # 9.4 s


def test_a_clean_recording_has_nothing_to_find() -> None:
    report = look(phrase(CLEAN))
    assert report.findings == ()
    assert report.duration == pytest.approx(9.4, abs=0.01)
    assert 8.9 <= report.end <= 9.1  # a little after the last word, which ends at 8.8 s
    assert report.level_db == pytest.approx(-20, abs=1.5)
    assert report.snr_db is not None and 35 < report.snr_db < 45
    assert "level -2" in str(report) and "of 9.4 s" in str(report)
    assert report.to_dict()["findings"] == ()


def test_speech_is_told_from_pauses() -> None:
    audio = phrase([(1.0, 0.5), (1.0, 0.5)])
    frames = energy([audio], RATE)
    speech = speech_frames(frames)
    time = (np.arange(len(speech)) + 0.5) * frames.hop
    truth = (time % 1.5) < 1.0  # the gaps between syllables are no pauses
    assert (speech == truth).mean() > 0.95


@pytest.mark.parametrize("blocks", [1, 7, 1000, 240])
def test_frames_do_not_depend_on_the_blocks(blocks: int) -> None:
    audio = phrase([(0.7, 0.3), (0.4, 0.2)])
    whole, parts = energy([audio], RATE), energy(np.array_split(audio, blocks), RATE)
    assert np.allclose(whole.power, parts.power) and np.array_equal(whole.peak, parts.peak)
    assert len(whole.power) == len(audio) // 240


def test_a_long_recording_gives_a_window_that_ends_in_a_pause() -> None:
    parts = [(1.0 + 0.3 * (k % 4), 0.3 + 0.1 * (k % 3)) for k in range(40)]  # about a minute
    report = look(phrase(parts))
    assert report.seconds <= MAX_WINDOW + 1e-6
    assert report.speech > 0.6 * HEARD_SECONDS
    edges = np.cumsum([length for part in parts for length in part])
    pauses = edges.reshape(-1, 2)  # begin and end of each
    assert ((pauses[:, 0] < report.end) & (report.end < pauses[:, 1] + 0.02)).any()
    assert "cut-off" not in codes(report)


def test_a_recording_cut_in_a_word_is_taken_back_to_the_last_pause() -> None:
    report = look(phrase([(2.0, 0.4), (2.0, 0.4), (1.0, 0.0)]))  # the last word has no end
    assert 4.4 < report.end < 4.8
    assert "cut-off" not in codes(report)


def test_a_recording_without_a_pause_is_used_and_said_to_be_cut() -> None:
    report = look(voiced(4.0))
    assert report.end == pytest.approx(4.0, abs=0.02)
    assert "cut-off" in codes(report)
    assert report.snr_db is None


def test_long_silences_are_left_outside() -> None:
    report = look(phrase([(0.0, 5.0), *CLEAN, (0.0, 6.0)]))
    assert report.start > 4.5 and report.end < 14.2
    assert "pauses" not in codes(report)


def test_a_short_word_in_silence_still_gives_a_window_of_the_least_length() -> None:
    report = look(phrase([(0.0, 1.0), (0.5, 2.0)]))
    assert report.seconds >= 1.1
    assert "short" in codes(report)


def test_the_better_part_is_chosen() -> None:
    noisy = phrase(CLEAN, noise=0.05)
    clipped = np.clip(phrase(CLEAN) * 30, -1, 1)
    for worse in (noisy, clipped):
        report = look(np.concatenate([worse, phrase(CLEAN), worse]).astype(np.float32))
        assert 9.4 + 4 < report.end <= 18.9


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (phrase([(1.6, 0.6)]), "short"),
        (np.clip(phrase(CLEAN) * 12, -1, 1), "clipped"),
        (phrase(CLEAN, noise=0.04), "noisy"),
        (phrase(CLEAN, level=0.005, noise=1e-5), "quiet"),
        (phrase([(0.3, 0.8)] * 9), "pauses"),
        (voiced(5.0), "cut-off"),
    ],
)
def test_each_defect_is_named(audio: np.ndarray, code: str) -> None:
    report = look(audio.astype(np.float32))
    assert code in codes(report)
    assert all(
        re.fullmatch(r"[a-z-]+", finding.code) and finding.message for finding in report.findings
    )


def test_telephone_sound_is_named() -> None:
    report = look(phrase(CLEAN, rate=8_000, noise=1e-5), 8_000)
    assert "narrow-band" in codes(report)
    assert report.bandwidth <= 4_100
    assert look(phrase(CLEAN)).bandwidth > 5_000


def test_bandwidth_is_the_highest_tone() -> None:
    time = np.arange(RATE) / RATE
    audio = np.sin(2 * np.pi * 1000 * time) + 0.01 * np.sin(2 * np.pi * 7000 * time)
    assert bandwidth(audio.astype(np.float32), RATE) == pytest.approx(7000, abs=200)


def test_start_and_end_override() -> None:
    audio = phrase(CLEAN * 3)
    report = look(audio, start=2.0, end=8.5)
    assert (report.start, report.end) == (2.0, 8.5)
    only_start = look(audio, start=3.0)
    assert (
        only_start.start == 3.0
        and 5 < only_start.end <= 13.0
        and "cut-off" not in codes(only_start)
    )
    only_end = look(audio, end=12.0)
    assert only_end.end == 12.0 and 1.9 < only_end.start < 5.0
    length = report.duration
    assert look(audio, end=length + 9) == look(audio, end=length + 99) == look(audio, end=length)
    assert "cut-off" in codes(look(audio, start=2.0, end=5.0))  # in the third word, 4.4 s to 6.2 s
    assert "cut-off" not in codes(look(audio, start=2.0, end=4.15))  # in the pause before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 12.0}, "no such part.*12 s"),
        ({"start": -1.0}, "no such part"),
        ({"start": 5.0, "end": 4.0}, "no such part: got 5 s to 4 s"),
        ({"start": 2.0, "end": 3.0}, "part is too short.*1.00 s.*at least 1.1 s"),
        ({"start": 8.8, "end": 12.0}, "part is too short.*got 0.60 s"),
        ({"end": float("nan")}, "no such part"),
    ],
)
def test_parts_that_are_not_there_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AudioError, match=message):
        look(phrase(CLEAN), **options)


def test_a_named_part_may_not_be_endless() -> None:
    with pytest.raises(
        AudioError, match="part is too long.*35.0 s.*up to 20 s.*Bark hears only the last 6.8 s"
    ):
        look(phrase(CLEAN * 4), start=1.0, end=36.0)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "holds no samples"),
        (np.zeros(5 * RATE, np.float32), "silent"),
        (np.full(5 * RATE, 0.4, np.float32), "silent"),  # a constant is no sound
        (voiced(1.05), r"too short to clone: got 1.05 s; allowed: at least 1.1 s"),
        (np.array([0.1, -0.1], np.float32), "too short"),
        (np.where(np.arange(3 * RATE) == 9, np.nan, 0.1).astype(np.float32), "NaN or infinity"),
    ],
)
def test_useless_recordings_are_refused(audio: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        look(audio)


def test_samples_need_a_rate() -> None:
    with pytest.raises(AudioError, match="need their sample_rate"):
        examine(phrase(CLEAN))


@pytest.mark.parametrize("rate", [8_000, 22_050, 192_000])
def test_any_rate_gives_the_same_window(tmp_path: Path, rate: int) -> None:
    audio = phrase(CLEAN, rate=rate)
    stereo = np.stack([audio, audio * 0.5], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, rate, subtype="FLOAT")
    report = examine(tmp_path / "a.wav")
    reference = look(phrase(CLEAN))
    assert abs(report.end - reference.end) < 0.03
    assert report.start == pytest.approx(reference.start, abs=0.03)


def test_real_recordings_end_in_pauses(shared: Path) -> None:
    files = sorted((shared / "speech" / "eval").glob("*/*.flac"))
    assert len(files) == 50
    for file in files:
        report = examine(file)
        audio, rate = soundfile.read(file)
        last = audio[max(0, int((report.end - 0.05) * rate)) : int(report.end * rate)]
        loud = np.sqrt(np.mean(audio**2))
        assert np.sqrt(np.mean(last**2)) < 0.3 * loud, file
        assert codes(report) <= {"short"}, file


SCRIPT = """
import re, sys
from pathlib import Path
from hubert.reference import examine
seconds = examine(sys.argv[1]).seconds
# not ru_maxrss, which begins at the size of the process that started this one
print(seconds, int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads its own peak memory from Linux"
)
def test_an_hour_is_examined_in_little_memory(tmp_path: Path) -> None:
    block = (phrase(CLEAN * 6, rate=8_000) * 32767).astype(np.int16)  # about a minute
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 8_000, 1, "PCM_16") as file:
        for _ in range(64):
            file.write(block)
    assert soundfile.info(tmp_path / "hour.wav").duration > 3600
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "hour.wav")]
    seconds, megabytes = subprocess.run(
        command, capture_output=True, check=True, text=True, cwd=ROOT
    ).stdout.split()
    assert 5 < float(seconds) <= MAX_WINDOW
    assert int(megabytes) < 600
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime < 300
