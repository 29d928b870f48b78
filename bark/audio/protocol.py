"""What a process and the worker that decodes for it say to each other over a pipe."""

from typing import BinaryIO

import msgspec

from bark.errors import AudioError

MOST = 1 << 25  # bytes of one message


class Look(msgspec.Struct, tag=True):
    """Look into this file."""

    path: bytes


class Decode(msgspec.Struct, tag=True):
    """Begin to decode this file, instead of any other, and answer with the first block."""

    path: bytes
    demuxer: str | None
    sample_rate: int
    first: int


class Next(msgspec.Struct, tag=True):
    """Answer with the next block."""


class Close(msgspec.Struct, tag=True):
    """Close the file that is being decoded; the answer is a block without channels."""


class Found(msgspec.Struct, tag=True):
    """What a file says about its sound, as in `decoders.Probe`."""

    demuxer: str | None
    sample_rate: int
    channels: int
    frames: int
    counted: bool


class Block(msgspec.Struct, tag=True):
    """Bytes of float32 (n, channels) follow; 0 channels end the recording."""

    channels: int


class Refused(msgspec.Struct, tag=True):
    """The file is at fault: the parts of an `AudioError`."""

    what: str
    got: str | None
    allowed: str | None
    fix: str | None


REQUESTS = msgspec.json.Decoder(Look | Decode | Next | Close)
ANSWERS = msgspec.json.Decoder(Found | Block | Refused)


def send(pipe: BinaryIO, message: msgspec.Struct, samples: bytes | memoryview = b"") -> None:
    """Write a message and the samples that belong to it, each behind its length in bytes."""
    header = msgspec.json.encode(message)
    pipe.write(len(header).to_bytes(4, "little") + len(samples).to_bytes(4, "little") + header)
    pipe.write(samples)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[bytes, bytes]:
    """Read a message and its samples; both are empty where the other side has ended."""
    lengths = pipe.read(8)
    header, samples = (int.from_bytes(lengths[at : at + 4], "little") for at in (0, 4))
    if len(lengths) < 8 or header + samples > MOST:
        return b"", b""
    parts = pipe.read(header), pipe.read(samples)
    return parts if (len(parts[0]), len(parts[1])) == (header, samples) else (b"", b"")


def as_error(refused: Refused) -> AudioError:
    return AudioError(refused.what, refused.got, refused.allowed, refused.fix)
