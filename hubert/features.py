"""HuBERT features of a 16 kHz waveform, from fairseq's or Hugging Face's weights.

The waveform goes in raw, in [-1, 1]: the community's quantizers were fitted on raw audio, and
HuBERT base was trained on it, although its Hugging Face preprocessor normalises. Layer ``k`` is
fairseq's ``output_layer=k``, transformers' ``hidden_states[k]``; 0 would be the first layer's
input. Layers above it are never built. The last layer's features are the network's output, so a
pre-norm HuBERT (nano, large) normalises them.

HuBERT attends to the whole clip at once and a cut changes its features, so nothing is encoded in
pieces; a clip has to fit in `MAX_SECONDS`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import HubertConfig, HubertModel

from bark.devices import choose_dtype, cpu_computes_in
from bark.errors import AudioError, CheckpointError, MissingFileError, SettingError
from bark.stages.int8 import Int8Linear, codes_of
from bark.storage.hub import fetch, fetch_first
from bark.storage.json import read_json
from bark.storage.weights import (
    FAIRSEQ_STAND_INS,
    read_torch_file,
    read_weights,
    tensors_of,
)

SAMPLE_RATE = 16_000  # Hz
HUB_REPO = "facebook/hubert-base-ls960"
NANO = Path(__file__).parent / "nano"
HF_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the published HuBERT base has the latter
LAYER = 9  # the community's quantizers read the ninth of HuBERT base's twelve
MAX_SECONDS = 60.0  # HuBERT base then peaks at 1.6 GB (measured, float32 on the CPU)
HEAD_WIDTH = 64  # every published HuBERT has heads this wide

# Only training reads these: HuBERT's prediction head and its mask vector.
_UNUSED = re.compile(r"(label_embs_concat|final_proj\..*|(target_glu|spk_embed|lm_head)\..*)$")

# fairseq's names → transformers', in this order.
_RENAMES = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (
        r"^feature_extractor\.conv_layers\.(\d+)\.2\.",
        r"feature_extractor.conv_layers.\1.layer_norm.",
    ),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.", "encoder.pos_conv_embed.conv."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
    (r"^mask_emb$", "masked_spec_embed"),
)


class HubertFeatures:
    """HuBERT up to one layer.

    Parameters
    ----------
    network : a HuBERT; its layers above `layer` are dropped.
    layer : which layer's output to return, counted from 1.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, network: HubertModel, layer: int = LAYER) -> None:
        depth = len(network.encoder.layers)
        if not 1 <= layer <= depth:
            raise SettingError("HuBERT layer", got=layer, allowed=f"1 to {depth}")
        if layer < depth:
            _drop_last_norm(network)
        network.encoder.layers = network.encoder.layers[:layer]
        network.config.num_hidden_layers = layer
        self.network = network.eval().requires_grad_(False)
        self.layer = layer
        self.dim = int(network.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.device

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Return the features of one clip.

        Parameters
        ----------
        waveform : (N,) float32 at 16 kHz, raw, in [-1, 1]; 400 samples to `MAX_SECONDS`.

        Returns
        -------
        (S, D) float32; ``S = floor((N - 400) / 320) + 1`` for HuBERT base.
        """
        samples = np.asarray(waveform, dtype=np.float32)
        least, most = self.min_samples, int(MAX_SECONDS * SAMPLE_RATE)
        if samples.ndim != 1:
            raise AudioError(
                "HuBERT input has the wrong shape", samples.shape, "(N,) mono samples at 16 kHz"
            )
        if not np.isfinite(samples).all():
            raise AudioError(
                "HuBERT input", got="NaN or infinite samples", allowed="finite samples"
            )
        if len(samples) < least:
            raise AudioError(
                "clip is too short for HuBERT",
                f"{len(samples)} samples",
                f"at least {least} at 16 kHz",
            )
        if len(samples) > most:
            raise AudioError(
                "clip is too long for HuBERT",
                got=f"{len(samples) / SAMPLE_RATE:.1f} s",
                allowed=f"at most {MAX_SECONDS:g} s",
                fix="Cut it at pauses",
            )
        with torch.inference_mode():
            wave = torch.from_numpy(np.ascontiguousarray(samples))[None].to(
                self.device, self.network.dtype
            )
            return self.network(wave).last_hidden_state[0].float().cpu().numpy()

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that gives one frame: 400 for HuBERT base."""
        config, samples = self.network.config, 1
        for kernel, stride in zip(
            reversed(config.conv_kernel), reversed(config.conv_stride), strict=True
        ):
            samples = (samples - 1) * stride + kernel
        return samples

    def to(self, device: str | torch.device) -> Self:
        """Move the network to a device and return this object."""
        self.network.to(device)
        return self

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = HUB_REPO,
        layer: int | None = None,
        *,
        heads: int | None = None,
        device: str | torch.device = "cpu",
        dtype: str = "auto",
    ) -> Self:
        """Load HuBERT.

        Parameters
        ----------
        name_or_path : ``"nano"``, a Hugging Face folder or hub id, or fairseq's
            ``hubert_base_ls960.pt``.
        layer : which layer's output to return; by default what the folder's ``encoder.json`` says,
            else 9.
        heads : attention heads, for a fairseq file whose settings are unreadable; by default
            64-wide ones.
        dtype : of the weights, "auto" being float32, whose features are fairseq's; "int8" on a CPU
            takes two thirds of the time and gives some other tokens."""
        if str(name_or_path) == "nano":
            name_or_path = NANO
        path = Path(name_or_path)
        if layer is None:
            layer = encoder_settings(path).get("layer", LAYER)
        if not isinstance(layer, int) or layer < 1:
            raise SettingError("HuBERT layer", got=repr(layer), allowed="a number from 1 on")
        if path.is_file():
            state, config = _read_file(path, heads)
        else:
            state, config = _read_hugging_face(name_or_path)
        made = cls(_build(state, config, layer, str(name_or_path)), layer)
        kind = torch.float32 if dtype == "auto" else choose_dtype(dtype, device)
        if kind == torch.int8:
            _quantise(made.network)
        else:
            made.network.to(kind)
        return made.to(device)


def encoder_settings(folder: Path) -> dict[str, Any]:
    """Read ``encoder.json`` of one of our HuBERT folders; empty where there is none."""
    file = folder / "encoder.json"
    return read_json(file) if file.is_file() else {}


def _build(
    state: Mapping[str, Tensor], config: HubertConfig, layer: int, where: str
) -> HubertModel:
    """Build the first `layer` layers of HuBERT and fill them."""
    depth = config.num_hidden_layers
    if layer > depth:
        raise SettingError(f"HuBERT layer of {where}", got=layer, allowed=f"1 to {depth}")
    config.num_hidden_layers = layer
    weights = {
        name: tensor.float()
        for name, tensor in state.items()
        if not _UNUSED.search(name) and _layer_number(name) < layer
    }
    try:
        with torch.random.fork_rng(
            devices=[]
        ):  # the random start is overwritten: leave the seed alone
            network = HubertModel(config)
        missing, unknown = network.load_state_dict(weights, strict=False)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{where} does not fit HuBERT", got=error) from error
    missing = [name for name in missing if name != "masked_spec_embed"]  # a training-time vector
    if missing or unknown:
        found = f"missing {sorted(missing)[:3]}, unknown {sorted(unknown)[:3]}"
        raise CheckpointError(f"{where} does not fit HuBERT", got=found)
    if layer < depth:
        _drop_last_norm(network)
    return network


class _Half(torch.nn.Module):
    """Computes a part of a float32 network in bfloat16."""

    def __init__(self, part: torch.nn.Module) -> None:
        super().__init__()
        self.part = part.bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.part(x.bfloat16())
        return found.float()


def _quantise(network: HubertModel) -> None:
    """Keep matrices in 8 bits; the convolutions take bfloat16 where the CPU computes in it."""
    for name, module in list(network.encoder.layers.named_modules()):
        if isinstance(module, torch.nn.Linear):
            small = Int8Linear(*codes_of(module.weight), module.bias, "many")
            network.encoder.layers.set_submodule(name, small)
    if cpu_computes_in(torch.bfloat16):
        network.add_module("feature_extractor", _Half(network.feature_extractor))


def _drop_last_norm(network: HubertModel) -> None:
    """Take off the layer norm that a pre-norm HuBERT (nano, large) has after its last
    layer only.
    """
    if network.config.do_stable_layer_norm:
        network.encoder.add_module("layer_norm", torch.nn.Identity())


def _layer_number(name: str) -> int:
    match = re.match(r"encoder\.layers\.(\d+)\.", name)
    return int(match.group(1)) if match else -1


def _canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop a task model's ``hubert.`` prefix and give weight norm its present names."""
    prefix = "hubert." if any(name.startswith("hubert.") for name in state) else ""
    weights = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    old = (
        ("weight_g", "parametrizations.weight.original0"),
        ("weight_v", "parametrizations.weight.original1"),
    )
    for was, now in old:
        weights = {
            name.replace(f"conv.{was}", f"conv.{now}"): tensor for name, tensor in weights.items()
        }
    return weights


def _read_hugging_face(name_or_path: str | Path) -> tuple[dict[str, Tensor], HubertConfig]:
    folder = Path(name_or_path)
    if folder.is_dir():
        config_file = folder / "config.json"
        weights_file = next(
            (folder / name for name in HF_WEIGHTS if (folder / name).is_file()),
            folder / HF_WEIGHTS[0],
        )
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", str(name_or_path)):
        config_file = fetch(str(name_or_path), "config.json")
        weights_file = fetch_first(str(name_or_path), HF_WEIGHTS)
    else:
        config_file = weights_file = folder
    for file in (config_file, weights_file):
        if not file.is_file():
            raise MissingFileError(
                "HuBERT not found", got=file, fix="Give a folder, a file, a hub id or nano"
            )
    settings = read_json(config_file)
    if settings.get("model_type") != "hubert":
        raise CheckpointError(
            f"{config_file} is another network", settings.get("model_type"), "hubert"
        )
    try:
        config = HubertConfig.from_dict(settings)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{config_file} is not a HuBERT configuration", got=error) from error
    return _canonical(read_weights(weights_file)), config


def _read_file(path: Path, heads: int | None) -> tuple[dict[str, Tensor], HubertConfig]:
    """Read one file: fairseq's checkpoint, or the bare weights of a Hugging Face HuBERT."""
    content = read_torch_file(path, FAIRSEQ_STAND_INS)
    state = content.get("model", content) if isinstance(content, Mapping) else {}
    if "lstm.weight_ih_l0" in state:
        raise CheckpointError(
            f"{path} is a quantizer, not a HuBERT", fix="Give it as the quantizer"
        )
    weights = tensors_of(state, path)
    if "post_extract_proj.weight" in weights:  # fairseq's names
        for was, now in _RENAMES:
            weights = {re.sub(was, now, name): tensor for name, tensor in weights.items()}
    weights = _canonical(weights)
    if "feature_projection.projection.weight" not in weights:
        raise CheckpointError(
            f"{path} is not a HuBERT", got=sorted(weights)[:3], allowed="fairseq's HuBERT base"
        )
    if "feature_extractor.conv_layers.1.layer_norm.weight" in weights:
        raise CheckpointError(
            f"{path} is not HuBERT base", "layer-normalised convolutions", HUB_REPO
        )
    cfg = content.get("cfg")
    if heads is None and isinstance(cfg, Mapping) and isinstance(cfg.get("model"), Mapping):
        heads = cfg["model"].get(
            "encoder_attention_heads"
        )  # plain dictionaries only; others become stand-ins
    return weights, _config_of(weights, heads, path)


def _config_of(weights: Mapping[str, Tensor], heads: int | None, path: Path) -> HubertConfig:
    """Read HuBERT base's sizes off its tensors; the head count alone leaves no trace in them."""
    convs = [
        weights[n].shape
        for n in sorted(weights)
        if re.search(r"conv_layers\.\d+\.conv\.weight$", n)
    ]
    width = weights["feature_projection.projection.weight"].shape[0]
    position = weights["encoder.pos_conv_embed.conv.parametrizations.weight.original1"].shape
    if heads is None and width % HEAD_WIDTH == 0:
        heads = width // HEAD_WIDTH
    if heads is None or width % heads:
        raise CheckpointError(
            f"{path} does not say how many attention heads it has",
            got=heads,
            allowed=f"a divisor of {width}",
            fix="Give heads=",
        )
    return HubertConfig(
        hidden_size=width,
        intermediate_size=weights["encoder.layers.0.feed_forward.intermediate_dense.weight"].shape[
            0
        ],
        num_hidden_layers=1 + max(_layer_number(name) for name in weights),
        num_attention_heads=heads,
        conv_dim=[shape[0] for shape in convs],
        conv_kernel=[shape[2] for shape in convs],
        conv_stride=[5] + [2] * (len(convs) - 1),
        num_conv_pos_embeddings=position[2],
        num_conv_pos_embedding_groups=position[0] // position[1],
    )
