"""THE token layout: how text, semantic and codec tokens share one number line; their rates and
windows.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .errors import SettingError, VoiceError


@dataclass(frozen=True)
class TokenLayout:
    """Vocabularies, special ids, rates and windows of one Bark; the defaults are Suno's.

    A model of another size keeps its own values in its ``config.json``.
    """

    sample_rate: int = 24_000  # Hz, audio out
    semantic_rate: float = 49.9  # Hz, semantic tokens
    coarse_rate: float = 75.0  # Hz, codec frames

    semantic_vocab: int = 10_000  # ids 0..9999; the id after the last is end-of-speech and padding
    text_offset: int = 10_048  # added to the tokenizer's ids
    text_pad: int = 129_595
    semantic_infer: int = 129_599  # "now speak"
    text_window: int = 256  # text tokens; as many of history, summed position by position
    max_semantic: int = 768  # tokens of one utterance, 15.39 s

    codebook_size: int = 1024
    coarse_books: int = 2
    fine_books: int = 8
    coarse_semantic_pad: int = 12_048
    coarse_infer: int = 12_050
    coarse_semantic_window: int = 256  # semantic tokens before the infer token
    max_coarse_history: int = 630  # flattened coarse tokens
    min_coarse_history: int = 60
    sliding_window: int = 60  # coarse tokens between two rebuilds of the window
    coarse_history_drop: int = 2  # last coarse tokens of a history left out: Suno's time alignment

    fine_window: int = 1024  # frames
    fine_history: int = 512  # frames
    fine_hop: int = 512  # frames
    fine_shortest: int = 1024  # frames; what is shorter is padded, to a window at most

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "coarse_history_drop" else 1
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
                raise SettingError(
                    f"token layout: {field.name}", repr(value), f"a number >= {least}"
                )

    @property
    def semantic_pad(self) -> int:
        """Padding of the semantic history; the same id ends an utterance."""
        return self.semantic_vocab

    @property
    def coarse_offset(self) -> int:
        """First id of codebook 0 in the coarse model's vocabulary."""
        return self.semantic_vocab

    @property
    def frames_per_semantic(self) -> float:
        """Codec frames for one semantic token, 1.503 for Bark."""
        return self.coarse_rate / self.semantic_rate

    @property
    def coarse_per_semantic(self) -> float:
        """Flattened coarse tokens for one semantic token, 3.006 for Bark."""
        return self.coarse_rate / self.semantic_rate * self.coarse_books

    @property
    def hop_length(self) -> int:
        """Audio samples of one codec frame, 320 for Bark."""
        return int(self.sample_rate // self.coarse_rate)

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as plain numbers for a ``config.json``."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


BARK = TokenLayout()


def flatten_codebooks(codes: np.ndarray, codebook_size: int = BARK.codebook_size) -> np.ndarray:
    """Interleave codebooks frame by frame, each in its own range of ids.

    Parameters
    ----------
    codes : (K, T) integers in [0, codebook_size).

    Returns
    -------
    (K*T,) int64; entry ``t*K + k`` is ``codes[k, t] + k*codebook_size``.

    >>> flatten_codebooks(np.array([[1, 2], [3, 4]])).tolist()
    [1, 1027, 2, 1028]
    """
    codes = np.asarray(codes)
    if codes.ndim != 2:
        raise VoiceError("codes have the wrong shape", codes.shape, "(codebooks, frames)")
    offsets = np.arange(len(codes), dtype=np.int64)[:, None] * codebook_size
    return (codes.astype(np.int64) + offsets).T.reshape(-1)  # (K, T) -> (T, K) -> (T*K,)


def unflatten_codebooks(
    flat: np.ndarray, codebooks: int = BARK.coarse_books, codebook_size: int = BARK.codebook_size
) -> np.ndarray:
    """Undo `flatten_codebooks`: (K*T,) -> (K, T) int64."""
    flat = np.asarray(flat)
    if flat.ndim != 1 or len(flat) % codebooks:
        raise VoiceError("flattened codes have the wrong shape", flat.shape, f"(n*{codebooks},)")
    return flat.astype(np.int64).reshape(-1, codebooks).T % codebook_size
