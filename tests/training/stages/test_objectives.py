"""training.stages.objectives: windows equal to those the stages feed, and losses that fall."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="the training extra is not installed")

from bark.errors import CheckpointError, SettingError
from bark.stages.coarse import coarse_window
from bark.stages.semantic import semantic_prompt
from bark.tokens import BARK, TokenLayout, flatten_codebooks
from training.engine.run_folder import load_network, network_tensors
from training.engine.trainer import Trainer, TrainerOptions
from training.stages.acoustic import new_coarse, new_fine
from training.stages.attention import block_attention, guide_heads, use_block_attention
from training.stages.examples import Example, Speaker
from training.stages.initial import NetworkSize, deepened, nano_layout, new_semantic
from training.stages.objectives import (
    IGNORE,
    CoarseObjective,
    FineObjective,
    ObjectiveOptions,
    SemanticObjective,
)

UNITS, TEXT_IDS = 1000, 30
LAYOUT = nano_layout(UNITS, TEXT_IDS)
SMALL = NetworkSize(width=48, layers=2, heads=2)
OPTIONS = ObjectiveOptions(batch=2, validation_batches=1)


def counting_speaker(name: str, lengths: tuple[int, ...], real: bool = False) -> Speaker:
    """Make utterances whose tokens count the time through all of them, so that any window shows its place."""
    total = sum(lengths)
    units = np.arange(total)
    frames = np.tile(np.arange(total * 3 // 2), (8, 1)) + np.arange(8)[:, None]
    ends = np.cumsum(lengths)
    examples = tuple(
        Example(
            np.full(length // 10, index + 1),
            units[end - length : end],
            frames[:, (end - length) * 3 // 2 : end * 3 // 2],
        )
        for index, (length, end) in enumerate(zip(lengths, ends, strict=True))
    )
    return Speaker(name, real, examples)


SPEAKER = counting_speaker("a", (120, 80, 200, 160))
LONG = counting_speaker("b", (600,), real=True)


def test_places_in_the_text_follow_joined_utterances_and_count_in_training_only() -> None:
    examples = tuple(
        Example(
            np.full(4, 5 + 4 * k),
            np.full(6, k),
            np.zeros((8, 9), int),
            np.array([0, 0, 1, 2, 3, 4]),
        )
        for k in range(2)
    )
    options = ObjectiveOptions(batch=1, joined=1.0, guidance=0.5)
    objective = SemanticObjective([Speaker("a", False, examples)], [], LAYOUT, options)
    batch = objective.batch(np.random.default_rng(0))
    places = [0, 0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 8]  # of both utterances' units and of the end
    assert all(row.tolist() == places for row in batch["sounding"])
    network = new_semantic(
        LAYOUT, SMALL, np.eye(UNITS, 8), np.full((TEXT_IDS, UNITS), 1 / UNITS), 10.0
    )
    use_block_attention(network)
    guide_heads(network, (1,))
    generator = torch.Generator()
    told, _ = objective.loss(network.train(), batch, 0, generator)
    alone, _ = objective.loss(network.eval(), batch, 0, generator)
    assert told > alone + 0.1
    unknown = batch | {"sounding": torch.full_like(batch["sounding"], IGNORE)}
    assert torch.isfinite(objective.loss(network.train(), unknown, 0, generator)[0])


def test_semantic_items_are_the_prompts_of_the_stage() -> None:
    objective = SemanticObjective([SPEAKER], [], LAYOUT, ObjectiveOptions(batch=2, joined=0.0))
    for seed in range(5):
        batch = objective.batch(np.random.default_rng(seed))
        for text, history, targets in zip(
            *(batch[key].numpy() for key in ("text", "history", "targets")), strict=True
        ):
            index = int(text[0]) - LAYOUT.text_offset - 1
            example = SPEAKER.examples[index]
            assert example.text is not None
            said = history[history != LAYOUT.semantic_pad]
            prompt = semantic_prompt(example.text, said if len(said) else None, LAYOUT)
            np.testing.assert_array_equal(np.concatenate([text, history]), prompt[:-1])
            expected = np.append(example.semantic, LAYOUT.semantic_pad)
            np.testing.assert_array_equal(targets[: len(expected)], expected)
            assert (targets[len(expected) :] == IGNORE).all()
            assert not np.isin(said, example.semantic).any()


def test_texts_are_read_behind_recordings_whose_words_nobody_knows() -> None:
    recorded = Speaker(
        "r", True, (Example(None, np.arange(700, 900), np.zeros((8, 0), int), None),)
    )
    for share, heard in ((1.0, {True}), (0.0, {False}), (0.5, {True, False})):
        options = ObjectiveOptions(batch=2, joined=0.0, no_history=0.0, other_history=share)
        objective = SemanticObjective([SPEAKER, recorded], [], LAYOUT, options)
        found = set()
        for seed in range(10):
            batch = objective.batch(np.random.default_rng(seed))
            said = batch["targets"][batch["targets"] != IGNORE]
            assert (said[said != LAYOUT.semantic_pad] < 560).all(), "what is said has a text"
            for history in batch["history"].numpy():
                history = history[history != LAYOUT.semantic_pad]
                found |= {bool((history >= 700).all())} if len(history) else set()
        assert found == heard, share


def test_joined_items_speak_both_texts() -> None:
    objective = SemanticObjective([SPEAKER], [], LAYOUT, ObjectiveOptions(batch=2, joined=1.0))
    batch = objective.batch(np.random.default_rng(1))
    for text, targets in zip(batch["text"].numpy(), batch["targets"].numpy(), strict=True):
        letters = (text != LAYOUT.text_pad).sum()  # one for ten units
        assert (targets != IGNORE).sum() == 10 * letters + 1
        index = int(text[0]) - LAYOUT.text_offset - 1
        assert letters > len(SPEAKER.examples[index].semantic) // 10


@pytest.mark.parametrize("layout", [LAYOUT, TokenLayout(semantic_rate=50.0, semantic_vocab=UNITS)])
def test_coarse_windows_begin_with_their_units(layout: TokenLayout) -> None:
    objective = CoarseObjective([LONG], [], layout, OPTIONS)
    for seed in range(8):
        batch = objective.batch(np.random.default_rng(seed))
        assert batch["semantic"].shape[1] == layout.coarse_semantic_window
        for units, coarse in zip(batch["semantic"].numpy(), batch["coarse"].numpy(), strict=True):
            units = units[units != layout.coarse_semantic_pad]
            coarse = coarse[coarse != IGNORE] - layout.coarse_offset
            most = layout.max_coarse_history + layout.sliding_window
            assert len(coarse) == min(3 * len(units), most)
            assert units[0] % 2 == 0
            frames = coarse[::2]
            np.testing.assert_array_equal(frames, units[0] * 3 // 2 + np.arange(len(frames)))
            np.testing.assert_array_equal(coarse[1::2], frames + 1 + layout.codebook_size)


def test_coarse_windows_are_those_of_the_stage() -> None:
    objective = CoarseObjective([LONG], [], LAYOUT, ObjectiveOptions(batch=4, cut_short=0.0))
    semantic, codes = LONG.examples[0].semantic, LONG.examples[0].codes[:2]
    flat = flatten_codebooks(codes) + LAYOUT.coarse_offset
    batch = objective.batch(np.random.default_rng(0))
    for units, coarse in zip(batch["semantic"].numpy(), batch["coarse"].numpy(), strict=True):
        now = (
            int(units[0]) + LAYOUT.max_coarse_history // 3
        )  # the moment at which a full history begins there
        window = coarse_window(semantic, flat[: 3 * now], now, LAYOUT.max_coarse_history, LAYOUT)
        expected = np.concatenate(
            [units, [LAYOUT.coarse_infer], coarse[: LAYOUT.max_coarse_history]]
        )
        np.testing.assert_array_equal(window, expected)


class Transparent(torch.nn.Module):
    """A network whose hidden state is its input, and keeps the gradient of it."""

    def __init__(self, size: int = 4000) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(size, 4)
        self.lm_head = torch.nn.Linear(4, size, bias=False)

    def hidden(self, embedded: torch.Tensor) -> torch.Tensor:
        self.seen = embedded.detach().requires_grad_()
        return self.seen


def test_a_bad_recording_is_heard_in_front_and_not_learned() -> None:
    prompts = tuple(
        replace(example, semantic=example.semantic + 600, codes=example.codes + 100)
        for example in SPEAKER.examples
    )
    options = ObjectiveOptions(batch=4, cut_short=0.0, rough=1.0)
    objective = CoarseObjective([replace(SPEAKER, prompts=prompts)], [], LAYOUT, options)
    batch = objective.batch(np.random.default_rng(0))
    rows = zip(*(batch[key].numpy() for key in ("semantic", "coarse", "rough")), strict=True)
    for units, coarse, rough in rows:
        length = rough // 3
        assert rough % 6 == 0 and 0 < length <= 3 * LAYOUT.coarse_semantic_window // 4
        heard, said = units[:length], units[length:]
        assert (heard >= 600).all() and (said < 600).all()
        said_before = [e for e in SPEAKER.examples if np.isin(heard - 600, e.semantic).any()]
        assert len(said_before) == 1 and not np.isin(said, said_before[0].semantic).any()
        first_codes = coarse[:rough:2] - LAYOUT.coarse_offset  # they count 3 frames in 2 units
        np.testing.assert_array_equal(first_codes[::3], (heard[::2] - 600) * 3 // 2 + 100)
    network = Transparent()
    objective.loss(network, batch, 0, torch.Generator())[0].backward()
    gradient = network.seen.grad[:, LAYOUT.coarse_semantic_window :]  # type: ignore[index]
    places = torch.arange(batch["coarse"].shape[1])
    wanted = (batch["coarse"] != IGNORE) & (places >= batch["rough"][:, None])
    torch.testing.assert_close(gradient.abs().sum(-1) > 0, wanted)


def test_folders_of_recordings_have_the_same_share() -> None:
    people = [replace(LONG, name=str(index), folder=int(index > 0)) for index in range(9)]
    objective = FineObjective(people, [], LAYOUT, OPTIONS)
    generator = np.random.default_rng(0)
    drawn = [objective._speaker(objective._groups, generator).folder for _ in range(400)]
    assert 0.4 < np.mean(drawn) < 0.6


def test_fine_windows_hide_the_book_behind_the_history() -> None:
    objective = FineObjective([LONG, SPEAKER], [], LAYOUT, OPTIONS)
    books = set()
    for seed in range(30):
        batch = objective.batch(np.random.default_rng(seed))
        book = int(batch["book"][0])
        books.add(book)
        codes, targets = batch["codes"].numpy(), batch["targets"].numpy()
        pad = LAYOUT.codebook_size
        assert codes.shape[1:] == (LAYOUT.fine_window, 8)
        assert (codes[:, :, book + 1 :] == pad).all()
        hidden = targets != IGNORE
        assert hidden.any(axis=1).all()
        np.testing.assert_array_equal(codes[:, :, book] == pad, hidden | (codes[:, :, 0] == pad))
        np.testing.assert_array_equal(targets[hidden], codes[:, :, 0][hidden] + book)
    assert books == set(range(2, 8))


def test_real_and_synthetic_speakers_share_the_batches() -> None:
    objective = FineObjective([SPEAKER, LONG], [], LAYOUT, ObjectiveOptions(real_share=0.45))
    generator = np.random.default_rng(0)
    drawn = [objective._speaker(objective._groups, generator).real for _ in range(400)]
    assert 0.35 < np.mean(drawn) < 0.55


def test_batches_depend_only_on_the_generator() -> None:
    objective = CoarseObjective([SPEAKER, LONG], [SPEAKER], LAYOUT, OPTIONS)
    first, again = (objective.batch(np.random.default_rng(3)) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    one, two = list(objective.validation()), list(objective.validation())
    assert len(one) == 1 and torch.equal(one[0]["coarse"], two[0]["coarse"])


def test_no_speakers_is_an_error() -> None:
    with pytest.raises(SettingError, match="training speakers: got none"):
        SemanticObjective([LONG.__class__("c", True, ())], [], BARK, OPTIONS)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("length", [5, 192, 401])
def test_block_attention_is_attention(causal: bool, length: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, length, 8, generator=generator)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    torch.testing.assert_close(block_attention(query, key, value, is_causal=causal), expected)


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
def test_two_examples_are_learned(stage: str, tmp_path: Path) -> None:
    """Overfit: in 20 steps the loss on two utterances of one speaker must fall well below the start."""
    generator = np.random.default_rng(0)
    two = tuple(
        Example(
            generator.integers(0, TEXT_IDS, 12),
            generator.integers(0, 50, 60),
            generator.integers(0, 50, (8, 90)),
        )
        for _ in range(2)
    )
    speakers = [Speaker("a", False, two)]
    layout = nano_layout(50, TEXT_IDS)
    centres, codebooks = generator.normal(size=(50, 8)), generator.normal(size=(8, 1024, 16))
    objectives = {"semantic": SemanticObjective, "coarse": CoarseObjective, "fine": FineObjective}
    networks = {
        "semantic": lambda: new_semantic(
            layout, SMALL, centres, generator.random((TEXT_IDS, 50)), 10.0
        ),
        "coarse": lambda: new_coarse(layout, SMALL, centres, codebooks),
        "fine": lambda: new_fine(layout, SMALL, codebooks),
    }
    objective = objectives[stage](speakers, speakers, layout, OPTIONS)
    options = TrainerOptions(
        steps=20, warmup=2, learning_rate=5e-3, validate_every=1, checkpoint_every=20, log_every=1,
        mixed_precision="no", device="cpu",
    )  # fmt: skip
    Trainer(networks[stage](), objective, tmp_path, options).run()
    rows = [json.loads(row) for row in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["phase"] == "validation"]
    assert losses[-1] < {"semantic": 0.85, "coarse": 0.85, "fine": 0.96}[stage] * losses[0]


def test_a_deeper_network_begins_as_the_one_it_goes_on_from() -> None:
    random = np.random.default_rng(0)
    centres, books = random.normal(size=(UNITS, 8)), random.normal(size=(8, 1024, 8))
    arrays = centres.astype(np.float32), books.astype(np.float32)
    first = new_coarse(LAYOUT, SMALL, *arrays, 0)
    deeper = new_coarse(LAYOUT, replace(SMALL, layers=4), *arrays, 1)
    load_network(deeper, deepened(network_tensors(first), deeper), Path("first"))
    ids = torch.arange(40)[None]
    torch.testing.assert_close(deeper(ids), first(ids))
    with pytest.raises(CheckpointError):  # layers are not left out
        load_network(first, deepened(network_tensors(deeper), first), Path("deeper"))
