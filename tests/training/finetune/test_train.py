"""training.finetune: each stage learns, LoRA merges exactly, runs resume exactly, the result speaks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("accelerate", reason="the training extra is not installed")
pytest.importorskip("peft", reason="the training extra is not installed")

from bark.checkpoints.find import find_model
from bark.checkpoints.formats import build_network, load_stage
from bark.errors import CheckpointError, SettingError, StorageError
from bark.pipeline import Bark
from bark.stages.semantic import semantic_prompt
from bark.storage.weights import read_weights
from bark.tokens import BARK
from bark.voice.voice import Voice
from tests.conftest import contents
from tests.listening import make_tiny_hubert
from tests.suno_files import add_codec, suno_folder
from tests.tiny import LAYOUT
from training.engine.run_folder import checkpoints, read_metrics
from training.finetune import train as finetune_module
from training.finetune.command import main
from training.finetune.data import Entry, VoiceData, token_file
from training.finetune.export import export_model
from training.finetune.lora import add_lora, plain_weights
from training.finetune.train import (
    EvenShares,
    FinetuneOptions,
    FinetuneResult,
    finetune,
    steps_per_epoch,
)
from training.nano.stages import STAGES
from training.stages.examples import Example
from training.stages.objectives import OBJECTIVES, ObjectiveOptions, SemanticObjective

TEXTS = ("one two three", "four five six", "seven eight nine")


@pytest.fixture(scope="module")
def data(tiny_bark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three utterances: two train, one validates; few different tokens, so that there is something to learn."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    entries = []
    for line, text in enumerate(TEXTS, start=1):
        fine = generator.integers(0, 5, (8, 90))
        voice = Voice(generator.integers(0, 5, 60), fine[:2], fine)
        voice.save(token_file(folder, f"u{line}"), LAYOUT)
        ids = tuple(find_model(tiny_bark).load_tokenizer().encode(text))
        entries.append(Entry(f"u{line}", line, text, ids, 60, 90, voice.digest))
    VoiceData(folder, str(tiny_bark), LAYOUT, 0.05, tuple(entries)).save()
    return folder


@pytest.fixture
def options(data: Path, tmp_path: Path) -> FinetuneOptions:
    return FinetuneOptions(
        "fine", data, tmp_path / "run", steps=20, batch_size=1, learning_rate=1e-2, validate_every=10,
        samples=0, mixed_precision="no", device="cpu", log_every=1,
    )  # fmt: skip


def logits(network: Any, stage: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        if stage == "fine":
            return network.eval()(3, torch.randint(0, 1024, (2, 40, 8), generator=generator))
        return network.eval()(torch.randint(0, 60, (2, 40), generator=generator))


@pytest.mark.parametrize("lora", [None, 8])
@pytest.mark.parametrize("stage", STAGES)
def test_two_utterances_are_learned(
    stage: str, lora: int | None, options: FinetuneOptions, tiny_bark: Path
) -> None:
    result = finetune(
        replace(options, stage=stage, lora=lora, learning_rate=1e-2 if lora is None else 5e-2)
    )
    losses = [row["loss"] for row in read_metrics(options.out) if row["phase"] == "train"]
    assert len(losses) == 20
    assert np.mean(losses[-5:]) < np.mean(losses[:3]) - 0.3
    assert result.best_loss < result.loss_before
    for part in (*STAGES, "codec"):
        base, tuned = (
            read_weights(folder / f"{part}.safetensors") for folder in (tiny_bark, result.model)
        )
        assert base.keys() == tuned.keys()
        assert all(torch.equal(base[name], tuned[name]) for name in base) == (part != stage)
    assert find_model(result.model).name == f"tiny, {stage} fine-tuned"
    assert list((options.out / "tensorboard").iterdir())


def test_the_result_is_a_bark_of_its_own_that_speaks(
    options: FinetuneOptions, tiny_bark: Path
) -> None:
    from bark.generation import load_model, preload_models

    result = finetune(replace(options, stage="semantic", steps=2, samples=1, validate_every=1))
    bark = Bark.from_pretrained(result.model, device="cpu")
    prompt = options.out / "voice.npz"
    spoken = bark.generate("one two three", prompt, seed=1)
    tokens = spoken.tokens.fine.shape[1]
    assert tokens and len(spoken.audio) == 320 * tokens
    preload_models(text_use_gpu=False, coarse_use_gpu=False, fine_use_gpu=False, codec_use_gpu=False,
                   force_reload=True, path=result.model)  # fmt: skip
    held = load_model(use_gpu=False, model_type="text", path=result.model)["model"].state_dict()
    exported = load_stage(result.model, "semantic").state_dict()
    assert all(torch.equal(held[name], exported[name]) for name in exported)

    samples = sorted((options.out / "samples").iterdir())
    assert [path.name for path in samples] == ["step-000001-1.wav", "step-000002-1.wav"]
    info = soundfile.info(samples[1])
    assert info.samplerate == 24_000 and info.frames
    with soundfile.SoundFile(samples[1]) as file:
        assert file.title in TEXTS and "AI-generated" in file.comment


@pytest.mark.parametrize("stage", STAGES)
def test_merged_adapters_are_the_network_with_them(stage: str, tiny_bark: Path) -> None:
    network = load_stage(tiny_bark, stage)
    before = logits(network, stage)
    add_lora(network, 4)
    assert torch.equal(logits(network, stage), before)  # adapters begin as zero
    trainable = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert (
        len(trainable) == 2 * 4 * 2
    )  # two matrices beside each of four linear layers of two blocks
    assert all("lora_" in name for name in trainable)
    with torch.no_grad():
        for name in trainable:
            network.get_parameter(name).normal_(0, 0.3)
    adapted = logits(network, stage)
    assert not torch.allclose(adapted, before, atol=1e-2)
    weights = plain_weights(network)
    merged = build_network(network.config, weights, "merged")
    assert not any("lora" in name or "base_layer" in name for name in weights)
    torch.testing.assert_close(
        logits(merged, stage), adapted, rtol=1e-4, atol=1e-4
    )  # the bound of golden logits
    torch.testing.assert_close(logits(network, stage), adapted)  # still with adapters
    with pytest.raises(SettingError, match="LoRA rank: got 0"):
        add_lora(network, 0)


class Killed(Exception):
    pass


@pytest.mark.parametrize("lora", [None, 2])
def test_a_killed_run_ends_as_if_nothing_had_happened(
    lora: int | None, options: FinetuneOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(options, stage="semantic", steps=6, validate_every=2, lora=lora)
    whole = finetune(options)

    def kill(self: object, step: int) -> None:
        if step == 4:
            raise Killed

    again = replace(options, out=tmp_path / "again", samples=1)
    monkeypatch.setattr(finetune_module.SampleSpeaker, "__call__", kill)
    with pytest.raises(Killed):
        finetune(again)
    assert [path.name for path in checkpoints(again.out)] == ["checkpoint-0000002.safetensors"]
    monkeypatch.undo()
    resumed = finetune(replace(again, samples=0))
    assert contents(resumed.model) == contents(whole.model)
    assert (resumed.best_loss, resumed.loss_before) == (whole.best_loss, whole.loss_before)
    assert finetune(replace(again, samples=0)) == resumed  # a finished run is only exported again

    with pytest.raises(SettingError, match=r"belongs to another run: got seed was 0, is 1"):
        finetune(replace(again, seed=1))


def test_training_stops_when_validation_does(options: FinetuneOptions) -> None:
    result = finetune(replace(options, steps=20, learning_rate=0.5, validate_every=1, patience=2))
    assert result.step < 20 and result.step == result.best_step + 2
    tuned = load_stage(result.model, "fine")
    assert all(torch.isfinite(weight).all() for weight in tuned.parameters())


def test_init_and_model_choose_where_to_start(
    options: FinetuneOptions, data: Path, tiny_bark: Path
) -> None:
    first = finetune(replace(options, steps=1))
    second = finetune(
        replace(options, stage="coarse", steps=1, out=options.out / "2", model=str(first.model))
    )
    chained = contents(second.model)
    assert chained["fine.safetensors"] == contents(first.model)["fine.safetensors"]
    third = finetune(replace(options, steps=1, out=options.out / "3", init=first.model))
    assert third.loss_before == pytest.approx(first.best_loss)  # it goes on from there
    with pytest.raises(CheckpointError):
        finetune(replace(options, init=data / "data.json", out=options.out / "4"))


def test_what_does_not_fit_is_refused(
    options: FinetuneOptions, data: Path, tiny_bark: Path, tmp_path: Path
) -> None:
    whole = VoiceData.load(data)
    others = tmp_path / "others"
    replace(whole, folder=others, layout=BARK).save()
    with pytest.raises(SettingError, match="holds tokens of"):
        finetune(replace(options, data=others))
    replace(whole, folder=others, model="evil/model").save()
    with pytest.raises(SettingError, match="a model that is not here: got evil/model.*--model"):
        finetune(replace(options, data=others, model=None))
    one = tmp_path / "one"
    long = replace(whole.entries[1], tokens=LAYOUT.max_semantic)
    replace(whole, folder=one, entries=(whole.entries[0], long)).save()
    with pytest.raises(
        SettingError, match="utterances for the semantic stage .*got 1; allowed: 2 or more"
    ):
        finetune(replace(options, data=one, stage="semantic"))
    swapped = tmp_path / "swapped"
    replace(whole, folder=swapped).save()
    for number in (1, 2, 3):
        token_file(swapped, f"u{number}").parent.mkdir(exist_ok=True)
        token_file(swapped, f"u{number}").write_bytes(
            token_file(data, f"u{number % 3 + 1}").read_bytes()
        )
    with pytest.raises(CheckpointError, match="is not the one in data.json"):
        finetune(replace(options, data=swapped))


def test_an_export_takes_the_base_with_all_its_parts(tiny_bark: Path, tmp_path: Path) -> None:
    base = export_model(tiny_bark, "fine", *half_of(tiny_bark, "fine"), tmp_path / "base")
    make_tiny_hubert(base / "hubert", LAYOUT.semantic_vocab)
    target = export_model(base, "coarse", *half_of(base, "coarse"), tmp_path / "model")
    assert contents(base / "hubert") == contents(target / "hubert")
    halved, whole = (
        load_stage(target, "coarse").state_dict(),
        load_stage(base, "coarse").state_dict(),
    )
    assert all(torch.equal(halved[name], whole[name] / 2) for name in whole)
    export_model(base, "fine", *half_of(base, "fine"), target)  # an earlier export gives way
    assert contents(target)["coarse.safetensors"] == contents(base)["coarse.safetensors"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        export_model(base, "fine", *half_of(base, "fine"), tmp_path / "file" / "model")


def half_of(model: Path, stage: str) -> tuple[Any, dict[str, torch.Tensor]]:
    network = load_stage(model, stage)
    return network.config, {name: weight / 2 for name, weight in plain_weights(network).items()}


@pytest.fixture(scope="module")
def barks_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Bark in Suno's own files with its real vocabularies, and utterances that fill every window."""
    base = add_codec(suno_folder(tmp_path_factory.mktemp("suno")))
    folder = tmp_path_factory.mktemp("barks_data")
    generator = np.random.default_rng(0)
    entries = []
    for line in range(1, 4):
        fine = generator.integers(0, 1024, (8, 1152))
        voice = Voice(generator.integers(0, 10_000, 767), fine[:2], fine).canonical()
        voice.save(token_file(folder, f"u{line}"))
        ids = tuple(generator.integers(0, 119_547, 256).tolist())
        frames = voice.fine.shape[1]
        entries.append(Entry(f"u{line}", line, "a", ids, len(voice.semantic), frames, voice.digest))
    VoiceData(folder, str(base), BARK, 0.05, tuple(entries)).save()
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_barks_own_layout_and_files(stage: str, options: FinetuneOptions, barks_data: Path) -> None:
    result = finetune(
        replace(
            options, data=barks_data, stage=stage, steps=2, lora=1, validate_every=1, patience=9
        )
    )
    assert np.isfinite(result.best_loss)
    files = find_model(result.model)
    assert files.layout == BARK and files.codec_type == "encodec"
    base = find_model(VoiceData.load(barks_data).model)
    tuned, before = files.load(stage).state_dict(), base.load(stage).state_dict()
    changed = {name for name in before if not torch.equal(tuned[name], before[name])}
    assert changed and all(name.split(".")[-2] in ("c_attn", "c_proj", "c_fc") for name in changed)


def test_barks_windows_are_full(barks_data: Path) -> None:
    data = VoiceData.load(barks_data)
    speaker = data.speaker(data.entries)
    whole = ObjectiveOptions(batch=1, cut_short=0.0, joined=0.0, no_history=0.0)
    drawn = {
        stage: OBJECTIVES[stage]([speaker], [], BARK, whole).batch(np.random.default_rng(1))
        for stage in STAGES
    }
    semantic = {name: tensor.numpy()[0] for name, tensor in drawn["semantic"].items()}
    text = next(
        e.text_ids for e in data.entries if e.text_ids[0] + BARK.text_offset == semantic["text"][0]
    )
    known = semantic["history"][semantic["history"] != BARK.semantic_pad]
    prompt = semantic_prompt(text, known, BARK)
    np.testing.assert_array_equal(
        np.concatenate([semantic["text"], semantic["history"]]), prompt[:-1]
    )
    assert len(semantic["targets"]) == BARK.max_semantic  # 767 tokens and the end
    assert drawn["coarse"]["semantic"].shape == (1, 256) and drawn["coarse"]["coarse"].shape == (
        1,
        690,
    )
    assert drawn["fine"]["codes"].shape == (1, 1024, 8)


@pytest.mark.parametrize(
    ("items", "shared"), [(7, [0, 1, 2, 3, 4, 5]), (3, [0, 1, 2]), (2, [0, 1, 0]), (1, [0] * 3)]
)
def test_processes_share_a_batch_evenly(items: int, shared: list[int]) -> None:
    class Counting(SemanticObjective):
        def __init__(self) -> None:
            pass

        def batch(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
            return {"text": torch.arange(items)}

    assert EvenShares(Counting(), 3).batch(np.random.default_rng(0))["text"].tolist() == shared


def test_an_epoch_draws_what_the_utterances_hold() -> None:
    examples = [Example(np.zeros(9), np.zeros(512), np.zeros((8, 768)))] * 10
    assert steps_per_epoch("coarse", examples, BARK, 4) == 5120 / (256 * 4)
    assert steps_per_epoch("fine", examples, BARK, 1) == -(-7680 // 1024)
    assert steps_per_epoch("semantic", examples, BARK, 1) == -(-7690 // 1025)
    assert steps_per_epoch("fine", examples[:1], BARK, 64) == 1


def test_the_command(
    options: FinetuneOptions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        "--stage",
        "fine",
        "--data",
        str(options.data),
        "--out",
        str(options.out),
        "--device",
        "cpu",
    ]
    assert main([*words, "--steps", "2", "--samples", "0", "--learning-rate", "0.01"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 steps: validation loss ") and out.count("\n") <= 3
    assert f"written: {options.out / 'model'}, " in out
    assert "validation loss before training: " in err and "step 2 of 2: validation loss " in err
    settings = json.loads((options.out / "finetune.json").read_text())
    assert (settings["stage"], settings["steps"], settings["lora"]) == ("fine", 2, None)
    assert main([*words[:-2], "--device", "abacus"]) == 2
    assert "abacus" in capsys.readouterr().err

    def interrupted(*_: object) -> FinetuneResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune_module, "finetune", interrupted)
    assert main(words) == 130
    assert "to go on" in capsys.readouterr().err
