"""The stages and the codec, each run on its own device and with its own random numbers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

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

    def _semantic(
        self,
        ids: Sequence[Sequence[int]],
        histories: Sequence[Voice | None],
        seeds: Sequence[int | None],
        chosen: Settings,
        watch: Watch,
        timings: dict[str, float] | None = None,
    ) -> list[np.ndarray]:
        with self._turn("semantic", timings):
            return self.semantic.generate_batch(
                ids,
                [None if history is None else history.semantic for history in histories],
                sampling=chosen.semantic,
                min_eos_p=chosen.min_eos_p,
                max_duration_s=chosen.max_duration_s,
                allow_early_stop=chosen.allow_early_stop,
                generators=self._generators("semantic", seeds),
                watch=watch,
            )

    def _coarse(
        self,
        semantic: Sequence[np.ndarray],
        histories: Sequence[Voice | None],
        seeds: Sequence[int | None],
        chosen: Settings,
        watch: Watch,
        timings: dict[str, float] | None = None,
    ) -> list[np.ndarray]:
        with self._turn("coarse", timings):
            return self.coarse.generate_batch(
                semantic,
                histories,
                sampling=chosen.coarse,
                max_coarse_history=chosen.max_coarse_history,
                sliding_window_len=chosen.sliding_window_len,
                coarse_anchor=chosen.coarse_anchor,
                generators=self._generators("coarse", seeds),
                watch=watch,
            )

    def _fine(
        self,
        coarse: Sequence[np.ndarray],
        histories: Sequence[Voice | None],
        seeds: Sequence[int | None],
        chosen: Settings,
        watch: Watch,
        timings: dict[str, float] | None = None,
    ) -> list[np.ndarray]:
        with self._turn("fine", timings):
            return self.fine.generate_batch(
                coarse,
                [None if history is None else history.fine for history in histories],
                temperature=chosen.fine.temperature,
                generators=self._generators("fine", seeds),
                watch=watch,
            )

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
