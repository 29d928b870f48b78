"""Write speech with its tags: the one list of formats, and the one note that a machine spoke."""

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bark.errors import AudioError
from bark.storage.atomic import atomic_write

from .media import has_pyav
from .samples import channels_of
from .sndfile import BLOCK

logger = logging.getLogger(__name__)


class Format(NamedTuple):
    """How an encoder is asked for a format."""

    container: str
    codec: str
    ffmpeg: bool = False  # through PyAV, the extra ``media``
    tagged: bool = True  # has a place for tags


AI_TAG = "AI-generated speech"
FORMATS = {
    "wav": Format("WAV", "PCM_16"),
    "flac": Format("FLAC", "PCM_16"),
    "mp3": Format("MP3", "MPEG_LAYER_III"),
    "ogg": Format("OGG", "VORBIS"),
    "opus": Format("OGG", "OPUS"),
    "aac": Format("adts", "aac", ffmpeg=True),
    "m4a": Format("ipod", "aac", ffmpeg=True),
    "pcm": Format("RAW", "PCM_16", tagged=False),  # 16 bit, little-endian, no header
}
TAGS = ("title", "comment", "software", "artist", "date", "copyright", "license")
RATE = 24_000  # Hz, where neither an argument nor a pair tells


def save_audio(
    path: str | Path,
    audio: Any,
    sample_rate: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> int:
    """Write samples, whole or not at all, and return how many were clipped.

    Parameters
    ----------
    path : its suffix chooses the format, one of `FORMATS`.
    audio : samples of any kind that `bark.audio.samples_of` takes; two channels stay two.
    sample_rate : Hz; 24 000 unless `audio` is a pair (rate, samples).
    tags : text for `TAGS`, written into the file where its format has a place for them.
    """
    path = Path(path)
    data, clipped = _encoded(audio, sample_rate, path.suffix.lower().removeprefix("."), tags or {})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
    return clipped


def encode_audio(
    audio: Any,
    sample_rate: int | None = None,
    kind: str = "wav",
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """Return samples as the bytes of a file of that kind; see `save_audio`."""
    return _encoded(audio, sample_rate, kind, tags or {})[0]


def formats() -> list[str]:
    """Return the names in `FORMATS` that this installation can write."""
    import soundfile

    known = soundfile.available_formats()
    return [
        name
        for name, form in FORMATS.items()
        if (has_pyav() if form.ffmpeg else form.container in known)
    ]


def _encoded(
    audio: Any, sample_rate: int | None, kind: str, tags: Mapping[str, str]
) -> tuple[bytes, int]:
    """Return the bytes of a file and how many samples were clipped.

    All in memory: a full disk must meet our own write, soundfile answers it with a bare assertion.
    """
    if kind not in (allowed := formats()):
        if kind in FORMATS and FORMATS[kind].ffmpeg:
            fix = "pip install 'bark-voice-booth[media]'"
            raise AudioError(f"{kind} is written by PyAV, which is missing", fix=fix)
        raise AudioError("unknown audio format", kind or "none", ", ".join(allowed))
    if unknown := sorted(set(tags) - set(TAGS)):
        raise AudioError("unknown tags", unknown, TAGS)
    samples, rate = channels_of(audio, sample_rate, "audio to write ")
    if not len(samples):
        raise AudioError("audio to write has the wrong shape", samples.shape, "(samples,)")
    clipped = int((np.abs(samples) > 1.0).sum())
    if clipped:
        logger.warning("%d of %d samples clipped to full scale", clipped, samples.size)
    samples = np.clip(samples, -1.0, 1.0).reshape(len(samples), -1)  # (N, channels)
    form, rate = FORMATS[kind], RATE if rate is None else int(rate)
    clean = {name: " ".join(text.split()) for name, text in tags.items() if form.tagged}
    write = _write_media if form.ffmpeg else _write
    try:
        return write(samples, rate, form, clean), clipped
    except (OSError, RuntimeError, ValueError) as error:  # soundfile's, and PyAV's
        many = f"{samples.shape[1]} channels of " if samples.shape[1] > 1 else ""
        raise AudioError(f"cannot write {many}{kind} at {rate} Hz", str(error)) from error


def _write(samples: np.ndarray, rate: int, form: Format, tags: Mapping[str, str]) -> bytes:
    import soundfile

    file = io.BytesIO()
    endian = "LITTLE" if form.container == "RAW" else None
    with soundfile.SoundFile(
        file, "w", rate, samples.shape[1], form.codec, endian, form.container
    ) as out:
        for name, text in tags.items():
            setattr(out, name, text)
        for at in range(0, len(samples), BLOCK):
            # the Vorbis encoder overflows its stack on long writes
            out.write(samples[at : at + BLOCK])
    return file.getvalue()


def _write_media(samples: np.ndarray, rate: int, form: Format, tags: Mapping[str, str]) -> bytes:
    import av

    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}.get(samples.shape[1])
    if layout is None:
        raise ValueError("one or two channels can be written")
    options = {"write_id3v2": "1"} if form.container == "adts" else {}
    with av.open(file, "w", format=form.container, options=options) as out:
        out.metadata.update(tags)
        stream: Any = out.add_stream(form.codec, rate=rate, layout=layout)
        for at in range(0, len(samples), BLOCK):
            planes = np.ascontiguousarray(samples[at : at + BLOCK].T)  # (channels, n)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, at
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()
