"""Every door is the same house: one request gives the same tokens and the same voice, whoever asks."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bark.generation
from bark import Bark, Voice
from bark.api import generate_audio, save_as_prompt, semantic_to_waveform, text_to_semantic
from bark.generation import codec_decode, generate_coarse, generate_fine, generate_text_semantic
from bark.longform import speak_long
from booth.cli.main import main
from booth.coqui import BarkTTS
from booth.speak.replay import Target, replay
from booth.speak.request import SpeakRequest
from booth.speak.speak import speak

TEXT, SEED = "Good morning to you all.", 3
CONSENT = {"consent": "self", "language": "en", "source_sha256": "ab" * 32}


@pytest.fixture(scope="module")
def mine(nano: Bark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice whose info must not be lost."""
    voice = nano.resolve_voice("alba")
    assert voice is not None
    made = Voice(voice.semantic, voice.coarse, voice.fine, {**CONSENT, "model": "nano"})
    return made.save(tmp_path_factory.mktemp("voice") / "me.npz", nano.layout)


@pytest.fixture(scope="module")
def expected(nano: Bark, mine: Path) -> Voice:
    """What `Bark.generate` makes of the request."""
    return nano.generate(TEXT, mine, seed=SEED).voice


def python_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    saved = nano.generate(TEXT, mine, seed=SEED).save(folder / "a.wav", voice=True)
    assert saved.voice is not None
    return Voice.load(saved.voice)


def batch_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    return nano.generate_batch(["One.", TEXT], [None, mine], seeds=[1, SEED])[1].voice


def stage_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    semantic = nano.semantic_tokens(TEXT, mine, seed=SEED)
    coarse = nano.coarse_codes(semantic, mine, seed=SEED)
    fine = nano.fine_codes(coarse, mine, seed=SEED)
    own = Voice.load(mine)
    made = nano.generate(TEXT, own, seed=SEED).voice
    return Voice(semantic, coarse, fine, made.info).canonical(nano.layout)


def long_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    saved = speak_long(nano, TEXT, mine, seed=SEED).save(folder / "l.wav", voice=True)
    assert saved.voice is not None
    return Voice.load(saved.voice)


def suno_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    bark.generation.preload_models(path="nano")
    made, _ = generate_audio(
        TEXT, history_prompt=str(mine), silent=True, output_full=True, seed=SEED
    )
    save_as_prompt(folder / "s.npz", made)
    return Voice.load(folder / "s.npz")


def notebook_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    bark.generation.preload_models(path="nano")
    semantic = generate_text_semantic(TEXT, history_prompt=mine, silent=True, seed=SEED)
    assert np.array_equal(
        semantic, text_to_semantic(TEXT, history_prompt=mine, silent=True, seed=SEED)
    )
    coarse = generate_coarse(semantic, history_prompt=mine, silent=True, seed=SEED)
    fine = generate_fine(coarse, history_prompt=mine, seed=SEED)
    full, audio = semantic_to_waveform(
        semantic, history_prompt=mine, silent=True, output_full=True, seed=SEED
    )
    assert np.array_equal(full["fine_prompt"], fine) and np.array_equal(audio, codec_decode(fine))
    info = {**full.info, "spoken": TEXT}  # this function never sees the text
    return Voice(semantic, coarse, fine, info).canonical(nano.layout)


def command_line_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    words = ["--model", "nano", "--text", TEXT, "--history_prompt", str(mine), "--seed", str(SEED)]
    assert main([*words, "-o", str(folder / "c.wav")]) == 0
    return Voice.load(folder / "c.npz")


def request_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    request = SpeakRequest((TEXT,), voice=str(mine), seed=SEED, folder=folder, name="r")
    (take,) = speak(request, bark=nano)
    assert take.voice is not None
    return Voice.load(take.voice)


def coqui_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    tts = BarkTTS(bark=nano, progress_bar=False)
    said = tts._speak(TEXT, tts.bark.resolve_voice(mine), SEED, True, {})
    assert np.array_equal(said.audio, tts.tts(TEXT, str(mine), seed=SEED))
    return said.voice


def replay_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    saved = nano.generate(TEXT, mine, seed=SEED).save(folder / "first.wav", voice=True)
    assert saved.record is not None
    done = replay(saved.record, bark=nano, target=Target(name="again"))
    assert done.different == () and done.take.voice is not None
    return Voice.load(done.take.voice)


def http_way(nano: Bark, mine: Path, folder: Path) -> Voice:
    from fastapi.testclient import TestClient

    from booth.serve.app import create_app
    from booth.serve.config import ServeSettings
    from booth.serve.engine import Engine

    shutil.copy(mine, folder / "me.npz")
    app = create_app(ServeSettings(model="nano", voices=folder), Engine(nano))
    asked = {"input": TEXT, "voice": "me", "seed": SEED}
    with TestClient(app, base_url="http://127.0.0.1") as client:
        spoken = client.post("/v1/audio/speech", json=asked | {"response_format": "pcm"})
        kept = client.post("/v1/audio/voices/from_take", json=asked | {"name": "kept"})
    assert kept.is_success
    made = nano.generate(TEXT, mine, seed=SEED).audio
    heard = np.frombuffer(spoken.content, dtype="<i2") / 32_767
    assert len(heard) == len(made) and np.abs(heard - made.clip(-1, 1)).max() < 1e-4
    return Voice.load(folder / "kept.npz")


DOORS = {
    way.__name__: way
    for way in (
        python_way, batch_way, stage_way, long_way, suno_way, notebook_way, command_line_way,
        request_way, coqui_way, replay_way, http_way,
    )
}  # fmt: skip


@pytest.fixture(autouse=True)
def clean() -> Any:
    yield
    bark.generation.clean_models()


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_same_tokens_and_the_same_info(
    door: str, nano: Bark, mine: Path, expected: Voice, tmp_path: Path
) -> None:
    made = DOORS[door](nano, mine, tmp_path)
    assert made.digest == expected.digest
    assert made.info == expected.info
    assert {name: made.info[name] for name in CONSENT} == CONSENT


def test_suno_weights_are_spoken_with_sunos_settings_by_every_door(
    golden: Path, tmp_path: Path
) -> None:
    """The golden tiny checkpoints, in Suno's format, with no setting said anywhere."""
    folder = tmp_path / "suno"
    folder.mkdir()
    for file in (golden / "C_hf_bark").iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ntest\n")
    one = Bark.from_pretrained(folder, device="cpu")
    assert one.defaults.to_dict()["semantic_temperature"] == 0.7
    made = one.generate("a test", seed=5, max_duration_s=0.5, allow_early_stop=False)
    bark.generation.preload_models(path=folder)
    semantic = generate_text_semantic(
        "a test", silent=True, seed=5, max_gen_duration_s=0.5, allow_early_stop=False
    )
    coarse = generate_coarse(semantic, silent=True, seed=5)
    fine = generate_fine(coarse, seed=5)
    assert np.array_equal(made.tokens.semantic, semantic)
    assert np.array_equal(made.tokens.coarse, coarse) and np.array_equal(made.tokens.fine, fine)
    request = SpeakRequest(
        ("a test",), seed=5, settings={"max_duration_s": 0.5, "allow_early_stop": False},
        folder=tmp_path, name="x",
    )  # fmt: skip
    (take,) = speak(request, bark=one)
    parts = json.loads(take.record.read_text())["parts"]
    assert [part["tokens_sha256"] for part in parts] == [made.tokens.digest]


def test_a_voice_of_the_facade_says_whose_it_is(nano: Bark, mine: Path, tmp_path: Path) -> None:
    """Without its info large would take nano's tokens and speak noise."""
    made = suno_way(nano, mine, tmp_path)
    from bark.checkpoints import find_model
    from bark.errors import VoiceError

    with pytest.raises(VoiceError, match="the voice was made for nano"):
        find_model("large").resolve_voice(made)
