"""Writes speech as wav, flac, mp3 or ogg, with tags: the one list of formats and the one note that
a machine spoke.
"""

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bark.errors import AudioError
from bark.storage.atomic import atomic_write

from .read import BLOCK, refuse_non_finite

logger = logging.getLogger(__name__)

AI_TAG = "AI-generated speech"
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III", "ogg": "VORBIS"}
TAGS = ("title", "comment", "software", "artist", "date", "copyright", "license")


def save_audio(
    path: str | Path,
    audio: np.ndarray,
    sample_rate: int = 24_000,
    tags: Mapping[str, str] | None = None,
) -> int:
    """Write (N,) float samples, whole or not at all, and return how many were clipped.

    Parameters
    ----------
    path : its suffix chooses the format: wav, flac, mp3 or ogg.
    tags : text for `TAGS`, written into the file.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    samples, clipped = _ready(audio, kind)
    encoded = (
        io.BytesIO()
    )  # a full disk must meet our write: soundfile answers it with a bare assertion
    _write(encoded, samples, sample_rate, kind, tags or {})
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())
    return clipped


def encode_audio(
    audio: np.ndarray,
    sample_rate: int = 24_000,
    kind: str = "wav",
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """Return (N,) float samples as the bytes of a wav, flac, mp3 or ogg file."""
    buffer = io.BytesIO()
    _write(buffer, _ready(audio, kind)[0], sample_rate, kind, tags or {})
    return buffer.getvalue()


def _ready(audio: np.ndarray, kind: str) -> tuple[np.ndarray, int]:
    """Return float32 samples in [-1, 1] and how many lay outside."""
    import soundfile

    allowed = [name for name in FORMATS if name.upper() in soundfile.available_formats()]
    if kind not in allowed:
        raise AudioError("unknown audio format", kind or "none", ", ".join(allowed))
    samples = np.asarray(audio, dtype=np.float32)
    if samples.ndim != 1 or not len(samples):
        raise AudioError("audio to write has the wrong shape", samples.shape, "(samples,)")
    if not np.isfinite(samples).all():
        refuse_non_finite(samples, "audio to write ", 0, 1)
    clipped = int((np.abs(samples) > 1.0).sum())
    if clipped:
        logger.warning("%d of %d samples clipped to full scale", clipped, len(samples))
    return np.clip(samples, -1.0, 1.0), clipped


def _write(file: Any, samples: np.ndarray, rate: int, kind: str, tags: Mapping[str, str]) -> None:
    import soundfile

    if unknown := sorted(set(tags) - set(TAGS)):
        raise AudioError("unknown tags", unknown, TAGS)
    try:
        with soundfile.SoundFile(file, "w", rate, 1, FORMATS[kind], format=kind.upper()) as out:
            for name, text in tags.items():
                setattr(out, name, " ".join(text.split()))
            for at in range(
                0, len(samples), BLOCK
            ):  # the Vorbis encoder overflows its stack on long writes
                out.write(samples[at : at + BLOCK])
    except soundfile.SoundFileError as error:
        raise AudioError(f"cannot write {kind} at {rate} Hz", str(error)) from error
