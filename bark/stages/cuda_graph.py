"""Captures a decoding step as a CUDA graph: one launch instead of one for each kernel."""

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
    """Tell whether launching the kernels of a step takes longer than running them: on a GPU."""
    return weight.device.type == "cuda"


@dataclass
class _Captures:
    """What the captures of a device share."""

    # streams to capture on: those that no graph in use was captured on
    idle: list[torch.cuda.Stream] = field(default_factory=list)
    failed: bool = False  # a failed capture leaves torch in a bad state: no second try


@lru_cache
def _captures(device: torch.device) -> _Captures:
    return _Captures()


def captured(run: Step, device: torch.device) -> Step:
    """Return `run` as one CUDA graph, or `run` itself where it cannot be captured.

    A replay reads and writes the same tensors as `run`, and returns the same tensor each time. Each
    graph in use has a stream of its own: freeing a graph frees cuBLAS's workspace of the stream it
    was captured on, also under another graph of that stream (pytorch/pytorch#193402)."""
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
