"""The stages and the codec, each run on its own device and with its own random numbers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from bark.codec.base import Codec
from bark.devices import borrowed
from bark.settings import Settings
from bark.stages.coarse import CoarseStage
from bark.stages.fine import FineStage
from bark.stages.progress import Watch
from bark.stages.seeds import check_seed, new_seed, stage_seed
from bark.stages.semantic import SemanticStage
from bark.voice.voice import Voice

OF_SEMANTIC = ("min_eos_p", "max_duration_s", "allow_early_stop")  # fields of `Settings`
OF_COARSE = ("max_coarse_history", "sliding_window_len", "coarse_anchor")


@dataclass
class Chain:
    """The parts of a Bark and how each is run; `bark.Bark` is the public object."""

    semantic: SemanticStage
    coarse: CoarseStage
    fine: FineStage
    codec: Codec
    devices: Mapping[str, torch.device] = field(default_factory=dict, kw_only=True)
    offload: bool = field(default=False, kw_only=True)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (K, T) to audio (N,) float32, as `generate` does last."""
        with torch.inference_mode(), self._turn("codec"):
            return self.codec.decode(np.asarray(codes))

    def _run(
        self,
        stage: str,
        given: Sequence[Any],
        histories: Sequence[Voice | None],
        seeds: Sequence[int | None],
        chosen: Settings,
        watch: Watch,
        timings: dict[str, float] | None = None,
    ) -> list[np.ndarray]:
        """Run a stage for a batch: text ids → semantic → coarse → fine tokens."""
        heard: Sequence[Any] = histories
        if stage != "coarse":  # which alone reads two kinds of a voice's tokens
            heard = [None if voice is None else getattr(voice, stage) for voice in histories]
        options: dict[str, Any] = {
            "semantic": {"sampling": chosen.semantic}
            | {name: getattr(chosen, name) for name in OF_SEMANTIC},
            "coarse": {"sampling": chosen.coarse}
            | {name: getattr(chosen, name) for name in OF_COARSE},
            "fine": {"temperature": chosen.fine.temperature},
        }[stage]
        with self._turn(stage, timings):
            made: list[np.ndarray] = getattr(self, stage).generate_batch(
                given, heard, generators=self._generators(stage, seeds), watch=watch, **options
            )
        return made

    @contextmanager
    def _turn(self, part: str, timings: dict[str, float] | None = None) -> Iterator[None]:
        """Do one part's work on its device, and time it."""
        start = time.perf_counter()
        holder = self.codec if part == "codec" else getattr(self, part).model
        away = self.offload and part in self.devices
        with borrowed(holder, self.devices[part]) if away else nullcontext():
            yield
        if timings is not None:
            timings[part] = time.perf_counter() - start

    def _generators(self, stage: str, seeds: Sequence[int | None]) -> list[torch.Generator | None]:
        """Return one generator for each text; None is torch's global one.

        A GPU's global generator cannot be drawn from while another thread captures a CUDA graph:
        there a call without a seed gets one of its own, seeded from the CPU's.
        """
        device = self.devices.get(stage, torch.device("cpu"))
        if device.type == "cuda":
            seeds = [new_seed(seed) for seed in seeds]
        return [
            None
            if seed is None
            else torch.Generator(device).manual_seed(stage_seed(check_seed(seed), stage))
            for seed in seeds
        ]
