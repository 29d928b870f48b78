"""nano's codec: mel frames, a residual quantizer, and Griffin-Lim on the way back.

nano's stand-in for EnCodec, with the same interface and the same numbers. A convolutional
autoencoder reads log-mel frames, a residual quantizer turns each into eight codes, and the way back
ends in Griffin-Lim from zero phase: no phase is stored and nothing is drawn at random, so equal
codes give equal audio (at a fixed number of threads; other thread counts round differently). It is
a speech codec: tones and music are out of its reach.

Analysis frames are centred in the 320 samples they stand for, so ``N`` samples give ``ceil(N /
320)`` frames."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from bark.errors import CheckpointError, MissingFileError
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.json import dataclass_from, encode, read_json
from bark.storage.weights import read_weights

from .base import CheckedCodec
from .mel_config import CODEBOOK_SIZE, LIMITS, NUM_CODEBOOKS
from .mel_config import MelCodecConfig as MelCodecConfig
from .spectra import FFT_LENGTH, HOP_LENGTH, SAMPLE_RATE, griffin_lim, spectrum

MAX_LOG = 8.0  # natural log of mel magnitude; nothing in [-1, 1] audio comes near it
MIN_MAGNITUDE = 1e-6
WEIGHTS = "codec.safetensors"


def mel_filterbank(bands: int) -> Tensor:
    """Make triangular filters, one FFT bin apart low down and proportionally spaced above.

    Parameters
    ----------
    bands : int
        Number of filters.

    Returns
    -------
    Tensor
        ``(bands, 513)`` float32; each row sums to 1.
    """
    top = FFT_LENGTH // 2

    def centres(growth: float) -> np.ndarray:
        points = [0.0]
        while points[-1] < top:
            points.append(points[-1] + max(1.0, growth * points[-1]))
        return np.array(points)

    low, high = 0.0, 0.5
    for _ in range(50):  # bisect the growth rate until the band count fits
        middle = (low + high) / 2
        low, high = (middle, high) if len(centres(middle)) > bands else (low, middle)
    points = centres(high)
    points = np.interp(
        np.linspace(0, len(points) - 1, bands), np.arange(len(points)), points * top / points[-1]
    )
    edges = np.concatenate([[-1.0], points, [top + 1.0]])
    bins = np.arange(top + 1)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    left, right = (
        np.minimum(left, centre - 1),
        np.maximum(right, centre + 1),
    )  # at least one bin wide on each side
    filters = np.clip(
        np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)), 0, None
    )
    return torch.tensor(filters / filters.sum(axis=1, keepdims=True), dtype=torch.float32)


class ConvBlock(nn.Module):
    """One ConvNeXt block over time: depthwise convolution, then two frame-wise
    layers, with a skip.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(B, T, D)`` to ``(B, T, D)``."""
        mixed = self.depthwise(hidden.transpose(1, 2)).transpose(1, 2)
        update = self.narrow(F.gelu(self.widen(self.norm(mixed)), approximate="tanh"))
        return hidden + self.scale * update


class ConvStack(nn.Module):
    """Convolution in, blocks, normalisation, linear map out: encoder and decoder are one each."""

    def __init__(
        self, inputs: int, width: int, outputs: int, blocks: int, expansion: int, kernel: int
    ) -> None:
        super().__init__()
        self.enter = nn.Conv1d(inputs, width, kernel, padding=kernel // 2)
        self.blocks = nn.ModuleList([ConvBlock(width, width * expansion) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, outputs)

    def forward(self, frames: Tensor) -> Tensor:
        """Map ``(B, T, inputs)`` to ``(B, T, outputs)``."""
        hidden = self.enter(frames.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            hidden = block(hidden)
        return self.leave(self.norm(hidden))


class MelAutoencoder(nn.Module):
    """The codec's network: mel frames → latent → codes → latent → mel frames."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ConvStack(
            config.bands,
            config.encoder_width,
            config.latent,
            config.encoder_blocks,
            config.expansion,
            kernel=3,
        )
        self.decoder = ConvStack(
            config.latent,
            config.decoder_width,
            config.bands,
            config.decoder_blocks,
            config.expansion,
            kernel=5,
        )
        self.register_buffer("codebooks", torch.zeros(NUM_CODEBOOKS, CODEBOOK_SIZE, config.latent))
        self.register_buffer("mean", torch.zeros(config.bands))
        self.register_buffer("deviation", torch.ones(1))
        filters = mel_filterbank(config.bands)  # rebuilt from the configuration, never stored
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(filters), persistent=False)
        self.codebooks: Tensor
        self.mean: Tensor
        self.deviation: Tensor
        self.filters: Tensor
        self.inverse: Tensor

    def mel(self, audio: Tensor) -> Tensor:
        """Return mel magnitudes: ``(B, N)`` → ``(B, N / 320, bands)``."""
        return spectrum(audio).abs() @ self.filters.T

    def normalise(self, mel: Tensor) -> Tensor:
        """Turn mel magnitudes into the network's scale: log, mean of each band, one deviation for
        all.
        """
        return (torch.log(mel + self.config.floor) - self.mean) / self.deviation

    def log_mel(self, frames: Tensor) -> Tensor:
        """Undo the scaling of `normalise`, not its logarithm; limited so that ``exp``
        stays finite.
        """
        return (frames * self.deviation + self.mean).clamp(max=MAX_LOG)

    def magnitude(self, frames: Tensor) -> Tensor:
        """Spread log-mel frames over the FFT bins: ``(B, T, bands)`` → ``(B, T, 513)``."""
        mel = self.log_mel(frames).exp() - self.config.floor
        return (mel.clamp(min=0) @ self.inverse.T).clamp(min=0)

    def quantize(self, latent: Tensor, num_codebooks: int = NUM_CODEBOOKS) -> Tensor:
        """Code each latent greedily, book by book on what is left: ``(M, latent)`` → ``(K, M)``
        int64.
        """
        left = latent
        codes = []
        for book in self.codebooks[:num_codebooks]:
            code = nearest(left, book)
            left = left - book[code]
            codes.append(code)
        return torch.stack(codes)

    def dequantize(self, codes: Tensor) -> Tensor:
        """Sum the entries that ``(K, M)`` codes name: ``(M, latent)``."""
        return torch.stack(
            [book[code] for book, code in zip(self.codebooks, codes, strict=False)]
        ).sum(0)


def nearest(points: Tensor, book: Tensor) -> Tensor:
    """Return for ``(M, D)`` points the index of the closest of ``(V, D)`` entries."""
    return (book.pow(2).sum(1) - 2 * (points @ book.T)).argmin(1)


class MelCodec(CheckedCodec):
    """nano's codec: `encode` audio into ``(8, T)`` codes, `decode` ``(K, T)`` codes into audio."""

    family = "mel"
    context_frames: int | None = None  # rounding grows from one Griffin-Lim round to the next
    sample_rate = SAMPLE_RATE
    hop_length = HOP_LENGTH
    codebook_size = CODEBOOK_SIZE
    num_codebooks = NUM_CODEBOOKS
    lookahead: int | None = None  # phases are found from the whole utterance

    def __init__(self, network: MelAutoencoder) -> None:
        self.network = network.eval()

    def _encode(self, samples: np.ndarray) -> Tensor:
        length = math.ceil(samples.size / HOP_LENGTH) * HOP_LENGTH
        padded = np.pad(samples, (0, length - samples.size))
        network = self.network
        mel = network.mel(torch.from_numpy(padded)[None].to(network.mean.device))
        return network.quantize(network.encoder(network.normalise(mel))[0])

    def _decode(self, codes: Tensor) -> Tensor:
        network = self.network
        latent = network.dequantize(codes.to(network.mean.device))
        magnitude = network.magnitude(network.decoder(latent[None])).clamp(min=MIN_MAGNITUDE)
        audio = griffin_lim(magnitude, network.config.iterations, network.config.momentum)
        return audio[0].clamp(-1, 1)

    def to(self, device: str | torch.device) -> "MelCodec":
        """Move the network to a device and return the codec itself."""
        self.network.to(device)
        return self

    @classmethod
    def load(cls, folder: Path | str) -> "MelCodec":
        """Load from a model folder: the ``codec`` entry of ``config.json`` and
        ``codec.safetensors``.

        Raises
        ------
        MissingFileError
            If either file is missing.
        CheckpointError
            If the configuration is of another codec, or the weights do not fit it.
        """
        folder = Path(folder)
        for file in (folder / "config.json", folder / WEIGHTS):
            if not file.is_file():
                raise MissingFileError("codec file not found", got=str(file))
        entry = read_json(folder / "config.json").get("codec")
        entry = dict(entry) if isinstance(entry, dict) else {}
        kind = entry.pop("type", None)
        if kind != "mel":
            raise CheckpointError("codec type in config.json", got=kind, allowed="mel")
        config = dataclass_from(entry, MelCodecConfig, LIMITS, f"{folder / 'config.json'}: codec")
        state = {name: tensor.float() for name, tensor in read_weights(folder / WEIGHTS).items()}
        try:
            if sum(tensor.numel() for tensor in state.values()) < config.least_numbers():
                raise RuntimeError("the weights are too few")  # before as many are allocated
            network = MelAutoencoder(config)
            network.load_state_dict(state)
        except RuntimeError as error:
            raise CheckpointError(
                f"codec weights in {folder} do not fit their configuration", got=error
            ) from error
        return cls(network)

    def save(self, folder: Path | str) -> None:
        """Write ``codec.safetensors`` (float16) and the ``codec`` entry of ``config.json`` into a
        folder.

        Other entries of an existing ``config.json`` stay as they are.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "config.json"
        config = read_json(path) if path.is_file() else {}
        config["codec"] = {"type": "mel", **asdict(self.network.config)}
        state = {
            name: tensor.half().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }
        with atomic_write(folder / WEIGHTS) as temporary:
            save_file(state, temporary)
        atomic_write_text(path, encode(config, indent=2) + "\n")
