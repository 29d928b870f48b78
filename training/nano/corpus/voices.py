"""Designs the synthetic speakers by resampling, pitch, tempo and tilt of a few real voices.

Resampling by r > 1 raises every formant as a shorter vocal tract would; the synthesiser speaks
slower by r and lower by r beforehand, so that pitch and tempo are free choices. Held-out voices are
fixed here and never trained on."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class VoiceRecipe:
    name: str
    engine: str  # "flite", "festival" or "espeak"
    base: str  # the engine's own voice
    rate: float  # resampling factor: formants x rate
    pitch: float  # mean F0 in Hz; 0 where the engine sets its own
    tempo: float = 1.0  # durations x tempo
    tilt: float = 0.0  # first-order filter 1 - tilt z^-1: > 0 is brighter
    held_out: bool = False


FLITE_PITCH = {"slt": 172.0, "rms": 98.0, "awb": 130.0, "kal16": 102.0}  # Hz, each voice's own
FIXED_PITCH = ("rms",)  # flite ignores the pitch asked of this voice
RATES = (0.78, 1.30)
PITCHES = (78.0, 260.0)  # Hz
TEMPOS = (0.88, 1.12)
TILTS = (-0.3, 0.3)
CANDIDATES = 40  # of which the one farthest from all earlier voices is taken
SCALE = np.array([0.10, 0.25, 0.35])  # one step each of log rate, log pitch and tilt, as heard
CLEARANCE = 0.8  # steps between a training voice and any held-out one

HELD_OUT = (
    VoiceRecipe("held_slt_a", "flite", "slt", 0.90, 135.0, 1.00, 0.10, True),
    VoiceRecipe("held_slt_b", "flite", "slt", 1.17, 215.0, 0.95, -0.10, True),
    VoiceRecipe("held_slt_c", "flite", "slt", 1.02, 250.0, 1.00, 0.25, True),
    VoiceRecipe("held_awb_a", "flite", "awb", 0.86, 155.0, 1.05, -0.15, True),
    VoiceRecipe("held_awb_b", "flite", "awb", 1.12, 100.0, 1.10, 0.15, True),
    VoiceRecipe("held_awb_c", "flite", "awb", 0.98, 210.0, 1.00, 0.00, True),
    VoiceRecipe("held_kal_a", "flite", "kal16", 1.02, 170.0, 0.95, 0.00, True),
    VoiceRecipe("held_kal_b", "flite", "kal16", 0.84, 95.0, 1.00, 0.20, True),
    VoiceRecipe("held_rms_a", "flite", "rms", 1.10, 108.0, 1.00, -0.10, True),
    VoiceRecipe("held_rms_b", "flite", "rms", 0.87, 85.0, 1.00, 0.15, True),
)
OTHERS = (
    *(
        VoiceRecipe(f"festival_ked_{index}", "festival", "ked_diphone", rate, 0.0, tempo, tilt)
        for index, (rate, tempo, tilt) in enumerate(
            ((0.9, 1.0, 0.1), (1.0, 1.0, 0.0), (1.12, 1.05, -0.1))
        )
    ),
    *(
        VoiceRecipe(
            f"festival_hts_{index}", "festival", "cmu_us_slt_arctic_hts", rate, 0.0, tempo, tilt
        )
        for index, (rate, tempo, tilt) in enumerate(
            ((0.85, 1.0, 0.0), (1.0, 1.0, 0.1), (1.15, 0.95, -0.1))
        )
    ),
    *(
        VoiceRecipe(f"espeak_{base}", "espeak", base, 1.0, pitch, tempo)
        for base, pitch, tempo in (
            ("m1", 85.0, 1.0),
            ("m3", 110.0, 1.05),
            ("m7", 125.0, 0.95),
            ("f2", 190.0, 1.0),
            ("f4", 215.0, 1.05),
            ("klatt2", 100.0, 1.0),
        )
    ),
)


def training_voices(count: int = 126, seed: int = 0) -> tuple[VoiceRecipe, ...]:
    """Choose `count` training voices, at most 12 of them from the other synthesisers, the rest from
    flite.

    flite's four voices take turns; each new variant is the one of CANDIDATES random draws that lies
    farthest from that voice's earlier variants, and keeps CLEARANCE from the held-out ones."""
    others = OTHERS[: count // 10]
    rng = random.Random(seed)
    places = {
        base: [_place(voice) for voice in HELD_OUT if voice.base == base] for base in FLITE_PITCH
    }
    held_out = {base: list(found) for base, found in places.items()}
    voices: list[VoiceRecipe] = []
    while len(voices) < count - len(others):
        base = tuple(FLITE_PITCH)[len(voices) % len(FLITE_PITCH)]
        drawn = [_draw(base, rng, len(voices) // len(FLITE_PITCH)) for _ in range(CANDIDATES)]
        clear = [voice for voice in drawn if _nearest(voice, held_out[base]) >= CLEARANCE]
        chosen = max(clear, key=lambda voice: _nearest(voice, places[base]))
        places[base].append(_place(chosen))
        voices.append(chosen)
    step = max(1, len(voices) // (len(others) + 1))
    for index, other in enumerate(
        others
    ):  # mixed in, so that any first part of the corpus has every engine
        voices.insert((index + 1) * step + index, other)
    return tuple(voices)


def _draw(base: str, rng: random.Random, index: int) -> VoiceRecipe:
    rate = math.exp(rng.uniform(*map(math.log, RATES)))
    lowest = 100.0 if base == "slt" else PITCHES[0]
    pitch = math.exp(rng.uniform(math.log(lowest), math.log(PITCHES[1])))
    if base in FIXED_PITCH:
        pitch = FLITE_PITCH[base] * rate
    return VoiceRecipe(
        f"flite_{base}_{index:02d}", "flite", base, round(rate, 4), round(pitch, 1),
        round(rng.uniform(*TEMPOS), 3), round(rng.uniform(*TILTS), 3),
    )  # fmt: skip


def _place(voice: VoiceRecipe) -> np.ndarray:
    """Return where the voice lies in steps of (log rate, log pitch, tilt), (3,)."""
    return np.array([math.log(voice.rate), math.log(voice.pitch), voice.tilt]) / SCALE


def _nearest(voice: VoiceRecipe, places: list[np.ndarray]) -> float:
    return min((float(np.linalg.norm(_place(voice) - place)) for place in places), default=math.inf)
