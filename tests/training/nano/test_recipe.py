"""training.nano at a tiny size: codec, codes and the three stages, resumed, assembled, and speaking."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="the training extra is not installed")

from bark.codec.decoder import with_decoder
from bark.codec.mel import MelCodec
from bark.errors import MissingFileError
from bark.pipeline import Bark
from bark.voice.voice import Voice
from tests.conftest import contents
from tests.judges import skip_without_judges
from training.engine.blend import SHARES
from training.nano import stages
from training.nano.assemble import assemble
from training.nano.command import main
from training.nano.mel_decoder import BLOCKS
from training.nano.options import STEPS, NanoOptions
from training.nano.recipe import WORK_OF, run_all
from training.nano.speakers import load_speakers
from training.stages.initial import NetworkSize

UNITS = 20
SECONDS = 4


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in stages.STAGES:
        monkeypatch.setitem(stages.SIZES, stage, NetworkSize(width=32, layers=1, heads=2))
        monkeypatch.setitem(stages.BATCHES, stage, 1)


def write_voice(work: Path, name: str, split: str, seed: int) -> None:
    """Write corpus and tokens of a voice that is coloured noise, with made-up words and units."""
    random = np.random.default_rng(seed)
    samples = SECONDS * 24_000
    audio = np.convolve(random.normal(size=samples), np.ones(8), "same") * 0.02
    starts = np.array([0, samples // 2, samples])
    (work / "corpus").mkdir(parents=True, exist_ok=True)
    (work / "tokens").mkdir(exist_ok=True)
    real = name.startswith("real_")
    np.savez(
        work / "corpus" / f"{name}.npz",
        audio=(audio * 32767).astype(np.int16), starts=starts,
        texts=np.array(["", ""] if real else ["one two three", "four"]), kinds=np.array(["digits", "digits"]),
        roles=np.array(["prompt", "test"] if split == "heldout" else ["train", "train"]),
        phones=random.integers(0, 40, samples // 480).astype(np.uint8), split=np.array(split),
        recipe=np.array("{}"),
    )  # fmt: skip
    units = random.integers(0, UNITS, samples // 480).astype(np.uint16)
    np.savez(work / "tokens" / f"{name}.npz", semantic=units, starts=starts)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without_judges()  # the codec learns by likeness
    work = tmp_path_factory.mktemp("work")
    voices = [
        ("flite_a", "train"),
        ("flite_b", "train"),
        ("real_1", "train"),
        ("real_2_a", "train"),
        ("real_1_r", "prompt"),
        ("real_3", "kept_back"),
    ]
    for seed, (name, split) in enumerate([*voices, ("held_a", "heldout")]):
        write_voice(work, name, split, seed)
    (work / stages.HUBERT).mkdir()
    centres = np.random.default_rng(9).normal(size=(UNITS, 8)).astype(np.float32)
    np.savez(work / stages.HUBERT / "kmeans.npz", centers=centres)
    assert main(["codec", "--work", str(work), "--steps", "2", "--device", "cpu"]) == 0
    assert main(["codes", "--work", str(work)]) == 0
    return work


def test_codes_lie_on_the_grid_of_the_tokens(work: Path) -> None:
    speakers = load_speakers(work, "train", ("tokens", "codes"), lambda text: [len(text) % 40])
    assert [speaker.name for speaker in speakers] == ["flite_a", "flite_b", "real_1", "real_2_a"]
    for speaker in speakers:
        for example in speaker.examples:
            assert example.codes.shape == (8, len(example.semantic) * 3 // 2)
            assert (example.text is None) == speaker.real
    held = load_speakers(work, "heldout", ("tokens",))
    assert len(held[0].examples) == 1  # the test text stays unseen


def test_codes_of_another_codec_are_made_again(work: Path) -> None:
    path, weights = work / "codes" / "flite_a.npz", work / "codec" / "codec.safetensors"
    before, kept = path.read_bytes(), weights.read_bytes()
    assert main(["codes", "--work", str(work)]) == 0 and path.read_bytes() == before
    codec = MelCodec.load(work / "codec")
    codec.network.codebooks.data.mul_(-1)
    codec.save(work / "codec")
    assert main(["codes", "--work", str(work)]) == 0 and path.read_bytes() != before
    weights.write_bytes(kept)
    assert main(["codes", "--work", str(work)]) == 0 and path.read_bytes() == before


def test_the_decoder_learns_from_the_codec_of_the_folder(work: Path) -> None:
    assert main(["decoder", "--work", str(work), "--steps", "2", "--device", "cpu"]) == 0
    codec = with_decoder(MelCodec.load(work / "codec"), work)
    audio = np.random.default_rng(0).normal(0, 0.05, 9600).astype(np.float32)
    assert codec.decode(codec.encode(audio)).shape == (9600,)
    again = ["decoder", "--work", str(work), "--steps", "2", "--device", "cpu"]
    assert main([*again, "--init", str(work / "decoder.safetensors")]) == 2  # this run began anew


def test_stages_train_resume_assemble_and_speak(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in stages.STAGES:
        larger = ["--width", "48", "--layers", "2"] if stage == "coarse" else []
        assert main([stage, "--work", str(work), "--steps", "2", "--device", "cpu", *larger]) == 0
        assert main([stage, "--work", str(work), "--steps", "3", "--device", "cpu", *larger]) == 0
        rows = [
            json.loads(row)
            for row in (work / "runs" / stage / "metrics.jsonl").read_text().splitlines()
        ]
        assert [row["step"] for row in rows if row["phase"] == "train"] == [
            2,
            3,
        ]  # went on, not anew
    folder = tmp_path / "model"
    assemble(work, folder)
    assert max(map(len, contents(folder).values())) < 16 << 20  # bytes of a file in the package
    bark = Bark.from_pretrained(folder)
    assert bark.layout.semantic_vocab == UNITS and bark.defaults.fine.temperature == 0.8
    coarse, fine = bark.coarse.model.config, bark.fine.model.config
    assert (coarse.n_embd, coarse.n_layer, coarse.n_head, fine.n_embd, fine.n_layer) == (
        48,
        2,
        2,
        32,
        1,
    )
    best = str(work / "runs" / "fine" / "best.safetensors")
    for words in (
        "coarse --steps 3",  # another network
        "coarse --steps 3 --width 50",
        "coarse --steps 3 --layers 0",
        "fine --steps 3 --seed 1",
        f"fine --steps 3 --init {best}",
        "codec --learning-rate 1",
        "codec --width 0",
    ):
        assert main([*words.split(), "--work", str(work), "--device", "cpu"]) == 2, words
    (work / "runs" / "fine").rename(work / "runs" / "earlier")
    began = str(work / "runs" / "earlier" / "best.safetensors")
    going_on = ["fine", "--work", str(work), "--steps", "1", "--device", "cpu", "--init", began]
    assert main(going_on) == 0
    assert capsys.readouterr().err.count("of the trained weights") == len(SHARES)
    held = load_speakers(work, "heldout", ("tokens", "codes"))[0].examples[0]
    voice = Voice(held.semantic, held.codes[:2], held.codes)
    spoken = bark.generate("one two", voice, seed=3, max_duration_s=0.4, allow_early_stop=False)
    frames = spoken.tokens.fine.shape[1]
    assert frames == len(spoken.tokens.semantic) * 3 // 2 and len(spoken.audio) == 320 * frames
    again = bark.generate("one two", voice, seed=3, max_duration_s=0.4, allow_early_stop=False)
    np.testing.assert_array_equal(spoken.audio, again.audio)


def test_the_model_takes_the_decoder_that_was_trained_on(work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    shutil.copytree(work, folder, ignore=shutil.ignore_patterns("runs"))
    for step in (*stages.STAGES, "mel"):
        assert main([step, "--work", str(folder), "--steps", "1", "--device", "cpu"]) == 0
    voices = sorted(path.stem for path in (folder / "filled").glob("*.npz"))
    assert voices == ["flite_a", "flite_b", "held_a", "real_1", "real_2_a", "real_3"]
    written = (folder / "filled" / "real_1.npz").stat().st_mtime_ns
    again = ["mel", "--work", str(folder), "--steps", "1", "--device", "cpu"]
    assert main(again) == 0 and (folder / "filled" / "real_1.npz").stat().st_mtime_ns == written
    assemble(folder, tmp_path / "model")
    plain, longer = (MelCodec.load(path) for path in (folder / "codec", tmp_path / "model"))
    assert longer.network.config.decoder_blocks == plain.network.config.decoder_blocks + BLOCKS
    audio = np.random.default_rng(0).normal(0, 0.05, 9600).astype(np.float32)
    codes = plain.encode(audio)
    np.testing.assert_array_equal(longer.encode(audio), codes)
    assert np.abs(longer.decode(codes) - plain.decode(codes)).max() > 0


def test_people_kept_back_validate_and_bad_recordings_are_prompts(work: Path) -> None:
    train, kept_back, held_out = (
        load_speakers(work, split, ("tokens", "codes"))
        for split in ("train", "kept_back", "heldout")
    )
    assert [speaker.name for speaker in kept_back] == ["real_3"]
    assert not {"real_3", "real_1_r"} & {speaker.name for speaker in train}
    prompts = {speaker.name: len(speaker.prompts) for speaker in train + held_out}
    assert {name for name, count in prompts.items() if count} == {"real_1"}
    assert prompts["real_1"] == 2


def test_missing_steps_are_named(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["codes", "--work", str(tmp_path)]) == 2
    assert "codec file not found" in capsys.readouterr().err
    write_voice(tmp_path, "flite_a", "train", 0)
    assert main(["fine", "--work", str(tmp_path)]) == 2
    assert "Run the step codes first" in capsys.readouterr().err
    with pytest.raises(MissingFileError, match="Run the step hubert first"):
        assemble(tmp_path, tmp_path / "model")


def test_lanes_share_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: dict[str, str] = {}

    def noting(
        command: list[str], *, env: dict[str, str], check: bool
    ) -> subprocess.CompletedProcess[str]:
        ran[command[3]] = env["OMP_NUM_THREADS"]
        assert [b for a, b in zip(command, command[1:], strict=False) if a == "--real"] == [
            "a",
            "b",
        ]
        assert ("--lines" in command) == (env["OMP_NUM_THREADS"] == "2"), "no two bars at once"
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", noting)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    run_all(NanoOptions(tmp_path, real=(Path("a"), Path("b"))))
    assert set(ran) == set(STEPS) - {"decoder"}  # which nano has none of, yet
    assert set(STEPS) == set(WORK_OF)
    assert {step for step, threads in ran.items() if threads == "2"} == {
        *"codec codes fine mel hubert tokens".split()
    }
    assert set(ran.values()) == {"2", "4"}
