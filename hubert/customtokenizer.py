"""gitmylo's quantizer: HuBERT features in, Bark's semantic tokens out, as tensors."""

import json
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from bark.errors import CheckpointError, SettingError
from bark.storage.json import Count, decode
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import LSTMNetwork, QuantizerSizes

TRAINING = "Run: python -m hubert.prepare FOLDER && python -m hubert.train PAIRS --out RUN"


@dataclass
class Data:
    """The sizes that gitmylo's files keep in ``.info``."""

    input_size: Count = 768
    hidden_size: Count = 1024
    output_size: Count = 10_000
    version: Count = 0

    @staticmethod
    def load(string: str) -> "Data":
        """Read the JSON of ``.info``."""
        return decode(string, Data, ".info of a quantizer")

    def save(self) -> str:
        """Return the JSON of ``.info``."""
        return json.dumps(asdict(self))


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
        self.input_size, self.hidden_size = input_size, hidden_size
        self.output_size, self.version = output_size, version

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (S, D) or (B, S, D) features to log-probabilities over the vocabulary,
        the last axis.
        """
        return super().forward(features, lengths).log_softmax(-1)

    @torch.no_grad()
    def get_token(self, x: Tensor) -> Tensor:
        """Return the likeliest token of each frame: (S, D) → (S,)."""
        return self(x).argmax(-1)

    def prepare_training(self) -> NoReturn:
        """Training is a command here, with validation, resuming and batches."""
        raise SettingError("CustomTokenizer.prepare_training is not here", fix=TRAINING)

    def train_step(self, x_train: Tensor, y_train: Tensor, log_loss: bool = False) -> NoReturn:
        """See `prepare_training`."""
        raise SettingError("CustomTokenizer.train_step is not here", fix=TRAINING)

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


def auto_train(
    data_path: str | Path,
    save_path: str = "model.pth",
    load_model: str | None = None,
    save_epochs: int = 1,
) -> NoReturn:
    """See `CustomTokenizer.prepare_training`."""
    init = f" --init {load_model}" if load_model else ""
    raise SettingError(
        "auto_train is not here",
        fix=f"Run: python -m hubert.prepare {data_path} --out pairs && "
        f"python -m hubert.train pairs --out run{init}",
    )
