"""Where a step cannot be captured it runs as it is, and is not tried again; captures themselves: test_gpu.py."""

import logging
from contextlib import nullcontext

import pytest
import torch

from bark.stages import cuda_graph
from bark.stages.cuda_graph import captured, worth_a_graph

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_capture_before(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_graph._captures.cache_clear()
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())


def test_only_a_gpu_gets_graphs() -> None:
    assert not worth_a_graph(torch.zeros(1)) and not worth_a_graph(torch.zeros(1, device="meta"))


def test_a_failure_is_told_once_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def refuse(device: torch.device) -> None:
        tries.append(device)
        raise RuntimeError("not here\nand much more")

    monkeypatch.setattr(torch.cuda, "current_stream", refuse)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert captured(run, CPU) is run
    assert tries == [CPU] and len(caplog.messages) == 1
    assert caplog.messages[0].startswith("no CUDA graph (not here): steps are launched")


def test_a_full_gpu_is_the_callers_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(device: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "current_stream", full)
    with pytest.raises(torch.OutOfMemoryError):
        captured(run, CPU)
    assert not cuda_graph._captures(CPU).failed


class Graph:
    """Stands in for a CUDA graph: what is captured can be counted, and a replay does nothing."""

    replays = 0

    def replay(self) -> None:
        Graph.replays += 1


class Stream:
    def wait_stream(self, other: "Stream") -> None:
        pass


def test_living_graphs_have_streams_of_their_own_which_dead_ones_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = []

    def capture(graph: Graph, stream: Stream, capture_error_mode: str) -> nullcontext[None]:
        used.append(stream)
        return nullcontext()

    for name, fake in {
        "current_stream": lambda device: Stream(), "Stream": lambda device: Stream(), "CUDAGraph": Graph,
        "stream": lambda stream: nullcontext(), "graph": capture,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, fake)
    first, second = captured(run, CPU), captured(run, CPU)
    assert first() is first() and first() is not second() and Graph.replays == 4
    assert used[0] is not used[1]
    del first
    third = captured(run, CPU)
    assert used[2] is used[0] and third is not second
    assert captured(run, CPU) is not run and used[3] not in used[:3]


def run() -> torch.Tensor:
    return torch.zeros(1)
