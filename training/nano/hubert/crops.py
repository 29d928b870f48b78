"""Draws random augmented crops at 16 kHz, with their phone labels, to train nano's HuBERT."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import soxr
import torch

from training.nano.corpus.corpus import VoiceAudio
from training.nano.corpus.synthesis import SAMPLE_RATE, UNIT
from training.stages.alignment import UNKNOWN

RATE = 16_000  # Hz
HOP = 320  # samples at 16 kHz: one unit
TAIL = 80  # samples: S units cover 320 S + 80 samples, since HuBERT's frame is 400 long
NOISE = (10.0, 50.0)  # dB below the speech
GAIN = (-20.0, 6.0)  # dB
TILT = 0.4  # |a| of the random filter 1 - a z^-1: another microphone


@dataclass(frozen=True)
class Listening:
    """The audio of a voice at HuBERT's rate, with its phones."""

    name: str
    audio: np.ndarray  # (320 S,) int16 at 16 kHz
    phones: np.ndarray  # (S,) uint8


def to_listening(voices: Iterable[VoiceAudio]) -> list[Listening]:
    """Resample every voice to 16 kHz."""
    return [
        Listening(
            voice.name,
            soxr.resample(voice.audio, SAMPLE_RATE, RATE)[: len(voice.phones) * HOP],
            voice.phones,
        )
        for voice in voices
    ]


def waveform_for_units(audio: np.ndarray) -> np.ndarray:
    """Turn N samples of int16 at 24 kHz, N a multiple of 960, into the 16 kHz waveform that gives
    N/480 units.

    HuBERT's grid gives one unit less; 80 zeros at the end, a quarter of a hop, complete the last
    one."""
    waveform = soxr.resample(audio.astype(np.float32) / 32768, SAMPLE_RATE, RATE)
    units = len(audio) // UNIT
    return np.pad(waveform[: units * HOP], (0, max(0, units * HOP + TAIL - len(waveform)))).astype(
        np.float32
    )


class Crops:
    """Draws batches of equal-length crops, voices in proportion to their length."""

    def __init__(self, voices: list[Listening]) -> None:
        self._voices = voices
        sizes = np.array([len(voice.phones) for voice in voices], float)
        self._shares = sizes / sizes.sum()

    def draw(
        self, batch: int, units: int, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return waveforms (B, 320 S + 80) float32 and phones (B, S) int64, -100 where unknown."""
        waves = np.zeros((batch, units * HOP + TAIL), np.float32)
        labels = np.full((batch, units), UNKNOWN)
        for row, index in enumerate(rng.choice(len(self._voices), batch, p=self._shares)):
            voice = self._voices[index]
            start = int(rng.integers(max(1, len(voice.phones) - units)))
            piece = voice.audio[start * HOP : start * HOP + waves.shape[1]]
            waves[row, : len(piece)] = piece.astype(np.float32) / 32768
            found = voice.phones[start : start + units]
            labels[row, : len(found)] = found
        phones = torch.from_numpy(labels.astype(np.int64))
        return torch.from_numpy(waves), phones.masked_fill(phones == UNKNOWN, -100)


def augment(waves: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Tilt, add coloured noise and change the gain of waveforms (B, N), each row its own way."""
    rows = len(waves)
    tilt, color = (
        torch.from_numpy(rng.uniform(-bound, bound, (rows, 1)).astype(np.float32))
        for bound in (TILT, 0.9)
    )
    noise = torch.from_numpy(rng.standard_normal(waves.shape, dtype=np.float32))
    noise = _first_order(noise, color)
    waves = _first_order(waves, tilt)
    ratio = torch.from_numpy(rng.uniform(*NOISE, (rows, 1)).astype(np.float32))
    noise = noise * waves.std(1, keepdim=True) / noise.std(1, keepdim=True) * 10 ** (-ratio / 20)
    gain = torch.from_numpy(rng.uniform(*GAIN, (rows, 1)).astype(np.float32))
    return (waves + noise) * 10 ** (gain / 20)


def _first_order(waves: torch.Tensor, tilt: torch.Tensor) -> torch.Tensor:
    return torch.cat([waves[:, :1], waves[:, 1:] - tilt * waves[:, :-1]], 1)
