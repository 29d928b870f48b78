"""Load mutated audio files of every format: ``python -m tests.fuzz audio SEED MINUTES``.

Each ends in samples or in one of our errors. Anything else is a fault: another exception, a
warning, a letter on stderr, samples out of range, 2 s of computing, 300 MB of growth.
"""

import io
import os
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from bark.audio import isolation
from bark.audio.read import load_audio
from bark.audio.samples import LOUDEST
from bark.audio.write import encode_audio
from bark.errors import BarkError

from . import Outcome

RATE = 24_000  # Hz
MOST_SECONDS, MOST_GROWTH = 2.0, 300 << 20  # of computing for an input; bytes for a campaign
NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


@dataclass
class Row:
    """What became of the mutants of one format."""

    kind: str
    inputs: int = 0
    loaded: int = 0
    refused: int = 0
    ended: int = 0  # refusals because the decoder's process ended
    slowest: float = 0.0  # seconds of computing
    faults: list[str] = field(default_factory=list)


def campaign(seed: int, seconds: float, inputs: int | None = None) -> list[Row]:
    """Load mutants for that many seconds, or that many `inputs`, and return a row a format."""
    numbers = np.random.default_rng(seed)
    wholes = valid_files()
    rows = {kind: Row(kind) for kind in wholes}
    end = time.monotonic() + seconds
    before = _memory()
    with tempfile.TemporaryDirectory() as folder:
        done = 0
        while time.monotonic() < end and (inputs is None or done < inputs):
            kind = list(wholes)[done % len(wholes)]
            path = Path(folder, f"{seed}-{done}.{kind.split()[0]}")
            path.write_bytes(mutated(wholes[kind], list(wholes.values()), numbers))
            _load(path, rows[kind], isolated=bool(numbers.random() < 0.2))
            path.unlink()
            done += 1
    if (growth := _memory() - before) > MOST_GROWTH:
        rows[kind].faults.append(f"grew by {growth >> 20} MB")
    return list(rows.values())


def table(rows: list[Row]) -> str:
    """Return the rows as text."""
    lines = [f"{'format':16} inputs loaded refused ended slowest faults"]
    for row in rows:
        counts = f"{row.inputs:6} {row.loaded:6} {row.refused:7} {row.ended:5}"
        lines.append(f"{row.kind:16} {counts} {row.slowest:6.2f}s {len(row.faults):6}")
    return "\n".join([*lines, *(fault for row in rows for fault in row.faults)])


def valid_files() -> dict[str, bytes]:
    """Return a short recording in every format; those of PyAV where it is installed."""
    at = np.arange(round(0.4 * RATE)) / RATE
    tone = (0.3 * np.sin(2 * np.pi * 220 * at) * np.sin(2 * np.pi * 3 * at)).astype(np.float32)
    wide = np.stack([tone, 0.5 * tone], axis=1)
    files = {kind: encode_audio(tone, RATE, kind) for kind in ("wav", "flac", "mp3", "ogg", "opus")}
    for kind, subtype in (
        ("wav", "FLOAT"),
        ("wav", "GSM610"),
        ("wav", "MS_ADPCM"),
        ("w64", "PCM_16"),
        ("aiff", "PCM_24"),
        ("au", "ULAW"),
        ("caf", "ALAC_16"),
        ("voc", "PCM_16"),
    ):
        buffer = io.BytesIO()
        sound = tone if subtype == "GSM610" else wide
        soundfile.write(buffer, sound, RATE, format=kind, subtype=subtype)
        files[f"{kind} {subtype}"] = buffer.getvalue()
    files["mp3 zeros"] = bytes(3000) + files["mp3"]
    try:
        import av
    except ImportError:
        return files
    del av
    files |= {kind: encode_audio(wide, RATE, kind) for kind in ("aac", "m4a")}
    mono = encode_audio(tone, RATE, "aac")
    files["aac channels"] = mono + files["aac"] + mono
    files["webm"] = contained(tone, "webm", "libopus", 48_000)
    files["wma"] = contained(tone, "asf", "wmav2", 44_100)
    return files


def contained(audio: np.ndarray, container: str, codec: str, rate: int) -> bytes:
    """Return mono audio in a container and codec of FFmpeg."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono", bit_rate=64_000)
        frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def mutated(whole: bytes, others: list[bytes], numbers: np.random.Generator) -> bytes:
    """Return a file with some bytes changed, cut, repeated, or taken from another one."""
    data = bytearray(whole)
    for _ in range(numbers.integers(1, 4)):
        most = len(data) if numbers.random() < 0.5 else min(len(data), 200)
        at = int(numbers.integers(most))
        size = int(numbers.integers(1, 64))
        match numbers.integers(7):
            case 0:
                for place in numbers.integers(most, size=4):
                    data[place] = numbers.integers(256)
            case 1:
                number = int(numbers.choice(NUMBERS))
                order = "little" if numbers.random() < 0.5 else "big"
                data[at : at + 4] = number.to_bytes(4, order)
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size] * int(numbers.integers(1, 20))
            case 4:
                del data[max(at, 12) :]
            case 5:
                other = others[numbers.integers(len(others))]
                begin = int(numbers.integers(len(other)))
                data[at : at + 16 * size] = other[begin : begin + 16 * size]
            case 6:
                data[at : at + size] = numbers.bytes(size)
        data = data or bytearray(whole)
    return bytes(data)


def _load(path: Path, row: Row, isolated: bool) -> None:
    row.inputs += 1
    began = _computing()
    with _stderr() as said, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            audio = load_audio(path, RATE, max_seconds=60, isolated=isolated)
        except BarkError as error:
            row.refused += 1
            row.ended += "makes its decoder fail" in str(error)
            if str(path) not in str(error):
                row.faults.append(f"{path.name}: not named in {error}")
        except Exception as error:  # noqa: BLE001 - what must not happen is what is looked for
            row.faults.append(f"{path.name}: {type(error).__name__}: {error}")
        else:
            row.loaded += 1
            if not np.isfinite(audio).all() or np.abs(audio).max(initial=0) > 2 * LOUDEST:
                row.faults.append(f"{path.name}: samples out of range")
    if text := said.getvalue():
        row.faults.append(f"{path.name}: on stderr: {text[-300:]!r}")
    took = _computing() - began
    row.slowest = max(row.slowest, took)
    if took > MOST_SECONDS:
        row.faults.append(f"{path.name}: took {took:.1f} s")


@contextmanager
def _stderr() -> Iterator[io.StringIO]:
    """Catch what anyone, also a C library, writes to file descriptor 2."""
    caught, kept = io.StringIO(), os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield caught
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            caught.write(file.read().decode(errors="replace"))


def _workers() -> list[int]:
    return [worker.process.pid for worker in isolation._pool(os.getpid()).idle]


def _computing() -> float:
    """Return the seconds of computing of this process and, on Linux, of the worker."""
    seconds = time.process_time()
    for worker in _workers():
        stat = Path(f"/proc/{worker}/stat")
        if stat.exists():
            user, system = stat.read_text().rpartition(")")[2].split()[11:13]
            seconds += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return seconds


def _memory() -> int:
    """Return the most bytes that this process ever held, on Linux."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else 0


def outcome(seed: int, seconds: float) -> Outcome:
    """Return what a campaign found, of all formats together."""
    began = time.monotonic()
    rows = campaign(seed, seconds)
    kinds = Counter[str]()
    for row in rows:
        kinds[f"{row.kind}: read"] += row.loaded
        kinds[f"{row.kind}: AudioError"] += row.refused
        kinds[f"{row.kind}: ended the decoder"] += row.ended
    faults = [fault for row in rows for fault in row.faults]
    slowest = max(row.slowest for row in rows)
    inputs = sum(row.inputs for row in rows)
    return Outcome(inputs, time.monotonic() - began, slowest, 0, +kinds, faults)
