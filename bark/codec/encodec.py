"""EnCodec at 6 kbit/s, Bark's own codec, reading three layouts of its weights.

`Codec` is the interface every part of the house uses; `EncodecCodec` is Bark's own codec, 6 kbit/s
EnCodec on `transformers.EncodecModel`. It reads three layouts of the same weights: the ``encodec``
package's state dict (``.th``), a Hugging Face folder (``facebook/encodec_24khz``), and the
``codec_model.`` part of a Bark there.

Six kilobits a second are 8 codebooks of 10 bits at 75 Hz: 8 × 10 × 75 = 6000.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from bark.errors import CheckpointError, MissingFileError
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.hub import HUB_ID, fetch
from bark.storage.json import read_json
from bark.storage.weights import read_weights

from .base import CheckedCodec

if TYPE_CHECKING:  # transformers takes seconds to import, and nano's codec does without
    from transformers import EncodecConfig, EncodecModel

HUB_REPO = "facebook/encodec_24khz"
BANDWIDTH = 6.0  # kbit/s
BANDWIDTHS = (1.5, 3.0, 6.0, 12.0, 24.0)  # kbit/s: 2, 4, 8, 16, 32 codebooks
WEIGHTS = "codec.safetensors"

# Statistics of codebook training; decoding and encoding never read them, so a file may leave them
# out.
_UNUSED = re.compile(r"quantizer\.layers\.\d+\.codebook\.(inited|cluster_size|embed_avg)$")


class EncodecCodec(CheckedCodec):
    """EnCodec at 24 kHz and 6 kbit/s.

    Memory grows with the length of what is encoded or decoded at once, so long audio goes through
    in pieces: the cloner encodes only its window, and the stages speak at most about 15 s at a
    time."""

    family = "encodec"
    lookahead: int | None = 0  # its convolutions and its LSTM look back only
    context_frames: int | None = None  # its LSTM remembers everything before

    def __init__(self, network: "EncodecModel") -> None:
        config = network.config
        if config.normalize or config.chunk_length_s is not None or config.audio_channels != 1:
            raise CheckpointError(
                "codec is not a mono EnCodec without loudness scaling",
                got=f"{config.sampling_rate} Hz, {config.audio_channels} channels",
                allowed=f"the layout of {HUB_REPO}",
            )
        self.network = network.eval().requires_grad_(False)
        self.sample_rate = int(config.sampling_rate)
        self.hop_length = int(config.hop_length)
        self.codebook_size = int(config.codebook_size)
        self.num_codebooks = int(network.quantizer.get_num_quantizers_for_bandwidth(BANDWIDTH))
        if self.num_codebooks > len(network.quantizer.layers):
            raise CheckpointError(
                "codec has too few codebooks",
                got=len(network.quantizer.layers),
                allowed=f"at least {self.num_codebooks} for {BANDWIDTH:g} kbit/s",
            )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.quantizer.layers[0].codebook.embed.device

    def _encode(self, samples: np.ndarray) -> Tensor:
        wave = torch.from_numpy(samples)[None, None].to(self.device)  # (1, 1, N)
        codes: Tensor = self.network.quantizer.encode(self.network.encoder(wave), BANDWIDTH)
        return codes[:, 0]  # of (8, 1, T)

    def _decode(self, codes: Tensor) -> Tensor:
        ids = codes[:, None].to(self.device)  # (K, 1, T)
        audio: Tensor = self.network.decoder(self.network.quantizer.decode(ids))  # (1, 1, 320 T)
        return audio[0, 0]

    def to(self, device: str | torch.device) -> Self:
        """Move the network to a device and return the codec itself."""
        self.network.to(device)
        return self

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], where: str = "the codec weights") -> Self:
        """Build the codec from weights alone: sizes are read off the tensors.

        Parameters
        ----------
        state : weights under the names of the ``encodec`` package or of transformers (either
            spelling of weight norm), with or without ``codec_model.`` in front; the rest of a whole
            Bark is passed over.
        where : the file's name, for messages.
        """
        from transformers import EncodecModel

        weights = _canonical(state)
        if not weights:
            raise CheckpointError(
                f"{where} holds no EnCodec", got=sorted(state)[:3], allowed="encoder.*, ..."
            )
        try:
            config = _config_of(weights)
            with torch.random.fork_rng(
                devices=[]
            ):  # the random start is overwritten: leave the seed alone
                network = EncodecModel(config)
            missing, unknown = network.load_state_dict(weights, strict=False)
        except (KeyError, IndexError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{where} does not fit EnCodec", got=error) from error
        missing = [name for name in missing if not _UNUSED.search(name)]
        if missing or unknown:
            found = f"missing {sorted(missing)[:3]}, unknown {sorted(unknown)[:3]}"
            raise CheckpointError(f"{where} does not fit EnCodec", got=found)
        return cls(network)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path = HUB_REPO, device: str | torch.device = "cpu"
    ) -> Self:
        """Load EnCodec from a folder, a file (``.th``, ``.bin``, ``.safetensors``) or the model
        hub.
        """
        path = Path(name_or_path)
        if path.is_dir():
            found = [path / name for name in ("model.safetensors", WEIGHTS, "pytorch_model.bin")]
            path = next((file for file in found if file.is_file()), found[0])
        elif not path.is_file() and re.fullmatch(HUB_ID, str(name_or_path)):
            path = fetch(str(name_or_path), "model.safetensors")
        if not path.is_file():
            raise MissingFileError(
                "codec weights not found", got=path, fix=f"Give a folder, a file or {HUB_REPO}"
            )
        weights = read_weights(path, "codec_model.") or read_weights(
            path
        )  # a whole Bark's other parts stay unread
        return cls.from_state_dict(weights, where=str(path)).to(device)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load ``codec.safetensors`` from one of our model folders."""
        return cls.from_pretrained(Path(folder) / WEIGHTS)

    def save(self, folder: str | Path) -> None:
        """Write ``codec.safetensors`` and the ``codec`` entry of ``config.json`` into a folder.

        Other entries of an existing ``config.json`` stay as they are.
        """
        folder = Path(folder)
        path = folder / "config.json"
        config: dict[str, Any] = read_json(path) if path.is_file() else {}
        config["codec"] = {"type": "encodec"}
        state = {
            n: t.cpu().contiguous()
            for n, t in self.network.state_dict().items()
            if not _UNUSED.search(n)
        }
        with atomic_write(folder / WEIGHTS) as temporary:
            save_file(state, temporary)
        atomic_write_text(path, json.dumps(config, indent=2) + "\n")


def _canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the codec's tensors transformers' names, as float32; leave out everything else."""
    prefix = "codec_model." if any(name.startswith("codec_model.") for name in state) else ""
    weights = {}
    for name, tensor in state.items():
        if not name.startswith(
            tuple(prefix + part for part in ("encoder.", "decoder.", "quantizer."))
        ):
            continue
        name = name[len(prefix) :]
        name = re.sub(r"^(encoder|decoder)\.model\.", r"\1.layers.", name)
        name = name.replace("conv.conv.", "conv.").replace("convtr.convtr.", "conv.")
        name = name.replace("quantizer.vq.layers.", "quantizer.layers.").replace(
            "._codebook.", ".codebook."
        )
        name = name.replace(".weight_g", ".parametrizations.weight.original0")
        name = name.replace(".weight_v", ".parametrizations.weight.original1")
        weights[name] = tensor.float()
    return weights


def _config_of(weights: Mapping[str, Tensor]) -> "EncodecConfig":
    """Read EnCodec's sizes off its tensors.

    The decoder is: conv, LSTM, then for each ratio r a transposed convolution (its kernel is 2 r)
    and a residual block; so every transposed convolution, in order of its number, tells one ratio.
    """
    from transformers import EncodecConfig

    kernel = "conv.parametrizations.weight.original1"

    def shape(name: str) -> tuple[int, ...]:
        return tuple(weights[name].shape)

    def numbers(pattern: str) -> list[int]:
        found = (re.fullmatch(pattern, name) for name in weights)
        return sorted({int(match.group(1)) for match in found if match})

    plain = numbers(
        rf"decoder\.layers\.(\d+)\.{re.escape(kernel)}"
    )  # first conv, transposed ones, last conv
    ratios = [shape(f"decoder.layers.{number}.{kernel}")[2] // 2 for number in plain[1:-1]]
    filters, _, first_kernel = shape(f"encoder.layers.0.{kernel}")
    dimension = shape(f"decoder.layers.{plain[0]}.{kernel}")[1]
    codebook_size, codebook_dim = shape("quantizer.layers.0.codebook.embed")
    residual = shape("encoder.layers.1.block.1." + kernel)  # narrow by `compress`
    books = len(numbers(r"quantizer\.layers\.(\d+)\.codebook\.embed"))
    frame_rate = math.ceil(24_000 / math.prod(ratios))
    bits = int(math.log2(codebook_size))
    return EncodecConfig(
        hidden_size=dimension,
        num_filters=filters,
        kernel_size=first_kernel,
        last_kernel_size=shape(f"decoder.layers.{plain[-1]}.{kernel}")[2],
        residual_kernel_size=residual[2],
        compress=residual[1] // residual[0],
        upsampling_ratios=ratios,
        num_lstm_layers=len(numbers(r"encoder\.layers\.\d+\.lstm\.weight_hh_l(\d+)")),
        codebook_size=codebook_size,
        codebook_dim=codebook_dim,
        target_bandwidths=[
            rate for rate in BANDWIDTHS if rate * 1000 / (bits * frame_rate) <= books
        ],
    )
