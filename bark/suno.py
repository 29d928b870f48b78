"""Suno's objects, as code written for suno-ai/bark and for its cloning forks calls them.

The decoding path does not come through here: each object wraps one of ours and answers with the
names, shapes and returns of the original. `load` and `convert_audio` stand in for those of
torchaudio and encodec, which cloning scripts import beside Bark."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .audio.read import open_audio
from .audio.sinc import sinc_resample
from .checkpoints.find import ModelFiles
from .codec.base import Codec
from .errors import AudioError, SettingError, TextError
from .pipeline import Bark
from .settings import SettingChanges
from .stages.gpt import GPT
from .stages.progress import Watch
from .text.tidy import TextTokenizer, clean, fit_tokens, speakable
from .voice.voice import Voice, VoiceLike

logger = logging.getLogger(__name__)

BANDWIDTH = 6.0  # kbit/s, eight codebooks
LayerKeys = tuple[Tensor, Tensor]  # keys, values: (B, heads, T, head width)
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


class SunoGPT(nn.Module):
    """The network of the text or coarse stage, called as suno-ai/bark's ``GPT``.

    Its weights are those of the network it wraps, under the same names."""

    def __init__(self, network: GPT) -> None:
        super().__init__()
        self.config = network.config
        self.transformer, self.lm_head = network.transformer, network.lm_head
        self._wrapped = (network,)  # in a tuple, so that its weights are listed once
        self.train(network.training)

    @property
    def network(self) -> GPT:
        """The network that the stages decode with."""
        return self._wrapped[0]

    def get_num_params(self, non_embedding: bool = True) -> int:
        """Count the weights, without the tables at the input unless asked."""
        tables = (self.transformer.wte, self.transformer.wpe) if non_embedding else ()
        left_out = sum(table.weight.numel() for table in tables)
        return sum(parameter.numel() for parameter in self.parameters()) - left_out

    def forward(
        self,
        idx: Tensor,
        merge_context: bool = False,
        past_kv: Sequence[LayerKeys] | None = None,
        position_ids: Tensor | None = None,
        use_cache: bool = False,
    ) -> tuple[Tensor, tuple[LayerKeys, ...] | None]:
        """Return the logits of the last position, (B, 1, V), and with `use_cache` each layer's keys
        and values so far.

        Parameters
        ----------
        idx : (B, T) ids; with `past_kv` the one that follows.
        merge_context : add the embeddings of ids 256 … 511, the history, to those of the text.
        past_kv : what the call before returned.
        position_ids : (1, T) positions other than the next ones.
        """
        embed = self.transformer.wte
        if past_kv is not None:
            if idx.shape[1] != 1:
                raise SettingError("ids beside past_kv", idx.shape[1], "one")
            x, past = embed(idx), past_kv[0][0].shape[-2]
        else:
            if merge_context:
                if idx.shape[1] < 513:
                    raise SettingError("ids to merge", idx.shape[1], "513 or more")
                x = torch.cat(
                    [embed(idx[:, :256]) + embed(idx[:, 256:512]), embed(idx[:, 512:])], 1
                )
            else:
                x = embed(idx)
            past = 0
        if position_ids is None:
            last = past + x.shape[1]
            if last > self.config.block_size:
                raise SettingError("positions", last, f"up to {self.config.block_size}")
            position_ids = torch.arange(past, last, device=idx.device)[None]
        x = x + self.transformer.wpe(position_ids)
        layers = []
        blocks: Any = self.transformer.h
        for index, block in enumerate(blocks):
            before = None if past_kv is None else past_kv[index]
            attended, keys = _attend(block.attn, block.ln_1(x), before)
            x = x + attended
            x = x + block.mlp(block.ln_2(x))
            layers.append(keys)
        logits = self.lm_head(self.transformer.ln_f(x)[:, [-1]])
        return logits, tuple(layers) if use_cache else None


class SunoTokenizer:
    """A text tokenizer, called as transformers' ``BertTokenizer``."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Return the ids of `text`; Suno's code asks for ``add_special_tokens=False``.

        Word pieces exist for any text; nano's phones only for what can be spoken."""
        pieces = getattr(self.tokenizer, "_tokenizer", None)
        if pieces is None:
            return self.tokenizer.encode(text)
        ids = list(pieces.encode(text, add_special_tokens=False).ids)
        if not add_special_tokens:
            return ids
        first, last = (self._special(name) for name in ("[CLS]", "[SEP]"))
        return [first, *ids, last]

    def normalize(self, text: str) -> str:
        """Return the text as it is spoken."""
        return self.tokenizer.normalize(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of word-piece ids."""
        return str(self._pieces().decode(list(ids), skip_special_tokens=False))

    def __len__(self) -> int:
        return int(self.tokenizer.vocab_size)  # type: ignore[attr-defined]

    def _special(self, name: str) -> int:
        number = self._pieces().token_to_id(name)
        if number is None:
            raise SettingError("add_special_tokens", f"a vocabulary without {name}", "False")
        return int(number)

    def _pieces(self) -> Any:
        pieces = getattr(self.tokenizer, "_tokenizer", None)
        if pieces is None:
            raise SettingError(
                "this tokenizer has no word pieces", type(self.tokenizer).__name__, "BERT's"
            )
        return pieces


@dataclass
class SunoBark(Bark):
    """A Bark that takes what Suno's functions take: each stage checks only what it reads."""

    files: ModelFiles = field(kw_only=True)
    stage: str | None = field(default=None, kw_only=True)  # the only one that is to run

    def resolve_voice(self, voice: VoiceLike | None) -> Voice | None:
        """Find a voice and check the arrays that the stage reads."""
        return self.files.resolve_voice(voice, strict=False, stage=self.stage)

    def text_tokens(
        self,
        text: str,
        voice: VoiceLike | None,
        *,
        seed: int | None,
        progress: bool,
        **settings: Unpack[SettingChanges],
    ) -> np.ndarray:
        """Any text to semantic tokens (S,), cut to the context window; warn if it has no words."""
        if not isinstance(text, str) or not text.strip():
            raise TextError("there is nothing to speak", repr(text)[:40], "a text")
        if not speakable(text):
            logger.warning("%r has no words: what is heard is up to the model", text[:40])
        ids = self.tokenizer.encode(clean(text) or text, add_special_tokens=False)  # type: ignore[call-arg]
        ids = fit_tokens(ids, self.layout.text_window, "cut")
        chosen, watch = self.defaults.changed(settings), Watch.of(progress, None)
        return self._semantic([ids], self._histories(voice, 1), [seed], chosen, watch)[0]


def _attend(attention: Any, x: Tensor, past: LayerKeys | None) -> tuple[Tensor, LayerKeys]:
    """Attend causally within `x` (B, T, D), or from one position over `past` and itself."""
    batch, length, width = x.shape
    heads = attention.c_attn(x).view(batch, length, 3, attention.n_head, -1)
    query, key, value = heads.permute(2, 0, 3, 1, 4)  # 3 x (B, heads, T, D/heads)
    if past is not None:
        key, value = torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)
    y = F.scaled_dot_product_attention(query, key, value, is_causal=past is None and length > 1)
    return attention.c_proj(y.transpose(1, 2).reshape(batch, length, width)), (key, value)


def _encodec_network(codec: Codec) -> Any:
    if codec.family != "encodec":
        raise SettingError("this codec has no EnCodec network", codec.family, "encodec")
    return codec.network  # type: ignore[attr-defined]
