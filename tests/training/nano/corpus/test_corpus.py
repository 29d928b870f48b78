"""The corpus on disk: on the grid, levelled, labelled, restartable; crops and tokens follow its units."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark.errors import AudioError, MissingFileError, SettingError
from training.nano.corpus.corpus import (
    CorpusOptions,
    corpus_recordings,
    iter_voices,
    make_corpus,
    voice_paths,
)
from training.nano.corpus.grammar import TEMPLATE_GRAMMAR
from training.nano.corpus.recordings import (
    KEPT_BACK,
    NEIGHBOURS,
    ROOM,
    TILT,
    find_recordings,
    in_a_room,
    read_recording,
    shorten_silences,
)
from training.nano.corpus.synthesis import GRID, LEVEL, SAMPLE_RATE, UNIT, speak
from training.nano.corpus.voices import VoiceRecipe
from training.nano.hubert.crops import Crops, augment, to_listening, waveform_for_units
from training.stages.alignment import PHONES, UNKNOWN

OPEN = tuple(f"the {word} went home, and slept well" for word in TEMPLATE_GRAMMAR.words())
VOICE = VoiceRecipe("test", "flite", "kal16", 1.0, 110.0)
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="needs Debian's flite")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two training voices, one held-out voice and one recording with its neighbours."""
    if shutil.which("flite") is None:
        pytest.skip("needs Debian's flite")
    folder = tmp_path_factory.mktemp("work")
    (folder / "real").mkdir()
    noise = np.random.default_rng(0).standard_normal(16_000 * 8).astype(np.float32) * 0.1
    noise[48_000:64_000] = 0.0
    soundfile.write(folder / "real" / "7-1.wav", noise, 16_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.nano.corpus.corpus.open_texts", lambda seed: OPEN)
        assert make_corpus(options(folder)) == 9
        assert make_corpus(options(folder)) == 0, "everything is there already"
        (folder / "corpus" / "real_7.npz").unlink()
        assert make_corpus(options(folder)) == 1, "only what is missing is made"
    return folder


def options(folder: Path) -> CorpusOptions:
    return CorpusOptions(
        folder,
        (folder / "real",),
        hours=0.005,
        voices=2,
        held_out=1,
        prompts=2,
        tests=1,
        processes=1,
    )


def test_neighbours_of_a_speaker_differ_in_size_and_microphone(work: Path) -> None:
    *found, bad = find_recordings(work / "real", seed=3)
    assert bad.room and bad.name == "real_7" + ROOM and bad.rate == 1.0
    assert [one.name for one in (*found, bad) if one.as_recorded] == ["real_7"]
    assert [one.name.removeprefix("real_7") for one in found] == list(NEIGHBOURS)
    assert found[0].rate == 1.0 and found[0].tilt == 0.0
    assert len({one.rate for one in found}) == len({one.tilt for one in found}) == len(NEIGHBOURS)
    assert max(abs(one.tilt) for one in found) <= TILT
    bright = [
        np.concatenate(read_recording(replace(found[0], tilt=tilt))) for tilt in (-TILT, TILT)
    ]
    rough = [float(np.mean(np.diff(audio) ** 2) / np.mean(audio**2)) for audio in bright]
    assert rough[1] > 1.1 * rough[0]


def test_a_manifest_names_the_speakers_and_every_40th_is_kept_back(tmp_path: Path) -> None:
    rows = []
    for index in range(2 * KEPT_BACK + 1):
        for take in range(2):
            name = f"some-{index:03}-{take}.ogg"
            (tmp_path / name).touch()
            rows.append({"file": name, "source": "so_me", "speaker": f"{index:03}"})
    assert len({one.name for one in find_recordings(tmp_path)}) == len(NEIGHBOURS) + 1
    (tmp_path / "manifest.json").write_text(json.dumps(rows))
    found = find_recordings(tmp_path, index=1)
    assert {one.folder for one in found} == {1} and {len(one.paths) for one in found} == {2}
    assert len({one.name for one in found}) == (len(NEIGHBOURS) + 1) * (2 * KEPT_BACK + 1)
    kept_back = [one.name for one in found if one.kept_back and one.as_recorded]
    assert kept_back == [f"real_some{index:03}" for index in (0, KEPT_BACK, 2 * KEPT_BACK)]
    assert sum(one.kept_back for one in found) == 3 * (len(NEIGHBOURS) + 1)


@pytest.mark.parametrize("text", ["", "7", '[{"file": "7-1.wav", "speaker": "7"}]'])
def test_a_manifest_that_names_nobody_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "7-1.wav").touch()
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(AudioError, match="a list of objects with file, source and speaker"):
        find_recordings(tmp_path)


def test_a_speaker_of_two_folders_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
        (folder / "7-1.wav").touch()
    monkeypatch.setattr("training.nano.corpus.corpus.open_texts", lambda seed: OPEN)
    with pytest.raises(SettingError, match="got 7 in two of them"):
        make_corpus(CorpusOptions(tmp_path, folders, voices=2))


def test_who_is_in_two_folders_by_two_names_is_kept_back_in_none(tmp_path: Path) -> None:
    for folder, names in (("one", ["198"]), ("two", ["libri198", "libritts7"])):
        (tmp_path / folder).mkdir()
        for name in [*names, *(f"some{index:03}" for index in range(2 * KEPT_BACK))][
            : KEPT_BACK + 1
        ]:
            (tmp_path / folder / f"{folder if name[0] == 's' else ''}{name}-1.wav").touch()
    found = corpus_recordings(CorpusOptions(tmp_path, (tmp_path / "one", tmp_path / "two")))
    kept_back = {one.name for one in found if one.kept_back and one.as_recorded}
    assert kept_back == {"real_onesome039", "real_twosome038"}


def test_a_bad_recording_has_echo_and_noise_at_the_same_level() -> None:
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    burst = np.where(time % 1 < 0.5, np.sin(2 * np.pi * 300 * time), 0).astype(np.float32)
    burst *= LEVEL / np.sqrt((burst**2).mean())
    tails = []
    for seed in range(8):
        bad = in_a_room(burst, np.random.default_rng(seed))
        assert bad.dtype == np.float32 and bad.shape == burst.shape
        assert np.sqrt((bad**2).mean()) == pytest.approx(LEVEL, rel=0.05)
        assert np.corrcoef(bad, burst)[0, 1] > 0.6
        pause = bad[SAMPLE_RATE // 2 : SAMPLE_RATE]
        early, late = (float((part**2).mean()) for part in (pause[:2400], pause[-2400:]))
        assert late > 0  # noise
        tails.append(early / late)
    assert max(tails) > 2  # an echo that dies away
    again = in_a_room(burst, np.random.default_rng(7))
    np.testing.assert_array_equal(bad, again)


def test_files_keep_the_contract(work: Path) -> None:
    voices = list(iter_voices(work))
    assert len(voices) == 2 + 1 + len(NEIGHBOURS) + 1
    for voice in voices:
        count = len(voice.texts)
        assert voice.audio.dtype == np.int16 and voice.phones.dtype == np.uint8
        assert voice.starts[0] == 0 and voice.starts[-1] == len(voice.audio)
        assert (np.diff(voice.starts) > 0).all() and (voice.starts % GRID == 0).all()
        assert len(voice.kinds) == len(voice.roles) == count == len(voice.starts) - 1
        assert len(voice.phones) == len(voice.audio) // UNIT
        other = "prompt" if voice.name.endswith(ROOM) else "train"
        assert voice.split == ("heldout" if voice.name.startswith("held_") else other)


def test_synthetic_voices_reach_their_hours_and_recordings_have_no_text(work: Path) -> None:
    for voice in iter_voices(work, "train", real=False):
        assert len(voice.audio) / SAMPLE_RATE == pytest.approx(9.0, abs=7.0)
        assert all(voice.texts) and (voice.phones < len(PHONES)).mean() > 0.95
    for voice in iter_voices(work, "train"):
        if voice.name.startswith("real_"):
            assert set(voice.kinds) == {"real"} and not any(voice.texts)
            assert (voice.phones == UNKNOWN).all()
            assert len(voice.audio) < 8.3 / 0.88 * SAMPLE_RATE
    (held,) = iter_voices(work, "heldout")
    assert sorted(set(held.roles)) == ["prompt", "test"]


def test_no_corpus_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        MissingFileError, match=r"no corpus in .*Run python -m training\.nano\.corpus\.corpus"
    ):
        voice_paths(tmp_path)


@needs_flite
def test_speech_is_levelled_trimmed_and_repeatable() -> None:
    speech = speak("the dog barked", VOICE)
    again = speak("the dog barked", VOICE)
    assert np.array_equal(speech.audio, again.audio)
    assert len(speech.audio) % GRID == 0
    assert np.sqrt((speech.audio**2).mean()) == pytest.approx(LEVEL, rel=0.05)
    assert PHONES[speech.phones[5]] == "dh" or "dh" in {
        PHONES[phone] for phone in speech.phones[:8]
    }
    said = [
        phone
        for phone, last in zip(speech.phones, [-1, *speech.phones], strict=False)
        if phone != last
    ]
    assert " ".join(PHONES[phone] for phone in said if phone) == "dh ax d ao g b aa r k t"


def test_a_missing_synthesiser_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingFileError, match="flite is not installed.*Debian package flite"):
        speak("hello", VOICE)


def test_long_silences_are_shortened_and_speech_is_not() -> None:
    loud = np.full(24_000, 0.1, np.float32)
    silent = np.zeros(24_000, np.float32)
    short = shorten_silences(np.concatenate([loud, silent, loud]))
    assert (np.abs(short) > 0).sum() == 48_000
    assert len(short) == 48_000 + 15 * 240


def test_waveform_gives_one_unit_for_each_480_samples() -> None:
    for units in (2, 50, 302):
        wave = waveform_for_units(np.zeros(units * UNIT, np.int16))
        assert (len(wave) - 400) // 320 + 1 == units


def test_crops_line_up_with_their_labels(work: Path) -> None:
    listening = to_listening(iter_voices(work, "train", real=False))
    rng = np.random.default_rng(1)
    waves, phones = Crops(listening).draw(3, 40, rng)
    assert waves.shape == (3, 40 * 320 + 80) and phones.shape == (3, 40)
    assert augment(waves, rng).isfinite().all()
    loud = waves[:, : 40 * 320].reshape(3, 40, 320).pow(2).mean(2).sqrt()
    assert loud[phones > 0].mean() > 3 * loud[phones == 0].mean(), (
        "pauses are quiet, phones are not"
    )
