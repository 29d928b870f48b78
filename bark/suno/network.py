"""The networks and the tokenizer, called as in suno-ai/bark; the stages decode without them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bark.errors import SettingError
from bark.stages.gpt import GPT
from bark.text.tidy import TextTokenizer

LayerKeys = tuple[Tensor, Tensor]  # keys, values: (B, heads, T, head width)


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


def _attend(attention: Any, x: Tensor, past: LayerKeys | None) -> tuple[Tensor, LayerKeys]:
    """Attend causally within `x` (B, T, D), or from one position over `past` and itself."""
    batch, length, width = x.shape
    heads = attention.c_attn(x).view(batch, length, 3, attention.n_head, -1)
    query, key, value = heads.permute(2, 0, 3, 1, 4)  # 3 x (B, heads, T, D/heads)
    if past is not None:
        key, value = torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)
    y = F.scaled_dot_product_attention(query, key, value, is_causal=past is None and length > 1)
    return attention.c_proj(y.transpose(1, 2).reshape(batch, length, width)), (key, value)
