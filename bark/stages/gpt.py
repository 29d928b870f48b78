"""The causal network of the semantic and coarse stages: token ids (B, T) → logits (B, T, V).

A GPT with learned positions and pre-normalisation, laid out and named as in suno-ai/bark's
`model.py`, so that its checkpoints load key by key."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class GPTConfig:
    """Sizes of a `GPT`; the names are those of ``model_args`` in Suno's checkpoints."""

    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    block_size: int = 1024  # positions
    bias: bool = False  # biases in linear layers and layer norms
    input_vocab_size: int = 10_048
    output_vocab_size: int = 10_048
    dropout: float = 0.0


class SelfAttention(nn.Module):
    """Multi-head attention, causal or full."""

    def __init__(self, config: GPTConfig, causal: bool = True) -> None:
        super().__init__()
        self.n_head, self.causal, self.dropout = config.n_head, causal, config.dropout
        self.attend = F.scaled_dot_product_attention  # training on a CPU puts a faster equal here
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Attend within `x` (B, T, D).

        With full attention, only positions from `first` on can be asked for, (B, T - first, D).
        """
        batch, length, width = x.shape
        heads = self.c_attn(x).view(batch, length, 3, self.n_head, width // self.n_head)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # 3 x (B, heads, T, D/heads)
        y = self.attend(
            query[:, :, first:],
            key,
            value,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and length > 1,
        )
        return self.c_proj(y.transpose(1, 2).reshape(batch, length - first, width))


def gelu_(x: torch.Tensor) -> torch.Tensor:
    """Apply exact GELU in place: the widest tensor of a layer is there once only."""
    done: torch.Tensor = torch.ops.aten.gelu_.default(x)
    return done


class MLP(nn.Module):
    """The two-layer feed-forward part, exact GELU."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.c_fc(x)
        return self.c_proj(F.gelu(hidden) if torch.is_grad_enabled() else gelu_(hidden))


class Block(nn.Module):
    """Attention and feed-forward, each behind a layer norm and beside a residual."""

    def __init__(
        self, config: GPTConfig, causal: bool = True, norm_bias: bool | None = None
    ) -> None:
        super().__init__()
        norm_bias = config.bias if norm_bias is None else norm_bias
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=norm_bias)
        self.attn = SelfAttention(config, causal)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=norm_bias)
        self.mlp = MLP(config)
        self.dropout = config.dropout

    def forward(self, x: torch.Tensor, first: int = 0) -> torch.Tensor:
        attended = self.attn(self.ln_1(x), first)
        x = x[:, first:] + F.dropout(attended, self.dropout, self.training)
        return x + F.dropout(self.mlp(self.ln_2(x)), self.dropout, self.training)


class CausalTrunk(nn.Module):
    """Everything below the head; the attribute names are the checkpoint's."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.input_vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, bias=config.bias)


class GPT(nn.Module):
    """Causal transformer over one vocabulary of text, semantic and codec tokens.

    Parameters
    ----------
    config : sizes; input and output vocabularies are separate and not tied.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = CausalTrunk(config)
        self.lm_head = nn.Linear(config.n_embd, config.output_vocab_size, bias=False)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Look up token embeddings: (B, T) int64 → (B, T, D)."""
        return self.transformer.wte(ids)

    def hidden(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Run the blocks on (B, T, D) embeddings at positions 0 … T - 1 → (B, T, D), normed."""
        x = embeddings + self.transformer.wpe.weight[: embeddings.shape[1]]
        x = F.dropout(x, self.config.dropout, self.training)
        for block in self.transformer.h:
            x = block(x)
        return self.transformer.ln_f(x)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of every position: (B, T) int64 → (B, T, V)."""
        return self.lm_head(self.hidden(self.embed(ids)))
