"""training.stages.alignment and training.stages.attention: where in the text a frame is, and heads that are told so."""

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="the training extra is not installed")

from bark.stages.gpt import GPT, GPTConfig
from bark.text.english.phones import IDS
from training.nano.corpus.synthesis import PHONE_IDS
from training.stages.alignment import UNKNOWN, align_text
from training.stages.attention import guide_heads, guides, use_block_attention


def heard(phones: str) -> np.ndarray:
    return np.array([PHONE_IDS[phone] for phone in phones.split()])


def written(symbols: str) -> np.ndarray:
    return np.array([IDS[symbol] for symbol in symbols.split()])


@pytest.mark.parametrize(
    ("phones", "symbols", "places"),
    [
        ("pau k k ae ae t pau", "K AE1 T", [0, 0, 0, 1, 1, 2, 3]),
        ("k aa t", "K AE1 T", [0, 1, 2]),  # another vowel
        ("k ae t pau s ih t", "K AE1 T , S IH1 T", [0, 1, 2, 3, 4, 5, 6]),
        ("k ae t pau s ih t", "K AE1 T S IH1 T", [0, 1, 2, 3, 3, 4, 5]),  # a pause nobody wrote
        ("ae n er r pau", "AE1 N ER0", [0, 1, 2, 2, 3]),  # a phone nobody wrote
        ("w ah n ah n", "W AH1 N , W AH1 N", [0, 1, 2, 5, 6]),  # written and not spoken
        ("ax b ax", "AH0 B AH0", [0, 1, 2]),
    ],
)
def test_frames_find_their_place_in_the_text(phones: str, symbols: str, places: list[int]) -> None:
    assert align_text(heard(phones), written(symbols)).tolist() == places


def test_a_repeated_word_keeps_its_order() -> None:
    one = "w ah n"
    found = align_text(heard(f"pau {one} {one} {one} pau"), written("W AH1 N " * 3))
    assert found.tolist() == [0, *range(9), 9]


def test_without_labels_or_text_nothing_is_known() -> None:
    labels = heard("k ae t")
    assert align_text(np.array([*labels, UNKNOWN]), written("K AE1 T")).tolist() == [-1] * 4
    assert align_text(labels, np.array([], int)).tolist() == [-1] * 3


def test_a_guided_head_learns_to_look_where_it_is_told() -> None:
    torch.manual_seed(0)
    config = GPTConfig(
        n_layer=2, n_head=2, n_embd=32, block_size=12, input_vocab_size=9, output_vocab_size=9
    )
    network = GPT(config)
    ids = torch.randint(9, (2, 12), generator=torch.Generator().manual_seed(0))
    plain = network(ids)
    use_block_attention(network)
    guide_heads(network, (1,))
    torch.testing.assert_close(network(ids), plain)  # being watched changes nothing
    places = torch.tensor([[3, 2, 1, 0], [0, -100, 2, 3]])
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(150):
        network(ids)
        loss = sum(guide.loss(places, 8) for guide in guides(network))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 1.5
    assert losses[-1] < 0.1
    with pytest.raises(RuntimeError):
        guides(network)[0].loss(places, 8)  # the pass was used up
