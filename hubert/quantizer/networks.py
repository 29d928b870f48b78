"""The networks that turn HuBERT features into logits of semantic tokens; one for each quantizer
version.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bark.errors import SettingError

from .recurrence import Packing, run_lstm


@dataclass(frozen=True)
class QuantizerSizes:
    """What ``.info`` tells: the sizes of an LSTM quantizer; the defaults are gitmylo's."""

    input_size: int = 768
    hidden_size: int = 1024
    output_size: int = 10_000
    version: int = 0
    neck_size: int = 0  # of version 2: what its head reads; 0, in its first files: the hidden size

    def info(self) -> dict[str, int]:
        """Return what a file tells of itself; no neck where there is none, as other readers know
        it.
        """
        return {name: value for name, value in asdict(self).items() if name != "neck_size" or value}


def default_sizes(
    input_size: int, output_size: int, version: int, hidden_size: int | None = None
) -> QuantizerSizes:
    """Return the sizes of a fresh network; without `hidden_size` the width that its version is made
    for.
    """
    hidden = hidden_size or WIDTHS[version]
    neck = NECK if version == 2 and hidden > NECK else 0
    return QuantizerSizes(input_size, hidden, output_size, version, neck)


class LSTMNetwork(nn.Module):
    """Two causal LSTM layers and a linear head; version 1 has one more linear layer between, of
    width 4096.

    There is no activation between version 1's two linear layers.
    """

    INTERMEDIATE = 4096
    SMOOTHING = 0.0

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
        """Map (B, S, D) features to what the head reads of each frame: (N, W), utterance after
        utterance.
        """
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

    Features are normalised and mixed with their neighbours by a convolution, then read by two
    layers of LSTMs in both directions. Each layer only corrects what it is given, so that the
    network learns from the first steps on::

        features ─ LayerNorm ─ conv 5 ─ GELU ─┬─ LSTM → and LSTM ← ─ + ─ LayerNorm ─┬─ ... ─ neck ─
                                              logits └──────────────────────┘               (twice)

    In training some features of an utterance and spans of its frames are left out, and a share of
    each target is spread over all tokens, so that it does not learn a small data set by heart and
    has to use the context. 5.9 M parameters at its own width (768 → 384 → 256 → 10 000). The neck,
    a linear layer to 256, is only in networks wider than that; `hidden_size` is that of both
    directions together."""

    KERNEL = 5  # frames, 0.1 s
    LAYERS = 2
    DROPOUT_IN, DROPOUT = 0.2, 0.3  # shares of features, and of what each layer gives
    MASKED, SPAN = 0.15, 5  # share of frames left out, and how many of them in a row
    SMOOTHING = 0.1  # label smoothing (Szegedy et al. 2016)

    def __init__(self, sizes: QuantizerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        if sizes.hidden_size % 2:
            raise SettingError(
                "hidden size of version 2", got=sizes.hidden_size, allowed="an even number"
            )
        width, half = sizes.hidden_size, sizes.hidden_size // 2
        self.norm = nn.LayerNorm(sizes.input_size)
        self.conv = nn.Conv1d(sizes.input_size, width, self.KERNEL, padding=self.KERNEL // 2)
        self.past = nn.ModuleList(
            nn.LSTM(width, half, batch_first=True) for _ in range(self.LAYERS)
        )
        self.future = nn.ModuleList(
            nn.LSTM(width, half, batch_first=True) for _ in range(self.LAYERS)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(self.LAYERS))
        self.dropout_in, self.dropout = nn.Dropout(self.DROPOUT_IN), nn.Dropout(self.DROPOUT)
        self.neck = nn.Linear(width, sizes.neck_size) if sizes.neck_size else nn.Identity()
        self.fc = nn.Linear(sizes.neck_size or width, sizes.output_size)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (S, D) or (B, S, D) features to logits, (S, V) or (B, S, V).

        Parameters
        ----------
        lengths : (B,), where the batch is padded at the end; padding has no influence on what lies
            before it."""
        if features.dim() == 2:
            return self.forward(features[None], lengths)[0]
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1], device=features.device)
        found = self.fc(self.rows(features, lengths))  # (N, V)
        logits = found.new_zeros(*features.shape[:2], self.sizes.output_size)
        logits[is_frame(features, lengths)] = found
        return logits

    def rows(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, S, D) features to what the head reads of each frame: (N, W), utterance after
        utterance.
        """
        frames = is_frame(features, lengths)
        heard = frames & ~self._masked(features) if self.training else frames
        with (
            torch.no_grad()
        ):  # scale and shift of the norm stay: the convolution could undo any others
            kept = self.dropout_in(features.new_ones(len(features), 1, features.shape[2]))
            given = self.norm(features) * kept * heard[..., None]  # (B, S, D)
        hidden = functional.gelu(self._convolved(given, frames))  # (N, W)
        packing = Packing.of(lengths)
        for past, future, norm in zip(self.past, self.future, self.norms, strict=True):
            both = run_lstm(past, hidden, packing), run_lstm(future, hidden, packing, reverse=True)
            hidden = norm(hidden + self.dropout(torch.cat(both, dim=1)))
        return self.neck(self.dropout(hidden))

    def _convolved(self, given: Tensor, frames: Tensor) -> Tensor:
        """Return the convolution at each frame, (B, S, D) → (N, W), in one product without the
        padding.
        """
        batch, steps, depth = given.shape
        padded = functional.pad(given, (0, 0, self.KERNEL // 2, self.KERNEL // 2))  # (B, S + 4, D)
        around = padded.as_strided(
            (batch, steps, self.KERNEL * depth), (padded.stride(0), depth, 1)
        )
        return functional.linear(
            around[frames], self.conv.weight.transpose(1, 2).flatten(1), self.conv.bias
        )

    def _masked(self, features: Tensor) -> Tensor:
        """Draw which frames are left out: (B, S) bool."""
        starts = torch.rand(features.shape[:2], device=features.device) < self.MASKED / self.SPAN
        spread = functional.max_pool1d(starts[:, None].float(), self.SPAN, 1, self.SPAN // 2)
        return spread[:, 0].bool()


def is_frame(features: Tensor, lengths: Tensor) -> Tensor:
    """Tell the frames of a padded batch (B, S, D) from its padding: (B, S) bool."""
    return torch.arange(features.shape[1], device=features.device) < lengths[:, None]


# version → network; each takes `QuantizerSizes`, keeps them as `sizes`, and maps features to
# logits: by `forward`, or by its last layer `fc` from `rows`, which leave the padding out.
# `SMOOTHING` is the share of each target that training spreads over all tokens.
NETWORKS: dict[int, type[nn.Module]] = {0: LSTMNetwork, 1: LSTMNetwork, 2: ContextNetwork}
WIDTHS = {0: 1024, 1: 1024, 2: 384}  # version → hidden size at 768 features and 10 000 tokens
# The head of a wide version 2 reads so many values: at 10 000 tokens it is most of the work, and
# HuBERT itself names its units from 256 (Hsu et al. 2021, the final projection).
NECK = 256


def sizes_of(state: Mapping[str, Tensor]) -> QuantizerSizes:
    """Read a quantizer's sizes and version off its tensors; KeyError if one is not there."""
    if "past.0.weight_ih_l0" in state:
        hidden = 2 * state["past.0.weight_hh_l0"].shape[1]
        neck = state["fc.weight"].shape[1] if "neck.weight" in state else 0
        return QuantizerSizes(
            len(state["norm.weight"]), hidden, state["fc.weight"].shape[0], 2, neck
        )
    return QuantizerSizes(
        input_size=state["lstm.weight_ih_l0"].shape[1],
        hidden_size=state["lstm.weight_hh_l0"].shape[1],
        output_size=state["fc.weight"].shape[0],
        version=1 if "intermediate.weight" in state else 0,
    )
