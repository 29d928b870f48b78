"""The networks that turn HuBERT features into logits of semantic tokens; one for each quantizer version."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bark.errors import SettingError

from .recurrence import Packing, run_lstm


@dataclass(frozen=True)
class QuantizerSizes:
    """What ``.info`` tells: the sizes of an LSTM quantizer; the defaults are gitmylo's."""

    input_size: int = 768
    hidden_size: int = 1024
    output_size: int = 10_000
    version: int = 0


class LSTMNetwork(nn.Module):
    """Two causal LSTM layers and a linear head; version 1 has one more linear layer between, of width 4096.

    There is no activation between version 1's two linear layers.
    """

    INTERMEDIATE = 4096

    def __init__(self, sizes: QuantizerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.lstm = nn.LSTM(sizes.input_size, sizes.hidden_size, 2, batch_first=True)
        width = sizes.hidden_size
        if sizes.version == 1:
            self.intermediate = nn.Linear(width, self.INTERMEDIATE)
            width = self.INTERMEDIATE
        self.fc = nn.Linear(width, sizes.output_size)

    def rows(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, S, D) features to what the head reads of each frame: (N, W), utterance after utterance."""
        hidden = run_lstm(self.lstm, features[is_frame(features, lengths)], Packing.of(lengths))
        return self.intermediate(hidden) if self.sizes.version == 1 else hidden

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (S, D) or (B, S, D) features to logits, (S, V) or (B, S, V).

        `lengths` is of no use to a network that sees only the past: padding comes last.
        """
        hidden, _ = self.lstm(features)
        if self.sizes.version == 1:
            hidden = self.intermediate(hidden)
        return self.fc(hidden)


class ContextNetwork(nn.Module):
    """Version 2, ours: what comes after a frame tells as much about its token as what came before.

    Features are normalised and mixed with their neighbours by a convolution, then read by two layers of LSTMs
    in both directions. Each layer only corrects what it is given, so that the network learns from the first
    steps on::

        features ─ LayerNorm ─ conv 5 ─ GELU ─┬─ LSTM → and LSTM ← ─ + ─ LayerNorm ─┬─ ... ─ linear ─ logits
                                              └──────────────────────┘               (twice)

    In training single values and whole spans of frames are left out, so that it does not learn a small data
    set by heart and has to use the context. 26.8 M parameters at gitmylo's sizes (768 → 1024 → 10 000);
    `hidden_size` is that of both directions together.
    """

    KERNEL = 5  # frames, 0.1 s
    LAYERS = 2
    DROPOUT_IN, DROPOUT = 0.2, 0.3  # shares of features, and of what each layer gives
    MASKED, SPAN = 0.15, 5  # share of frames left out, and how many of them in a row

    def __init__(self, sizes: QuantizerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        if sizes.hidden_size % 2:
            raise SettingError("hidden size of version 2", got=sizes.hidden_size, allowed="an even number")
        width, half = sizes.hidden_size, sizes.hidden_size // 2
        self.norm = nn.LayerNorm(sizes.input_size)
        self.conv = nn.Conv1d(sizes.input_size, width, self.KERNEL, padding=self.KERNEL // 2)
        self.past = nn.ModuleList(nn.LSTM(width, half, batch_first=True) for _ in range(self.LAYERS))
        self.future = nn.ModuleList(nn.LSTM(width, half, batch_first=True) for _ in range(self.LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(self.LAYERS))
        self.dropout_in, self.dropout = nn.Dropout(self.DROPOUT_IN), nn.Dropout(self.DROPOUT)
        self.fc = nn.Linear(width, sizes.output_size)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (S, D) or (B, S, D) features to logits, (S, V) or (B, S, V).

        Parameters
        ----------
        lengths : (B,), where the batch is padded at the end; padding has no influence on what lies before it.
        """
        if features.dim() == 2:
            return self.forward(features[None], lengths)[0]
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1], device=features.device)
        found = self.fc(self.rows(features, lengths))  # (N, V)
        logits = found.new_zeros(*features.shape[:2], self.sizes.output_size)
        logits[is_frame(features, lengths)] = found
        return logits

    def rows(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, S, D) features to what the head reads of each frame: (N, W), utterance after utterance."""
        frames = is_frame(features, lengths)
        heard = frames & ~self._masked(features) if self.training else frames
        given = self.dropout_in(self.norm(features)) * heard[..., None]  # (B, S, D)
        hidden = (
            nn.functional.gelu(self.conv(given.transpose(1, 2))).transpose(1, 2).flatten(0, 1)
        )  # (B*S, W)
        hidden = hidden.index_select(0, frames.flatten().nonzero()[:, 0])  # (N, W)
        packing = Packing.of(lengths)
        for past, future, norm in zip(self.past, self.future, self.norms, strict=True):
            both = run_lstm(past, hidden, packing), run_lstm(future, hidden, packing, reverse=True)
            hidden = norm(hidden + self.dropout(torch.cat(both, dim=1)))
        return self.dropout(hidden)

    def _masked(self, features: Tensor) -> Tensor:
        """Draw which frames are left out: (B, S) bool."""
        starts = torch.rand(features.shape[:2], device=features.device) < self.MASKED / self.SPAN
        spread = nn.functional.max_pool1d(starts[:, None].float(), self.SPAN, 1, self.SPAN // 2)
        return spread[:, 0].bool()


def is_frame(features: Tensor, lengths: Tensor) -> Tensor:
    """Tell the frames of a padded batch (B, S, D) from its padding: (B, S) bool."""
    return torch.arange(features.shape[1], device=features.device) < lengths[:, None]


# version → network; each takes `QuantizerSizes`, keeps them as `sizes`, and maps features to logits: by
# `forward`, or by its last layer `fc` from `rows`, which leave the padding out.
NETWORKS: dict[int, type[nn.Module]] = {0: LSTMNetwork, 1: LSTMNetwork, 2: ContextNetwork}


def sizes_of(state: Mapping[str, Tensor]) -> QuantizerSizes:
    """Read a quantizer's sizes and version off its tensors; KeyError if one is not there."""
    if "past.0.weight_ih_l0" in state:
        hidden = 2 * state["past.0.weight_hh_l0"].shape[1]
        return QuantizerSizes(len(state["norm.weight"]), hidden, state["fc.weight"].shape[0], version=2)
    return QuantizerSizes(
        input_size=state["lstm.weight_ih_l0"].shape[1],
        hidden_size=state["lstm.weight_hh_l0"].shape[1],
        output_size=state["fc.weight"].shape[0],
        version=1 if "intermediate.weight" in state else 0,
    )
