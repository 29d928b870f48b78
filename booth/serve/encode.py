"""Encodes speech while it is made: samples piece by piece to the bytes of a file, with the AI mark.

A stream is not known to its end when it begins. mp3, opus, aac and pcm need no length; a wav says
that it has none, as those of other speech servers do. A flac may say so too, but what reads by
libsndfile then loses its end or refuses it, so flac alone is kept until it is whole.

Before it is encoded, speech may go through steps that the request names. They are looked up among
those that are installed, never imported by a path, and get no argument from a request: that may be
a file of this computer."""

import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from anyio import to_thread

from bark.audio.limiter import limited
from bark.audio.postprocess import Step, is_built_in, postprocessed, step_of
from bark.errors import SettingError
from bark.extras import from_extra

from .errors import ApiError


class Format(NamedTuple):
    """How a format is asked for of FFmpeg, and how it is called on the web."""

    media_type: str
    container: str = ""
    codec: str = ""
    sample: str = "fltp"  # FFmpeg's sample format
    options: Mapping[str, str] = {}
    encoder: Mapping[str, Any] = {}  # set on it, beside what it does by itself
    whole: bool = False  # sent when all of it is there


FORMATS = {  # those of OpenAI
    "mp3": Format(
        "audio/mpeg", "mp3", "libmp3lame", options={"write_xing": "0"}, encoder={"bit_rate": 64_000}
    ),  # LAME alone would take 32 000, half of what opus and aac have
    "opus": Format("audio/ogg", "ogg", "libopus", options={"page_duration": "200000"}),
    "aac": Format("audio/aac", "adts", "aac", options={"write_id3v2": "1"}),
    "flac": Format("audio/flac", "flac", "flac", "s16", whole=True),
    "wav": Format("audio/wav", "wav", "pcm_s16le", "s16"),
    "pcm": Format("audio/pcm"),  # 16 bit, little-endian, no header
}
FULL_SCALE = 32_767
SLOWEST = 0.5  # of one `atempo`


def check_format(kind: str) -> Format:
    """Return one of `FORMATS`."""
    if kind not in FORMATS:
        raise SettingError("response_format", repr(kind), ", ".join(FORMATS))
    return FORMATS[kind]


def step_names(postprocess: Sequence[str], loudness: float | None) -> list[str]:
    """Return the steps that a request asks for; loudness is the last, before the limiter."""
    return [*postprocess, *([] if loudness is None else [f"loudness={loudness:g}"])]


def steps_of(names: Sequence[str]) -> list[Step]:
    """Look up the steps of a request; refuse what is not there."""
    return [_step(name) for name in names]


def _step(name: str) -> Step:
    try:
        if "=" in name and not is_built_in(name):
            told = "the argument of a postprocess is not taken from a request"
            raise SettingError(told, repr(name[:80]), "a name alone, or loudness=LUFS")
        return step_of(name)
    except SettingError as error:
        param = "loudness" if name.startswith("loudness=") else "postprocess"
        raise ApiError(400, str(error), param=param) from error


async def finished(audio: np.ndarray, sample_rate: int, steps: Sequence[Step]) -> np.ndarray:
    """Return (N,) audio after its steps, and then within full scale as in a file of `bark`."""
    if not steps or not len(audio):
        return audio
    return await to_thread.run_sync(
        lambda: limited(postprocessed(audio, sample_rate, steps), sample_rate)[0]
    )


async def finished_whole(
    pieces: AsyncIterator[np.ndarray], sample_rate: int, steps: Sequence[Step]
) -> AsyncIterator[np.ndarray]:
    """Yield all pieces as one after the steps, most of which need the whole speech."""
    made = [piece async for piece in pieces]
    if made:
        yield await finished(np.concatenate(made), sample_rate, steps)


class Encoder:
    """Makes one file of speech.

    Parameters
    ----------
    kind : one of `FORMATS`.
    tags : of `bark.speech.speech_tags`, for formats that have a place for them.
    speed : 0.25 to 4, at the same pitch.
    """

    def __init__(
        self, kind: str, sample_rate: int, tags: Mapping[str, str], speed: float = 1.0
    ) -> None:
        self._tempo = Tempo(speed, sample_rate)
        self.format, self.rate, self.samples = check_format(kind), sample_rate, 0
        self._file = io.BytesIO() if self.format.whole else _Drain()
        self._out: Any = None
        if not self.format.container:
            return
        with from_extra("serve", f"{kind} needs PyAV, which is missing"):
            import av
        self._out = av.open(
            self._file, "w", format=self.format.container, options=dict(self.format.options)
        )
        self._out.metadata.update(tags)
        self._stream = self._out.add_stream(
            self.format.codec, rate=sample_rate, layout="mono", **self.format.encoder
        )

    def add(self, piece: np.ndarray) -> bytes:
        """Return the bytes that are ready when the samples (n,) float32 are added."""
        return self._encoded(self._tempo.add(piece))

    def _encoded(self, piece: np.ndarray) -> bytes:
        piece = np.clip(piece, -1.0, 1.0)
        if self._out is None:
            return _whole_numbers(piece).tobytes()
        if not len(piece):
            return b""
        from av import AudioFrame

        plane = piece if self.format.sample == "fltp" else _whole_numbers(piece)
        frame = AudioFrame.from_ndarray(plane[None], format=self.format.sample, layout="mono")
        frame.sample_rate, frame.pts = self.rate, self.samples
        self.samples += len(piece)
        self._out.mux(self._stream.encode(frame))
        return self._ready()

    def finish(self) -> bytes:
        """Return the rest of the file."""
        rest = self._encoded(self._tempo.finish())
        if self._out is None:
            return rest
        self._out.mux(self._stream.encode(None))
        self._out.close()
        if isinstance(self._file, io.BytesIO):
            return self._file.getvalue()
        return rest + self._ready()

    def _ready(self) -> bytes:
        return b"" if isinstance(self._file, io.BytesIO) else self._file.drained()


class Tempo:
    """Changes the speed of one stream of samples at the same pitch.

    FFmpeg's ``atempo``: beside audiostretchy and python-stretch it kept the spectrum of speech
    best, cost least, needs no other library, and gives the same samples however they are cut.

    Parameters
    ----------
    speed : 0.25 to 4; 1 changes nothing.
    """

    def __init__(self, speed: float, sample_rate: int) -> None:
        self.rate, self.samples = sample_rate, 0
        self._graph: Any = None
        if speed == 1:
            return
        with from_extra("serve", "another speed needs PyAV, which is missing"):
            import av
        graph = av.filter.Graph()
        chain = [graph.add_abuffer(sample_rate=sample_rate, format="flt", layout="mono")]
        while speed < SLOWEST:
            chain.append(graph.add("atempo", str(SLOWEST)))
            speed /= SLOWEST
        chain += [graph.add("atempo", repr(float(speed))), graph.add("abuffersink")]
        graph.link_nodes(*chain).configure()
        self._graph = graph

    def add(self, piece: np.ndarray) -> np.ndarray:
        """Return the samples (m,) that are ready when (n,) float32 are added."""
        if self._graph is None or not len(piece):
            return piece
        from av import AudioFrame

        plane = np.ascontiguousarray(piece, dtype=np.float32)[None]
        frame = AudioFrame.from_ndarray(plane, format="flt", layout="mono")
        frame.sample_rate, frame.pts = self.rate, self.samples
        self.samples += len(piece)
        self._graph.push(frame)
        return self._ready()

    def finish(self) -> np.ndarray:
        """Return the rest of the samples."""
        if self._graph is None or not self.samples:
            return np.zeros(0, dtype=np.float32)
        self._graph.push(None)
        return self._ready()

    def _ready(self) -> np.ndarray:
        from av.error import BlockingIOError, EOFError

        ready = [np.zeros(0, dtype=np.float32)]
        while True:
            try:
                ready.append(self._graph.pull().to_ndarray()[0])
            except (BlockingIOError, EOFError):
                return np.concatenate(ready)


class _Drain:
    """A file that can only be written to, and is emptied now and then."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def drained(self) -> bytes:
        data = bytes(self._bytes)
        self._bytes.clear()
        return data


def _whole_numbers(piece: np.ndarray) -> np.ndarray:
    return np.round(piece * FULL_SCALE).astype("<i2")
