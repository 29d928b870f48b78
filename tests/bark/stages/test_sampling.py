"""The sampler's distributions equal Suno's, and its draws are reproducible."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bark.errors import CheckpointError, SettingError
from bark.stages.sampling import (
    Sampling,
    _ranked,
    _ranked_as_suno,
    draw,
    draw_rows,
    probabilities,
)
from tests.stages import message

LOGITS = torch.randn(5, 300, generator=torch.Generator().manual_seed(0)) * 3


def sampling(params: dict[str, Any]) -> Sampling:
    return Sampling(params["temp"], params.get("top_k"), params.get("top_p"))


@pytest.fixture(scope="module")
def filters(golden: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    folder = golden / "B_suno_expected"
    with np.load(folder / "filters.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return json.loads((folder / "manifest.json").read_text())["filters"]["cases"], arrays


def test_golden_semantic_distributions(
    filters: tuple[list[dict[str, Any]], dict[str, np.ndarray]],
) -> None:
    cases, arrays = filters
    cases = [case for case in cases if case["which"] == "text"]
    assert len(cases) == 14
    for case in cases:
        candidates = torch.from_numpy(arrays["text_logits"][: case["n"]])
        probs = probabilities(candidates, sampling(case["params"])).numpy()
        index, wanted = arrays[f"{case['key']}_idx"], arrays[f"{case['key']}_p"]
        np.testing.assert_allclose(probs[index], wanted, rtol=1e-4, atol=1e-7, err_msg=case["key"])
        if not case["n_support_depends_on_rounding"]:
            assert np.count_nonzero(probs) == case["n_support"], case["key"]
        if case["eos_p"] is not None:
            np.testing.assert_allclose(probs[10_000], case["eos_p"], rtol=1e-4, atol=1e-7)


def test_golden_coarse_and_fine_distributions(
    filters: tuple[list[dict[str, Any]], dict[str, np.ndarray]],
) -> None:
    cases, arrays = filters
    cases = [case for case in cases if case["which"] != "text"]
    assert len(cases) == 10
    for case in cases:
        if case["which"] == "coarse":
            start = 10_000 + 1024 * case["codebook"]
            candidates = torch.from_numpy(arrays["coarse_logits"][start : start + 1024])
        else:
            candidates = torch.from_numpy(arrays["fine_logits_rows0_3"][:, :1024])
        probs = probabilities(candidates, sampling(case["params"])).numpy()
        wanted = arrays[f"{case['key']}_p"]
        np.testing.assert_allclose(probs, wanted, rtol=1e-4, atol=1e-7, err_msg=case["key"])
        np.testing.assert_array_equal(probs == 0, wanted == 0, err_msg=case["key"])


@pytest.mark.parametrize(
    "options",
    [Sampling(), Sampling(0.0), Sampling(1.3, 7), Sampling(0.7, None, 0.6), Sampling(2.0, 9, 0.4)],
)
def test_rows_are_distributions_and_independent(options: Sampling) -> None:
    probs = probabilities(LOGITS, options)
    torch.testing.assert_close(probs.sum(-1), torch.ones(5))
    for row, logits in zip(probs, LOGITS, strict=True):
        torch.testing.assert_close(row, probabilities(logits, options))


def test_top_p_keeps_the_shortest_prefix_past_p_and_temperature_does_not_change_it() -> None:
    plain = LOGITS[0].softmax(-1)
    for p in (0.1, 0.5, 0.9):
        kept = probabilities(LOGITS[0], Sampling(1.0, None, p)) > 0
        assert plain[kept].sum() > p
        assert plain[kept].sum() - plain[kept].min() <= p
        assert plain[kept].min() >= plain[~kept].max()
        assert torch.equal(kept, probabilities(LOGITS[0], Sampling(3.0, None, p)) > 0)


def sunos_survivors(logits: np.ndarray, p: float) -> set[int]:
    """The tokens that Suno's code keeps, by the steps that the golden README lists."""
    order = np.argsort(logits)[::-1]
    exponentials = np.exp(logits[order] - logits.max())
    over = np.cumsum(exponentials / np.sum(exponentials)) > p
    return set(order[~np.r_[False, over[:-1]]].tolist())


@pytest.mark.parametrize("step", [0.0, 1 / 64, 0.5])  # a coarse grid makes ties, also at the cut
@pytest.mark.parametrize("width", [16, 1024, 10_001])
def test_top_p_cuts_ties_where_suno_does(width: int, step: float) -> None:
    numbers = np.random.default_rng(width)
    rows = numbers.normal(0, 2, (8, width)).astype(np.float32)
    rows = np.round(rows / step).astype(np.float32) * np.float32(step) if step else rows
    for p in (0.1, 0.3, 0.5, 0.8, 0.95):
        kept = probabilities(torch.from_numpy(rows), Sampling(1.0, None, p)).numpy() > 0
        for row, alive in zip(rows, kept, strict=True):
            assert set(np.flatnonzero(alive).tolist()) == sunos_survivors(row, p)


def test_equal_logits_are_cut_alike_on_every_device() -> None:
    ties = torch.zeros(2, 8)  # sums of eighths are exact
    for ranked in (_ranked, _ranked_as_suno):
        order, reached = ranked(ties)
        assert order.tolist() == [[7, 6, 5, 4, 3, 2, 1, 0]] * 2
        assert reached.tolist() == [[n / 8 for n in range(1, 9)]] * 2
    kept = probabilities(ties[0], Sampling(1.0, None, 0.5)) > 0
    assert kept.tolist() == [False] * 3 + [True] * 5  # the one that passes p stays


def test_limits_of_the_filters() -> None:
    best = torch.nn.functional.one_hot(LOGITS.argmax(-1), 300).float()
    for options in (Sampling(0.0), Sampling(0.7, 1), Sampling(0.7, None, 0.0)):
        torch.testing.assert_close(probabilities(LOGITS, options), best)
    torch.testing.assert_close(
        probabilities(LOGITS, Sampling(0.7, 10**6)), probabilities(LOGITS, Sampling(0.7))
    )
    tied = torch.tensor([3.0, 1.0, 1.0, 0.0])
    assert (probabilities(tied, Sampling(1.0, 2)) > 0).tolist() == [True, True, True, False]
    logits = LOGITS.clone()
    probabilities(logits, Sampling(0.5, 3, 0.5))
    assert torch.equal(logits, LOGITS), "the input must not change"


def test_draws_follow_the_distribution() -> None:
    probs = torch.tensor([[0.5, 0.0, 0.2, 0.3]]).expand(20_000, 4)
    counts = torch.bincount(draw(probs, torch.Generator().manual_seed(0)), minlength=4) / 20_000
    torch.testing.assert_close(counts, probs[0], atol=0.015, rtol=0)
    assert counts[1] == 0


@pytest.mark.parametrize("options", [Sampling(1.0), Sampling(0.4, top_k=3), Sampling(0)])
def test_draws_are_those_of_torch(options: Sampling) -> None:
    ours, theirs = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    for _ in range(20):
        probs = probabilities(LOGITS, options)
        wanted = torch.multinomial(probs, 1, generator=theirs)[:, 0]
        assert torch.equal(draw(probs, ours), wanted)
    assert torch.equal(ours.get_state(), theirs.get_state())  # as much is used of the source


def test_nan_is_refused() -> None:
    logits = LOGITS.clone()
    logits[2, 7] = float("nan")
    with pytest.raises(CheckpointError, match="NaN instead of probabilities.*float32"):
        draw(probabilities(logits, Sampling()))


def test_a_row_is_drawn_as_it_would_be_alone() -> None:
    probs = probabilities(LOGITS, Sampling(1.0))
    together = draw_rows(probs, [torch.Generator().manual_seed(i) for i in range(5)])
    alone = [draw(row, torch.Generator().manual_seed(i)) for i, row in enumerate(probs)]
    assert together.tolist() == [int(token) for token in alone]
    mixed = draw_rows(probs[:2], [torch.Generator().manual_seed(0), None])
    assert int(mixed[0]) == int(alone[0])
    torch.manual_seed(3)
    first = draw_rows(probs, [None] * 5)
    torch.manual_seed(3)
    assert torch.equal(first, draw(probs))
    shaped = draw_rows(probs[None], [torch.Generator().manual_seed(0)])
    assert shaped.shape == (1, 5)


def test_refusals() -> None:
    for temperature in (-1.0, float("nan"), float("inf")):
        assert f"temperature: got {temperature}" in message(
            lambda t=temperature: Sampling(t), SettingError
        )  # type: ignore[misc]
    assert (
        message(lambda: Sampling(1.0, 0), SettingError)
        == "top_k: got 0; allowed: a whole number >= 1, or none"
    )
    assert "top_k: got 2.5" in message(lambda: Sampling(1.0, 2.5), SettingError)  # type: ignore[arg-type]
    assert "top_p: got 1.1" in message(lambda: Sampling(1.0, None, 1.1), SettingError)


@pytest.mark.parametrize("temperature", [1e-45, 5e-324, 1e-38, 1e-31])
def test_a_temperature_that_float32_cannot_divide_by_is_greedy(temperature: float) -> None:
    logits = torch.tensor([[30.0, -2.0, 29.0], [-1e4, 3e4, 0.0]])
    expected = probabilities(logits, Sampling(0))
    assert torch.equal(probabilities(logits, Sampling(temperature)), expected)
