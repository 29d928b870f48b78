"""training.engine.splits: the shares come out as asked for, and stay put when material is added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.engine.splits import split_by_hash

TWO = {"test": 0.2, "validation": 0.3}


def deal(count: int, shares: dict[str, float], group: int = 1) -> dict[str, str]:
    return split_by_hash({f"pair-{n}": group for n in range(count)}, shares, "train")


def counts(splits: dict[str, str]) -> tuple[int, ...]:
    found = list(splits.values())
    return tuple(found.count(name) for name in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("count", "shares", "expected"),
    [
        (12, (0.3, 0.2), (6, 4, 2)),  # a hash compared with the share gave 2, 9 and 1
        (30, (0.2, 0.2), (18, 6, 6)),
        (4000, (0.1, 0.2), (2800, 400, 800)),
        (10, (0.0, 0.3), (7, 0, 3)),
        (5, (0.05, 0.05), (3, 1, 1)),  # never none where a share was asked for
        (2, (0.1, 0.1), (1, 1, 0)),
        (1, (0.4, 0.4), (1, 0, 0)),
    ],
)
def test_the_shares_are_the_counts(
    count: int, shares: tuple[float, float], expected: tuple[int, ...]
) -> None:
    assert counts(deal(count, {"test": shares[1], "validation": shares[0]})) == expected


def test_what_belongs_together_stays_together_and_counts_by_its_size() -> None:
    assert counts(deal(20, {"test": 0.2, "validation": 0.2}, group=7)) == (12, 4, 4)
    uneven = {f"text-{n}": 1 + n % 5 for n in range(200)}
    splits = split_by_hash(uneven, TWO, "train")
    tests = sum(size for name, size in uneven.items() if splits[name] == "test")
    assert tests / sum(uneven.values()) == pytest.approx(0.2, abs=0.01)


@given(st.sets(st.text(max_size=8), min_size=1, max_size=60), st.text(max_size=8))
def test_it_depends_on_the_names_alone_and_one_more_moves_few(names: set[str], more: str) -> None:
    before = split_by_hash(dict.fromkeys(sorted(names), 1), TWO, "train")
    again = split_by_hash(dict.fromkeys(sorted(names, reverse=True), 1), TWO, "train")
    assert before == again
    after = split_by_hash(dict.fromkeys(sorted(names | {more}), 1), TWO, "train")
    assert sum(before[name] != after[name] for name in names) <= 2, "one at each cut"
