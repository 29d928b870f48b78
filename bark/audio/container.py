"""Tell from a file's first bytes which decoder reads it, where its sound begins, and whether it
is whole.
"""

import os
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from bark.errors import AudioError

HEAD = 4096  # bytes looked at
COMPLETE = 0.98  # found : declared, below which a file counts as cut short
STREAMED = 0x7FFF_F000  # sizes from here on were written before the length was known
OGG_PAGE = 27 + 255 + 255 * 255  # bytes, at most
MOST_TAGS = 8  # and runs of zeros before the sound of an mp3 or aac file
MOST_ZEROS = 1 << 20  # bytes of such a run
FLAC_SAMPLES = (1 << 36) - 1  # of the whole file; 0 where it was written before that was known
NATIVE_WAV = {1, 2, 3, 6, 7, 0x11, 0x31, 0xFFFE}  # format tags that libsndfile decodes by itself
FALLBACKS = {b"RIFF": "wav", b"OggS": "ogg", b"FORM": "aiff", b"caff": "caf", b"fLaC": "flac"}


@dataclass(frozen=True)
class Container:
    """What the first bytes of a file say about it."""

    demuxer: str | None  # FFmpeg's name for what libsndfile cannot read
    fallback: str | None  # FFmpeg's name for it, should libsndfile fail
    start: int  # bytes before the sound
    patch: tuple[int, bytes]  # offset and bytes of a length that a stopped recorder left at 0
    quiet: bool  # libsndfile reads it with decoders that print nothing


def look(file: BufferedReader) -> Container:
    """Read the first and last bytes; naming the demuxer keeps FFmpeg from playlists.

    Raises
    ------
    AudioError : the file is empty, or ends before what its header promises.
    """
    size = file.seek(0, os.SEEK_END)
    if not size:
        raise AudioError("is empty", "0 bytes")
    file.seek(0)
    head = file.read(HEAD)
    start = _leading(file, head)
    if start:
        file.seek(start)
        head = file.read(HEAD)
    _refuse_cut(file, head, size)
    magic = head[:4]
    patch = _missing_length(file, head, size) if magic == b"RIFF" else (0, b"")
    return Container(_demuxer(head), FALLBACKS.get(magic), start, patch, _is_quiet(head))


class View:
    """A file from some byte on, without its name and with some bytes replaced.

    soundfile would take ``x.raw`` for samples without a header, and prints a traceback for
    whatever its file object raises: no seek or read of this one fails.
    """

    def __init__(self, file: BufferedReader, start: int, patch: tuple[int, bytes]) -> None:
        self.file, self.start, self.patch = file, start, patch
        self.size = file.seek(0, os.SEEK_END) - start
        self.at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        target = offset + {os.SEEK_CUR: self.at, os.SEEK_END: self.size}.get(whence, 0)
        if target >= 0:
            self.at = target
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self.at)
        count = left if count < 0 else min(count, left)
        try:
            self.file.seek(self.start + self.at)
            data = self.file.read(count)
        except OSError:  # a disk or a network share that is gone: the file ends here
            return b""
        offset, new = self.patch
        first, last = max(offset, self.at), min(offset + len(new), self.at + len(data))
        if first < last:
            data = (
                data[: first - self.at]
                + new[first - offset : last - offset]
                + data[last - self.at :]
            )
        self.at += len(data)
        return data


def _demuxer(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x30\x26\xb2\x75":
        return "asf"
    if head[:5] == b"#!AMR":
        return "amr"
    if head[:4] == b"fLaC" and not int.from_bytes(head[21:26], "big") & FLAC_SAMPLES:
        return "flac"  # libsndfile loses the end of such a stream
    return "aac" if _is_adts(head) else None


def _is_adts(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0  # layer 0


def _is_mpeg(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def _leading(file: BufferedReader, head: bytes) -> int:
    """Return how many bytes of ID3 tags and zeros stand before MPEG audio or ADTS, else 0.

    A tag right before an mp3's first frame is left to libsndfile, which reads its text.
    """
    at, zeros = 0, False
    for _ in range(MOST_TAGS):
        if head[:3] == b"ID3":
            if len(head) < 10:
                return 0
            at += 10 + sum(byte << 7 * (3 - place) for place, byte in enumerate(head[6:10]))
        elif head[:1] == b"\0":
            file.seek(at)
            block = file.read(MOST_ZEROS)
            rest = block.lstrip(b"\0")
            if not rest:
                return 0
            at, zeros = at + len(block) - len(rest), True
        else:
            break
        file.seek(at)
        head = file.read(HEAD)
    return at if _is_adts(head) or (zeros and _is_mpeg(head)) else 0


def _is_quiet(head: bytes) -> bool:
    """Tell whether libsndfile reads this without mpg123, which writes notes to stderr."""
    magic = head[:4]
    if magic == b"RIFF":
        at = head.find(b"fmt ", 12)
        return at > 0 and int.from_bytes(head[at + 8 : at + 10], "little") in NATIVE_WAV
    if magic == b"OggS":
        return b"\x01vorbis" in head[:64] or b"OpusHead" in head[:64]
    return magic in (b"fLaC", b"FORM")


def _missing_length(file: BufferedReader, head: bytes, size: int) -> tuple[int, bytes]:
    """Return where a wav says that it holds 0 bytes of samples though it goes on, and how many.

    Recorders write the length when they are stopped; one that was killed leaves 0.
    """
    at = 12
    while at + 8 <= len(head):
        name, length = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"data":
            follows = head[at + 8 : at + 12]
            if length or follows in (b"LIST", b"id3 ", b"ID3 ", b"bext", b"fact", b"PEAK"):
                break
            return at + 4, min(size - at - 8, 0xFFFF_FFFF).to_bytes(4, "little")
        at += 8 + length + length % 2
    return 0, b""


def _refuse_cut(file: BufferedReader, head: bytes, size: int) -> None:
    """Compare what RIFF, AIFF and Ogg promise with the size: libsndfile plays what is left."""
    declared = 0
    if head[:4] == b"RIFF":
        declared = 8 + int.from_bytes(head[4:8], "little")
    elif head[:4] == b"FORM":
        declared = 8 + int.from_bytes(head[4:8], "big")
    if declared < STREAMED and size < COMPLETE * declared:
        raise AudioError("is cut short", f"{size:,} bytes", f"{declared:,}", "Export it again")
    if head[:4] == b"OggS":
        file.seek(max(0, size - OGG_PAGE))
        tail = file.read()
        page = tail[tail.rfind(b"OggS") :]
        segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
        if len(page) < 27 or len(segments) < page[26] or len(page) < 27 + page[26] + sum(segments):
            raise AudioError("is cut short: its last Ogg page is not whole", fix="Export it again")
