"""Coqui's calls on the tiny model: files, folders of voices, and the dictionary of their page."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hubert.clone
from bark import Bark, generation
from bark.errors import BarkError, SettingError, VoiceError
from bark.speech import file_hash
from bark.voice.voice import Voice
from booth.coqui import TTS, BarkConfig, BarkTTS, synthesize
from booth.tts import main as tts_command
from hubert.reference import Finding

SETTINGS: dict[str, Any] = {"allow_early_stop": False, "max_gen_duration_s": 0.5}


@pytest.fixture(scope="module")
def bark(tiny_bark: Path) -> Bark:
    return Bark.from_pretrained(str(tiny_bark))


@pytest.fixture
def tts(bark: Bark) -> BarkTTS:
    return BarkTTS(progress_bar=False, consent="synthetic", bark=bark)


@pytest.fixture
def folder(tmp_path: Path, bark: Bark, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Coqui's folder with one recording, and a cloner that needs no HuBERT and counts in ``clones``."""
    place = tmp_path / "bark_voices" / "ljspeech"
    place.mkdir(parents=True)
    (place / "speaker.wav").write_bytes(b"one")

    def clone(recording: Path, consent: str | None) -> SimpleNamespace:
        clones = tmp_path / "clones"
        clones.write_text((clones.read_text() if clones.exists() else "") + "x")
        voice = bark.generate("A recording.", seed=len(clones.read_text())).voice
        info = {
            "source_sha256": file_hash(recording),
            "model": bark.name,
            "consent": consent or "none",
        }
        made = Voice(voice.semantic, voice.coarse, voice.fine, info)
        return hubert.clone.Clone(made, None, (Finding("noisy", "it hums"),))  # type: ignore[arg-type]

    machine = SimpleNamespace(clone=clone)
    monkeypatch.setattr(hubert.clone.Cloner, "from_pretrained", lambda model, language: machine)
    return place.parent


def test_tts_to_file_clones_once_and_again_after_a_change(
    tts: BarkTTS, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output.wav"
    for _ in range(2):
        made = tts.tts_to_file(text="Hello.", file_path=output, voice_dir=str(folder) + "/", speaker="ljspeech",
                               seed=1, **SETTINGS)  # fmt: skip
    assert made == output and (tmp_path / "clones").read_text() == "x"
    stored = Voice.load(folder / "ljspeech" / "speaker.npz", tts.bark.layout)
    assert stored.info["consent"] == "synthetic"
    wanted = tts.bark.generate("Hello.", stored, seed=1, allow_early_stop=False, max_duration_s=0.5)
    with soundfile.SoundFile(output) as file:
        assert "AI-generated speech" in file.comment and file.title == "Hello."
        assert np.abs(file.read() - wanted.audio).max() < 1e-3
    (folder / "ljspeech" / "speaker.wav").write_bytes(b"two")
    tts.tts("Hello.", voice_dir=folder, speaker="ljspeech", **SETTINGS)
    assert (tmp_path / "clones").read_text() == "xx"


def test_random_voices_and_seeds(tts: BarkTTS, tmp_path: Path) -> None:
    first, again, other = (tts.tts("Hello.", seed=seed, **SETTINGS) for seed in (1, 1, 2))
    assert (
        first.dtype == np.float32
        and np.array_equal(first, again)
        and not np.array_equal(first, other)
    )
    assert np.array_equal(
        tts.tts("Hello.", "random", seed=1, voice_dir=tmp_path, **SETTINGS), first
    )
    assert not np.array_equal(tts.tts("Hello.", **SETTINGS), tts.tts("Hello.", **SETTINGS))


def test_speaker_wav_clones_on_the_fly_or_under_a_name(
    tts: BarkTTS, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording = tmp_path / "me.wav"
    recording.write_bytes(b"me")
    tts.tts("Hello.", speaker_wav=recording, **SETTINGS)
    tts.tts("Hello.", speaker_wav=[str(recording), "other.wav"], **SETTINGS)
    assert "the others are not used" in caplog.text
    assert (tmp_path / "clones").read_text() == "xx" and not list(folder.glob("*.npz"))
    for _ in range(2):
        tts.tts("Hello.", speaker="me", speaker_wav=recording, voice_dir=folder, **SETTINGS)
    assert (tmp_path / "clones").read_text() == "xxx" and (folder / "me.npz").exists()
    tts.tts("Hello.", speaker="me", voice_dir=[tmp_path / "absent", folder], **SETTINGS)
    assert (tmp_path / "clones").read_text() == "xxx" and "me.wav: noisy: it hums" in caplog.text
    other = tmp_path / "other.wav"
    other.write_bytes(b"somebody else")
    spoken = tts._voice("me", other, folder, None)
    assert (
        spoken is not None
        and spoken.digest != Voice.load(folder / "me.npz", tts.bark.layout).digest
    )
    assert len(list(folder.glob("me*.npz"))) == 2  # nothing is overwritten


def test_synthesize_returns_the_documented_dictionary(tts: BarkTTS, folder: Path) -> None:
    made = tts.synthesize(
        "Hello.", tts.config, speaker_id="ljspeech", voice_dirs=str(folder), seed=3, **SETTINGS
    )
    assert set(made) == {
        "wav", "text_inputs", "text_input", "deterministic_seed", "voice_samples", "conditioning_latents"
    }  # fmt: skip
    assert made["text_inputs"] == "Hello." and made["deterministic_seed"] == 3
    assert made["text_input"] == tts.bark.tokenizer.encode("Hello.")
    stored = Voice.load(folder / "ljspeech" / "speaker.npz", tts.bark.layout)
    assert Voice.from_dict(made["conditioning_latents"], tts.bark.layout).digest == stored.digest
    again = tts.bark.generate(
        "Hello.", made["conditioning_latents"], seed=3, allow_early_stop=False, max_duration_s=0.5
    )
    assert np.array_equal(made["wav"], again.audio)
    anyone = tts.synthesize("Hello.", None, speaker_id="random", seed=3, **SETTINGS)
    assert anyone["conditioning_latents"] is None and anyone["voice_samples"] is None


def test_synthesize_as_a_function_loads_the_configured_model(tiny_bark: Path) -> None:
    config = BarkConfig(model=str(tiny_bark), device="cpu", settings=SETTINGS)
    made = synthesize("Hello.", config, speaker_id="random", voice_dirs=None, seed=4)
    assert made["wav"].shape == (37 * 320,)  # half a second in whole frames


def test_long_text_is_spoken_part_by_part(tts: BarkTTS) -> None:
    text = "This is the first sentence of a text. This is the second one, and it goes on."
    made = tts.tts(text, seed=1, **SETTINGS)
    assert len(made) > 24_000
    with pytest.raises(SettingError, match="too long for one part"):
        tts.tts(text, split_sentences=False, **SETTINGS)


def test_wrong_calls_say_so(tts: BarkTTS, folder: Path) -> None:
    with pytest.raises(VoiceError, match="no voice is named 'nobody'"):
        tts.tts("Hello.", speaker="nobody", voice_dir=folder)
    with pytest.raises(VoiceError, match="no name for a voice"):
        tts.tts("Hello.", speaker="../ljspeech", voice_dir=folder)
    with pytest.raises(BarkError, match="nothing in the text"):
        tts.tts("")
    with pytest.raises(SettingError, match="unknown setting: got speed"):
        tts.tts("Hello.", speed=2.0)


def test_to_chooses_the_device() -> None:
    assert BarkTTS().to("cpu").config.device == "cpu"


def test_the_object_block_of_their_page(tiny_bark: Path, folder: Path, tmp_path: Path) -> None:
    """Their page's lines, with one import changed and this package's consent said."""
    from booth.coqui import Bark as CoquiBark

    config = BarkConfig()
    model = CoquiBark.init_from_config(config, progress_bar=False, consent="synthetic")
    model.load_checkpoint(config, checkpoint_dir=tiny_bark, eval=True)

    output = model.synthesize("Hello.", config, speaker_id="random", voice_dirs=None, **SETTINGS)
    assert output["wav"].dtype == np.float32 and output["text_inputs"] == "Hello."
    output = model.synthesize(
        "Hello.", config, speaker_id="ljspeech", voice_dirs=f"{folder}/", **SETTINGS
    )
    assert (folder / "ljspeech" / "speaker.npz").is_file() and len(output["wav"])

    for _ in range(2):  # cloned once, as theirs
        model.generate_voice(folder / "ljspeech" / "speaker.wav", "ana", tmp_path / "made")
    assert (tmp_path / "clones").read_text() == "xx"
    voice = Voice.load(tmp_path / "made" / "ana.npz", model.bark.layout)
    history = (voice.semantic, voice.coarse, voice.fine)

    semantic = model.text_to_semantic("Hello.", history, seed=1, silent=True, **SETTINGS)
    audio, coarse, fine = model.semantic_to_waveform(semantic, history, seed=1)
    whole, (semantic_2, coarse_2, fine_2) = model.generate_audio(
        "Hello.", history, seed=1, allow_early_stop=False, max_gen_duration_s=0.5
    )
    assert np.array_equal(whole, audio) and np.array_equal(semantic, semantic_2)
    assert np.array_equal(coarse, coarse_2) and np.array_equal(fine, fine_2)
    based, _ = model.generate_audio("Hello.", base=history, seed=1, **SETTINGS)
    assert np.array_equal(based, whole)
    nobody, _ = model.generate_audio("Hello.", (None, None, None), seed=1, **SETTINGS)
    assert not np.array_equal(nobody, whole)
    with pytest.raises(SettingError, match="history_prompt: got 2 arrays"):
        model.generate_audio("Hello.", history[:2])


def test_the_constants_of_their_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    config = BarkConfig()
    names = [name for name in vars(BarkConfig) if name.isupper() and hasattr(generation, name)]
    constants = {
        "CONTEXT_WINDOW_SIZE",
        "SEMANTIC_RATE_HZ",
        "SAMPLE_RATE",
        "TEXT_PAD_TOKEN",
        "COARSE_INFER_TOKEN",
    }
    assert constants <= set(names) and len(names) >= 14
    assert all(getattr(config, name) == getattr(generation, name) for name in names)
    assert config.LOCAL_MODEL_PATHS["text"] == str(Path("cache/suno/bark_v0/text_2.pt"))


def test_gpu_without_a_gpu_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert TTS("nano", gpu=True).config.device == "auto"
    assert "torch sees no CUDA GPU" in caplog.text
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert TTS("nano", gpu=True).config.device == "cuda"


def test_idiaps_voices_are_found(bark: Bark, tmp_path: Path) -> None:
    voice = bark.generate("A recording.", seed=1).voice
    kept = {key: torch.from_numpy(array) for key, array in voice.to_dict().items()}
    torch.save(
        kept | {"metadata": {"name": "bark", "model": {"sources": ["a.wav"]}}}, tmp_path / "ana.pth"
    )
    tts = BarkTTS(progress_bar=False, bark=bark)
    spoken = tts.tts("Hello.", speaker="ana", voice_dir=tmp_path, seed=1, **SETTINGS)
    assert Voice.load(tmp_path / "ana.npz", bark.layout).digest == voice.digest
    assert np.array_equal(
        spoken, tts.tts("Hello.", speaker="ana", voice_dir=tmp_path, seed=1, **SETTINGS)
    )
    torch.save({"metadata": {}}, tmp_path / "bo.pth")
    with pytest.raises(VoiceError, match="has no semantic_prompt"):
        tts.tts("Hello.", speaker="bo", voice_dir=tmp_path)


def test_their_command_line(
    tiny_bark: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BARK_VOICES", str(tmp_path / "own"))
    model = ["--model_name", str(tiny_bark), "--text", "Hello there."]
    short = ["--max_gen_duration_s", "0.3", "--seed", "1"]
    assert tts_command([*model, *short]) == 0  # their default name
    assert tts_command([*model, *short, "--out_path", "a/b.wav", "--progress_bar", "True"]) == 0
    first, second = soundfile.read("tts_output.wav")[0], soundfile.read("a/b.wav")[0]
    assert len(first) and np.array_equal(first, second)
    capsys.readouterr()
    assert tts_command(["--list_models"]) == 0
    assert capsys.readouterr().out.split() == ["tts_models/multilingual/multi-dataset/bark"]
    assert tts_command(["--list_speaker_idxs"]) == 0 and "alba" in capsys.readouterr().out
    if not torch.cuda.is_available():
        assert tts_command([*model, "--use_cuda", "True"]) == 2
    assert tts_command(["--model_name", "tts_models/en/ljspeech/vits", "--text", "x"]) == 2
