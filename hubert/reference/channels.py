"""Decides which channels of a recording hold the voice, before they are mixed to one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from bark.errors import AudioError

LISTEN, PATIENCE = 30.0, 120.0  # s of sound, or of anything, after which it is decided
SOUND = 1e-6  # power above which a block has sound, -60 dBFS
DEAD = 1e-4  # of the loudest channel's power, -40 dB
CANCELLED = 0.15  # of the channels' power that is left in their mean; 0.5 for two unrelated ones


@dataclass(frozen=True)
class Channels:
    """How many channels a recording has, and which are mixed."""

    count: int
    used: tuple[int, ...]  # indices
    cancelling: bool = False  # their mean would be (nearly) silent, so one is taken

    @property
    def dead(self) -> int:
        """Channels without sound."""
        return 0 if self.cancelling else self.count - len(self.used)

    def mixed(self, block: np.ndarray) -> np.ndarray:
        """Return (n, channels) as mono (n,) float32."""
        chosen = block if len(self.used) == block.shape[1] else block[:, list(self.used)]
        return chosen[:, 0] if chosen.shape[1] == 1 else chosen.mean(axis=1, dtype=np.float32)


def judge_channels(blocks: Iterable[np.ndarray], sample_rate: int) -> Channels:
    """Look at (n, channels) blocks, the first 30 s of sound at most."""
    cross: np.ndarray | None = None
    total = heard = 0
    for block in blocks:
        centred = block.astype(np.float64) - block.mean(axis=0, dtype=np.float64)
        products = centred.T @ centred  # (channels, channels)
        cross = products if cross is None else cross + products
        if products.diagonal().max(initial=0.0) > SOUND * len(block):
            heard += len(block)
        total += len(block)
        if heard >= LISTEN * sample_rate or total >= PATIENCE * sample_rate:
            break
    if cross is None:
        raise AudioError("recording holds no samples")
    power = cross.diagonal()
    used = np.flatnonzero((power > 0) & (power >= DEAD * power.max()))
    if not len(used):
        return Channels(len(power), tuple(range(len(power))))
    mean_power = cross[np.ix_(used, used)].sum() / len(used) ** 2
    expected = power[used].mean() * 2 / len(used)  # 2: the limit is written for two channels
    if len(used) > 1 and mean_power < CANCELLED * expected:
        return Channels(len(power), (int(used[power[used].argmax()]),), cancelling=True)
    return Channels(len(power), tuple(int(index) for index in used))


def mono_blocks(
    blocks: Iterable[np.ndarray], sample_rate: int
) -> tuple[Channels, Iterator[np.ndarray]]:
    """Decide on the channels of a stream, and return it mixed, from its beginning."""
    stream = iter(blocks)
    seen: list[np.ndarray] = []

    def watched() -> Iterator[np.ndarray]:
        for block in stream:
            seen.append(block)
            yield block

    channels = judge_channels(watched(), sample_rate)
    return channels, (channels.mixed(block) for block in chain(seen, stream))
