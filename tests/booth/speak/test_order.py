"""Arguments, files and voices are looked at before a model is sought, and each voice is read once."""

from pathlib import Path
from typing import Any

import pytest

from bark import Bark, Voice
from bark.audio.read import load_audio
from bark.audio.write import save_audio
from booth.cli.main import main
from booth.cli.swap import main as convert
from hubert.clone import clone_voice
from tests.conftest import ROOT

NANO_VOICE = ROOT / "bark" / "nano" / "voices" / "alba.npz"
TEXT = ("--text", "Hi.", "--seed", "1", "--max_duration_s", "0.3", "-o", "a.wav")


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a computer without Suno's weights and without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "BARK_VOICES", "SUNO_USE_SMALL_MODELS"):
        monkeypatch.delenv(name, raising=False)
    Path("play.txt").write_text("ANA: Hello.\n")
    Path("me.npz").write_bytes(NANO_VOICE.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "large", "--history_prompt", "me.npz"), "the voice was made for nano; large"),
        (("--model", "small", "--history_prompt", "alba"), "the voice was made for nano; small"),
        (("--model", "small", "--speaker", "alba"), "the voice was made for nano; small"),
        (("--model", "large", "--voices", "ANA=me.npz"), "the voice was made for nano; large"),
        (("--model", "nano", "--history_prompt", "v2/en_speaker_6"), "is a preset of Suno's"),
        (("--speaker_wav", "play.txt", "--consent", "self"), "is not recognised as audio"),
    ],
)
def test_what_cannot_be_used_is_told_before_missing_files(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TEXT, *words]) == 2
    error = capsys.readouterr().err
    assert told in error and "missing files" not in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "clone play.txt --consent self",
        "clone play.txt --consent self --refine 2",
        "convert-voice play.txt --voice v2/en_speaker_6 -o b.wav",
    ],
)
def test_no_recording_is_told_before_the_files_of_a_model(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert "play.txt: is not recognised as audio" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["bark convert-voice", "python -m hubert.convert"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--voice nobody", "no voice is named 'nobody'"),
        ("--voice none.npz", "no file none.npz"),
        ("--voice play.npz", "play.npz: is not an .npz archive"),
        ("--voice me.npz --model large", "the voice was made for nano; large"),
        ("--voice v2/en_speaker_6 --model nano", "is a preset of Suno's"),
    ],
)
def test_a_wrong_voice_is_told_before_a_model_is_loaded(
    command: str,
    words: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Bark, "from_pretrained", None)
    Path("play.npz").write_text("ANA: Hello.\n")
    save_audio("me.wav", load_audio(ROOT / "booth" / "samples" / "reference.flac", 24_000, end=2.0))
    typed = ["me.wav", *words.split(), "-o", "b.wav"]
    code = main(["convert-voice", *typed]) if command.startswith("bark") else convert(typed)
    assert code == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_what_is_no_recording_at_all_is_our_error() -> None:
    with pytest.raises(ValueError, match="samples have the wrong shape or type"):
        clone_voice(None)  # type: ignore[call-overload]


def test_one_error_lists_the_presets_files_with_the_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*TEXT, "--history_prompt", "v2/en_speaker_6"]) == 1
    error = capsys.readouterr().err
    for file in ("vocab.txt", "fine_2.pt", "speaker_embeddings/v2/en_speaker_6_fine_prompt.npy"):
        assert file in error


@pytest.mark.parametrize("model", [(), ("--model", "nano")])
def test_a_voice_is_read_once(
    model: tuple[str, ...], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    load = Voice.load

    def noted(path: Any, *rest: Any, **more: Any) -> Voice:
        read.append(path)
        return load(path, *rest, **more)

    monkeypatch.setattr(Voice, "load", noted)
    assert main([*TEXT, "--history_prompt", "me.npz", *model]) == 0
    assert len(read) == 1
