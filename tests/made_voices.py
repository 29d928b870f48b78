"""Random voices for tests, and the bytes of the files that hold them."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from bark.tokens import BARK
from bark.voice.voice import Voice

VOICES = Path(__file__).parent / "golden" / "voices"
RATIO = BARK.frames_per_semantic


def make(tokens=100, frames=None, seed=0, **info) -> Voice:
    frames = math.floor(tokens * RATIO) if frames is None else frames
    numbers = np.random.default_rng(seed)
    fine = numbers.integers(0, 1024, (8, frames))
    return Voice(numbers.integers(0, 10_000, tokens), fine[:2], fine, info)


def zipped(members: dict[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def npy(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def load_bytes(folder: Path, data: bytes) -> Voice:
    path = folder / "v.npz"
    path.write_bytes(data)
    return Voice.load(path)


def members(voice: Voice) -> dict[str, bytes]:
    return {f"{key}.npy": npy(array) for key, array in voice.to_dict().items()}


def raw_save(voice: Voice, path: Path) -> Path:
    path.write_bytes(zipped(members(voice)))
    return path
