"""Captures a decoding step as a CUDA graph, which is launched as a whole."""

import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock

import torch

logger = logging.getLogger(__name__)

Step = Callable[[], torch.Tensor]
CAPTURE = Lock()  # a process captures one graph at a time


def worth_a_graph(weight: torch.Tensor) -> bool:
    """Tell whether a step on the device of `weight` takes less time than the launches of its
    kernels.
    """
    return weight.device.type == "cuda"


@dataclass
class _Captures:
    """What the captures of a device share."""

    idle: list[torch.cuda.Stream] = field(
        default_factory=list
    )  # those that no living graph was captured on
    failed: bool = False  # torch is not clean after a failed capture: no second try


@lru_cache
def _captures(device: torch.device) -> _Captures:
    return _Captures()


def captured(run: Step, device: torch.device) -> Step:
    """Return `run` as one CUDA graph, or as it is where it cannot be captured.

    The graph reads and writes the very tensors that `run` does, and always returns the same one.
    While it lives no other is captured on its stream: with a graph torch frees what cuBLAS works
    with on its stream, whoever else uses it (pytorch/pytorch#193402)."""
    shared = _captures(device)
    if shared.failed:
        return run
    try:
        with CAPTURE, torch.cuda.device(device):
            current = torch.cuda.current_stream(device)
            side = shared.idle.pop() if shared.idle else torch.cuda.Stream(device)
            side.wait_stream(current)
            try:
                with torch.cuda.stream(side):
                    run()  # libraries get their working memory outside the graph
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                        result = run()
            finally:
                current.wait_stream(side)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        shared.failed = True
        reason = str(error).splitlines()[0]
        logger.warning(
            "no CUDA graph (%s): steps are launched kernel by kernel, which is slower", reason
        )
        return run

    def replay() -> torch.Tensor:
        graph.replay()
        return result

    weakref.finalize(replay, shared.idle.append, side)
    return replay
