"""gitmylo's import path: turns HuBERT features into Bark's semantic tokens, as tensors."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from bark.errors import CheckpointError
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import LSTMNetwork, QuantizerSizes


class CustomTokenizer(LSTMNetwork):
    """An LSTM quantizer, called as gitmylo's class of this name."""

    def __init__(
        self,
        hidden_size: int = 1024,
        input_size: int = 768,
        output_size: int = 10_000,
        version: int = 0,
    ) -> None:
        super().__init__(QuantizerSizes(input_size, hidden_size, output_size, version))

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (S, D) or (B, S, D) features to log-probabilities over the vocabulary,
        the last axis.
        """
        return super().forward(features, lengths).log_softmax(-1)

    @torch.no_grad()
    def get_token(self, x: Tensor) -> Tensor:
        """Return the likeliest token of each frame: (S, D) → (S,)."""
        return self(x).argmax(-1)

    def save(self, path: str | Path) -> None:
        """Write the weights and ``.info``."""
        LSTMQuantizer(deepcopy(self)).save(
            path
        )  # a copy: a quantizer is frozen, this may be in training

    @staticmethod
    def load_from_checkpoint(
        path: str | Path, map_location: str | torch.device | None = None
    ) -> "CustomTokenizer":
        """Read a quantizer file of version 0 or 1."""
        network = LSTMQuantizer.load(path).network
        if not isinstance(network, LSTMNetwork):
            raise CheckpointError(
                f"{path} is of a version this class lacks", fix="Use hubert.LSTMQuantizer"
            )
        sizes = network.sizes
        model = CustomTokenizer(
            sizes.hidden_size, sizes.input_size, sizes.output_size, sizes.version
        )
        model.load_state_dict(network.state_dict())
        return model.to(map_location or "cpu").eval()
