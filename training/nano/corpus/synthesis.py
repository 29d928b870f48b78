"""Speaks a sentence with a Debian synthesiser and says which phone sounds in each 20 ms.

The synthesisers are Debian packages run as programs: flite, festival (with two voices) and
espeak-ng."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bark.errors import BarkError, MissingFileError
from training.stages.alignment import PHONES, UNKNOWN

from .voices import VoiceRecipe

SAMPLE_RATE = 24_000  # Hz
GRID = 960  # samples: utterances are whole multiples, 40 ms = 2 semantic tokens = 3 codec frames
UNIT = 480  # samples: 20 ms, one semantic token
LEVEL = 0.08  # RMS of every utterance
PEAK = 0.95  # never above this
LEAD, TAIL = 0.06, 0.12  # s of silence kept before and after the words
FADE = 0.02  # s
PHONE_IDS = {phone: index for index, phone in enumerate(PHONES)}
ALIASES = {
    "dx": "t",
    "el": "l",
    "em": "m",
    "en": "n",
    "axr": "er",
    "hv": "hh",
    "nx": "n",
    "ix": "ih",
    "#": "pau",
}
ESPEAK_SPEED = 165  # words per minute at tempo 1
ESPEAK_PITCH = 118.0  # Hz at espeak-ng's own setting of 50
PACKAGES = {
    "flite": "flite",
    "festival": "festival, festvox-kdlpc16k and festvox-us-slt-hts",
    "espeak": "espeak-ng",
}


@dataclass(frozen=True)
class Speech:
    audio: np.ndarray  # (N,) float32 at 24 kHz, N a multiple of 960
    phones: np.ndarray  # (N / 480,) uint8, index into PHONES or 255


Segments = list[tuple[str, float]]  # phone and the time in s at which it ends


def speak(text: str, voice: VoiceRecipe) -> Speech:
    """Say `text` in `voice`.

    Raises MissingFileError naming the Debian package when the synthesiser is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="speak.") as folder:
        wav = Path(folder) / "speech.wav"
        try:
            segments = ENGINES[voice.engine](text, voice, wav)
        except FileNotFoundError as error:
            raise MissingFileError(
                f"the synthesiser {voice.engine} is not installed",
                fix=f"Install the Debian package {PACKAGES[voice.engine]}",
            ) from error
        except subprocess.CalledProcessError as error:
            raise BarkError(
                f"{voice.engine} could not say {text!r} as {voice.base}", error.stderr[-200:]
            ) from error
        audio, rate = soundfile.read(wav, dtype="float32")
    audio = soxr.resample(audio, rate * voice.rate, SAMPLE_RATE).astype(np.float32)
    segments = [(phone, end / voice.rate) for phone, end in segments]
    return _finish(audio, segments, voice.tilt)


def level(audio: np.ndarray) -> np.ndarray:
    """Scale to LEVEL, or less where a peak would pass PEAK; (N,) float32."""
    audio = audio / max(1e-3, float(np.sqrt(np.mean(audio**2)))) * LEVEL
    return (audio * min(1.0, PEAK / max(1e-6, float(np.abs(audio).max())))).astype(np.float32)


def tilted(audio: np.ndarray, tilt: float) -> np.ndarray:
    """Filter by 1 - tilt z^-1: brighter above 0, duller below; (N,) → (N,)."""
    return np.append(audio[:1], audio[1:] - tilt * audio[:-1])


def _flite(text: str, voice: VoiceRecipe, wav: Path) -> Segments:
    command = [
        "flite", "-voice", voice.base, "-psdur",
        "--setf", f"duration_stretch={voice.tempo * voice.rate:.3f}",
        "--setf", f"int_f0_target_mean={voice.pitch / voice.rate:.1f}",
        "-t", text, "-o", str(wav),
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = (item.rsplit(":", 1) for item in output.split())
    return [(phone, float(end)) for phone, end in pairs]


def _festival(text: str, voice: VoiceRecipe, wav: Path) -> Segments:
    segments = wav.with_suffix(".seg")
    script = wav.with_suffix(".scm")
    script.write_text(
        f"(voice_{voice.base})\n(Parameter.set 'Duration_Stretch {voice.tempo * voice.rate:.3f})\n"
        f'(set! said (utt.synth (Utterance Text "{text}")))\n'
        f'(utt.save.wave said "{wav}" \'riff)\n(utt.save.segs said "{segments}")\n'
    )
    subprocess.run(["festival", "-b", str(script)], capture_output=True, text=True, check=True)
    rows = segments.read_text().split("#\n", 1)[1].splitlines()
    return [(row.split()[2], float(row.split()[0])) for row in rows if row.strip()]


def _espeak(text: str, voice: VoiceRecipe, wav: Path) -> Segments:
    pitch = int(np.clip(50 + 50 * np.log2(voice.pitch / ESPEAK_PITCH), 0, 99))
    speed = str(round(ESPEAK_SPEED / voice.tempo))
    command = [
        "espeak-ng",
        "-v",
        f"en-us+{voice.base}",
        "-s",
        speed,
        "-p",
        str(pitch),
        "-w",
        str(wav),
        text,
    ]
    subprocess.run(command, capture_output=True, text=True, check=True)
    return []


ENGINES = {"flite": _flite, "festival": _festival, "espeak": _espeak}


def _finish(audio: np.ndarray, segments: Segments, tilt: float) -> Speech:
    """Trim the outer silences, tilt, fade, level, pad to the grid; label the middle
    of each 20 ms.
    """
    first, last = _speech_bounds(audio, segments)
    start = max(0, int((first - LEAD) * SAMPLE_RATE))
    audio = audio[start : int((last + TAIL) * SAMPLE_RATE)]
    audio = tilted(audio, tilt)
    ramp = np.linspace(0.0, 1.0, min(int(FADE * SAMPLE_RATE), len(audio) // 4), dtype=np.float32)
    audio[: len(ramp)] *= ramp
    audio[len(audio) - len(ramp) :] *= ramp[::-1]
    audio = level(np.pad(audio, (0, -len(audio) % GRID)))
    units = len(audio) // UNIT
    if not segments:
        return Speech(audio, np.full(units, UNKNOWN, np.uint8))
    # a HuBERT feature covers 400 samples at 16 kHz, so its middle lies 200 after its start
    middles = (np.arange(units) * 320 + 200) / 16_000 + start / SAMPLE_RATE
    ends = np.array([end for _, end in segments])
    index = np.minimum(np.searchsorted(ends, middles), len(segments) - 1)
    labels = np.array(
        [PHONE_IDS.get(ALIASES.get(phone, phone), UNKNOWN) for phone, _ in segments], np.uint8
    )
    return Speech(audio, labels[index])


def _speech_bounds(audio: np.ndarray, segments: Segments) -> tuple[float, float]:
    """Return when the words begin and end, in s: by the segments, or by loudness without them."""
    if segments:
        first = segments[0][1] if segments[0][0] in ("pau", "#") else 0.0
        last = (
            segments[-2][1]
            if len(segments) > 1 and segments[-1][0] in ("pau", "#")
            else segments[-1][1]
        )
        return first, last
    frames = np.abs(audio[: len(audio) // UNIT * UNIT]).reshape(-1, UNIT).max(1)
    loud = np.flatnonzero(frames > 0.02 * frames.max())
    return loud[0] * UNIT / SAMPLE_RATE, (loud[-1] + 1) * UNIT / SAMPLE_RATE
