"""The non-causal network of the fine stage: eight codebooks (B, T, 8) → logits (B, T, V) of one of
them.

Laid out and named as in suno-ai/bark's `model_fine.py`: an embedding table for each codebook, a
head for each codebook to predict, and every head shares its weight with the table of the codebook
it predicts."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from bark.errors import SettingError

from .gpt import Block, GPTConfig


@dataclass(frozen=True)
class FineGPTConfig(GPTConfig):
    """Sizes of a `FineGPT`."""

    input_vocab_size: int = 1056
    output_vocab_size: int = 1056
    n_codes_total: int = 8
    n_codes_given: int = 1  # codebooks that are never predicted


class FineTrunk(nn.Module):
    """Everything below the heads; the attribute names are the checkpoint's."""

    def __init__(self, config: FineGPTConfig) -> None:
        super().__init__()
        tables = [
            nn.Embedding(config.input_vocab_size, config.n_embd)
            for _ in range(config.n_codes_total)
        ]
        self.wtes = nn.ModuleList(tables)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(
            Block(config, causal=False, norm_bias=True) for _ in range(config.n_layer)
        )
        self.ln_f = nn.LayerNorm(config.n_embd)


class FineGPT(nn.Module):
    """Bidirectional transformer that fills one codebook at a time.

    Layer norms always carry a bias, whatever ``config.bias`` says: so do Suno's checkpoints.
    """

    def __init__(self, config: FineGPTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = FineTrunk(config)
        self.lm_heads = nn.ModuleList(
            nn.Linear(config.n_embd, config.output_vocab_size, bias=False)
            for _ in range(config.n_codes_given, config.n_codes_total)
        )
        self.tie_heads()

    def tie_heads(self) -> None:
        """Make each head share its weight with the embedding of the codebook it predicts."""
        for head, table in zip(
            self.lm_heads, self.transformer.wtes[self.config.n_codes_given :], strict=True
        ):
            head.weight = table.weight

    def forward(self, book: int, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Predict codebook `book` from codebooks ``0 … book``, its own present content included.

        Parameters
        ----------
        book : n_codes_given … n_codes_total-1.
        codes : (B, T, 8) int64; the padding value stands where nothing is known yet.
        first : frame from which on logits are wanted.

        Returns
        -------
        (B, T - first, V) logits.
        """
        config = self.config
        if not config.n_codes_given <= book < config.n_codes_total:
            raise SettingError(
                "codebook to predict", book, f"{config.n_codes_given} … {config.n_codes_total - 1}"
            )
        x = self.transformer.wpe.weight[: codes.shape[1]]
        for k, table in enumerate(self.transformer.wtes[: book + 1]):
            x = x + table(codes[..., k])
        x = F.dropout(x, config.dropout, self.training)
        for block in self.transformer.h[:-1]:
            x = block(x)
        x = self.transformer.h[-1](x, first=first)
        return self.lm_heads[book - config.n_codes_given](self.transformer.ln_f(x))
