"""Semantic tokens of a recording: HuBERT and the quantizer that belongs to it."""

from pathlib import Path
from typing import Self

import numpy as np
import torch

from bark.audio.read import resample
from bark.checkpoints.find import find_model
from bark.checkpoints.trust import is_here
from bark.errors import CheckpointError
from bark.storage.files import expand
from bark.storage.hub import Wanted, cached, fetch
from hubert.quantizer.base import Quantizer, shifted
from hubert.quantizer.files import load_quantizer, quantizer_settings
from hubert.quantizer.languages import quantizer_for

from .features import HF_WEIGHTS, HUB_REPO, NANO, SAMPLE_RATE, HubertFeatures, encoder_settings

# what `quantizer` in encoder.json may say → the file beside it
QUANTIZER_FILES = {"kmeans": "kmeans.npz", "lstm": "quantizer.pth"}


class SemanticEncoder:
    """HuBERT and the quantizer trained on its features.

    Parameters
    ----------
    features : (N,) at 16 kHz → (S, D).
    quantizer : (S, D) → (S,).
    note : a remark for whoever clones with it, such as that the quantizer is of another language.
    shift : token t is what the quantizer predicts at frame t + shift, as it was trained.
    """

    def __init__(
        self,
        features: HubertFeatures,
        quantizer: Quantizer,
        note: str | None = None,
        shift: int = 0,
    ) -> None:
        if quantizer.input_size != features.dim:
            raise CheckpointError(
                "quantizer and HuBERT do not belong together",
                got=f"a quantizer of {quantizer.input_size}-wide features and a HuBERT of "
                f"{features.dim}",
                allowed="equal widths",
                fix="Use the HuBERT and the layer the quantizer was trained with",
            )
        self.features = features
        self.quantizer = quantizer
        self.note = note
        self.shift = shift

    def encode(self, audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
        """Return the semantic tokens of one clip.

        Parameters
        ----------
        audio : (N,) float32 in [-1, 1], raw: neither scaled nor resampled before.
        sample_rate : of `audio`, in Hz.

        Returns
        -------
        (S,) int64, about 50 a second.
        """
        if sample_rate != SAMPLE_RATE:
            audio = resample(audio, sample_rate, SAMPLE_RATE)
        return shifted(self.quantizer(self.features(audio)), self.shift)

    def to(self, device: str | torch.device) -> Self:
        """Move both parts to a device and return this object."""
        self.features.to(device)
        self.quantizer.to(device)
        return self

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "large",
        language: str = "en",
        *,
        quantizer: str | Path | None = None,
        device: str | torch.device = "cpu",
        dtype: str = "auto",
    ) -> Self:
        """Load the encoder that goes with a Bark.

        Parameters
        ----------
        model : the name or folder of a Bark, ``"large"``, ``"nano"``, ...; or a HuBERT folder of
            ours.
        language : of the recording; chooses among the community's quantizers.
        quantizer : a quantizer file to use instead, with the HuBERT, layer and shift that the
            settings beside it name (`hubert.train` writes them); ``"kmeans"`` or ``"lstm"`` are
            nano's own two.
        dtype : of HuBERT's weights, as in `HubertFeatures.from_pretrained`."""
        source, note = quantizer_for(language)
        folder = hubert_folder(model)
        if folder is not None:
            note = (
                None
                if language == "en"
                else f"this HuBERT knows English speech, the recording is {language}"
            )
            own = QUANTIZER_FILES.get(str(quantizer))
            quantizer = folder / own if own else quantizer or _own_quantizer(folder)
        elif quantizer is None:
            quantizer = fetch(source.repo, source.file)
        else:
            note = None
        settings = quantizer_settings(quantizer)
        heard = settings.get("encoder", {})
        name = heard.get("hubert") or folder or HUB_REPO
        if heard.get("hubert") not in (None, HUB_REPO) and not is_here(str(name)):
            raise CheckpointError(
                f"{quantizer} was trained on a HuBERT that is not here",
                name,
                fix=f"If you trust it, run: hf download {name}",
            )
        features = HubertFeatures.from_pretrained(
            name, heard.get("layer"), device=device, dtype=dtype
        )
        return cls(features, load_quantizer(quantizer, device), note, settings.get("shift", 0))


def hub_files(model: str | Path, language: str, quantizer: str | Path | None) -> list[Wanted]:
    """List what `SemanticEncoder.from_pretrained` needs of the hub, so that one error can name all
    of it.
    """
    source, _ = quantizer_for(language)
    own = quantizer_settings(quantizer).get("encoder", {}).get("hubert") if quantizer else None
    if hubert_folder(model) is not None or own not in (None, HUB_REPO):
        return []
    weights = next((name for name in HF_WEIGHTS if cached(HUB_REPO, name)), HF_WEIGHTS[-1])
    wanted = [(HUB_REPO, "config.json"), (HUB_REPO, weights)]
    return wanted if quantizer else [*wanted, (source.repo, source.file)]


def hubert_folder(model: str | Path) -> Path | None:
    """Return the HuBERT folder that goes with a model; None is HuBERT base with a community
    quantizer.

    A Bark folder may carry its own HuBERT in ``hubert/``. One without, whose codec is nano's, is of
    nano's family and so understands nano's tokens only."""
    base = expand(model)
    for folder in (base, base / "hubert"):
        if (folder / "encoder.json").is_file():
            return folder
    return NANO if str(model) == "nano" or find_model(model).codec_type == "mel" else None


def _own_quantizer(folder: Path) -> Path:
    kind = encoder_settings(folder).get("quantizer")
    if kind not in QUANTIZER_FILES:
        where = folder / "encoder.json"
        raise CheckpointError(
            f"{where}: quantizer", got=repr(kind), allowed=" or ".join(QUANTIZER_FILES)
        )
    return folder / QUANTIZER_FILES[kind]
