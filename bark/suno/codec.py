"""The codec as encodec's model answers, and what cloning scripts import beside Bark."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bark.audio.read import open_audio
from bark.audio.sinc import sinc_resample
from bark.codec.base import Codec
from bark.errors import AudioError, SettingError

BANDWIDTH = 6.0  # kbit/s, eight codebooks
Frame = tuple[Tensor, Tensor | None]  # codes (B, K, T), scale


def load(path: str | Path) -> tuple[Tensor, int]:
    """Read a recording as `torchaudio.load` does: ((1, N) float32, Hz), its channels' mean."""
    source = open_audio(path)
    return torch.from_numpy(source.read())[None], source.sample_rate


def convert_audio(wav: Tensor, sr: int, target_sr: int, target_channels: int) -> Tensor:
    """Resample and mix (..., C, N) as `encodec.utils.convert_audio` does."""
    channels = wav.shape[-2] if wav.dim() >= 2 else 0
    if channels not in (1, 2):
        raise AudioError("audio to convert", tuple(wav.shape), "(..., 1 or 2, N)")
    if target_channels == 1:
        wav = wav.mean(-2, keepdim=True)
    elif target_channels == 2:
        wav = wav.expand(*wav.shape[:-2], 2, -1)
    elif channels == 2:
        raise AudioError("channels to convert to", target_channels, "1 or 2")
    else:
        wav = wav.expand(*wav.shape[:-2], target_channels, -1)
    return sinc_resample(wav, sr, target_sr)


class CodecQuantizer:
    """What scripts ask of encodec's ``model.quantizer``."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.bins, self.n_q = codec.codebook_size, codec.num_codebooks

    def decode(self, codes: Tensor) -> Tensor:
        """Look up and sum codes (K, B, T) → (B, D, T), for `SunoCodec.decoder`."""
        return _encodec_network(self.codec).quantizer.decode(codes)


class SunoCodec(nn.Module):
    """A codec that answers as ``encodec.EncodecModel`` at 6 kbit/s does."""

    channels = 1
    bandwidth = BANDWIDTH
    segment: float | None = None
    normalize = False

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec, self.network = codec, codec.network  # type: ignore[attr-defined]
        self.sample_rate = codec.sample_rate
        self.frame_rate = codec.sample_rate // codec.hop_length
        self.quantizer = CodecQuantizer(codec)
        self.eval()

    @property
    def decoder(self) -> Callable[[Tensor], Tensor]:
        """Turn what ``quantizer.decode`` gives into audio: (B, D, T) → (B, 1, N)."""
        return _encodec_network(self.codec).decoder

    def set_target_bandwidth(self, bandwidth: float) -> None:
        """Bark's own bandwidth is the only one."""
        if bandwidth != BANDWIDTH:
            raise SettingError("bandwidth", bandwidth, f"{BANDWIDTH}, Bark's eight codebooks")

    @torch.no_grad()
    def encode(self, x: Tensor) -> list[Frame]:
        """Encode (B, 1, N) into one frame: ``[(codes (B, 8, T), None)]``."""
        if x.dim() != 3 or x.shape[1] != self.channels:
            raise AudioError("audio to encode", tuple(x.shape), "(batch, 1, samples)")
        codes = [self.codec.encode(item[0].float().cpu().numpy()) for item in x]
        return [(torch.from_numpy(np.stack(codes)).to(x.device), None)]

    @torch.no_grad()
    def decode(self, encoded_frames: Sequence[Frame]) -> Tensor:
        """Decode ``[(codes (B, K, T), scale)]`` into (B, 1, 320 T)."""
        if len(encoded_frames) != 1:
            raise SettingError("encoded frames", f"{len(encoded_frames)} of them", "one")
        codes, scale = encoded_frames[0]
        audio = np.stack([self.codec.decode(item.cpu().numpy()) for item in codes])
        wave = torch.from_numpy(audio)[:, None].to(codes.device)
        return wave if scale is None else wave * scale.view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode (B, 1, N), cut to the input's length."""
        return self.decode(self.encode(x))[..., : x.shape[-1]]


def _encodec_network(codec: Codec) -> Any:
    if codec.family != "encodec":
        raise SettingError("this codec has no EnCodec network", codec.family, "encodec")
    return getattr(codec, "base", codec).network  # type: ignore[attr-defined,union-attr]  # not Vocos
