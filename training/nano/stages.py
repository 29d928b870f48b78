"""Trains the three networks of nano on the corpus in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.checkpoints.formats import STAGES
from bark.codec.mel import MelCodec
from bark.errors import MissingFileError, SettingError
from bark.stages.gpt import GPT
from bark.stages.gpt_fine import FineGPT
from bark.storage.weights import weights_digest
from bark.text.english.phones import SYMBOLS, PhoneTokenizer
from bark.tokens import TokenLayout
from training.engine.blend import blend
from training.engine.progress import SILENT, Progress
from training.engine.run_folder import load_network, load_tensors, network_tensors
from training.engine.trainer import Trainer, TrainerOptions, TrainingResult
from training.nano.corpus.corpus import load_voice
from training.stages.acoustic import new_coarse, new_fine
from training.stages.alignment import PHONES, UNKNOWN
from training.stages.attention import guide_heads, use_block_attention
from training.stages.examples import Speaker
from training.stages.initial import NetworkSize, deepened, nano_layout, new_semantic
from training.stages.objectives import OBJECTIVES, ObjectiveOptions

from .speakers import load_speakers

SIZES = {stage: NetworkSize() for stage in STAGES}
BATCHES = {"semantic": 5, "coarse": 3, "fine": 6}  # items as long as the stage's window
LEARNING_RATES = {"semantic": 3e-3, "coarse": 3e-3, "fine": 3e-3}
NEEDS = {"semantic": ("tokens",), "coarse": ("tokens", "codes"), "fine": ("codes",)}
FINE_LAYOUT = nano_layout(
    1, 1
)  # the fine stage reads none of the numbers that depend on units or text
# voices whose speech is too far from the dictionary's phones to learn reading from
UNCLEAR = "espeak_"
HUBERT = "hubert_nano"  # folder of the HuBERT folder inside the work folder
GUIDED_LAYERS = (
    2,
    4,
)  # of the semantic network: their first heads are told which text token sounds


@dataclass(frozen=True)
class StageOptions:
    """How one stage is trained."""

    steps: int
    seed: int = 0
    device: str | None = None
    # weights to begin with (another run's best.safetensors, say), not fresh ones
    init: Path | None = None
    learning_rate: float | None = None  # none: LEARNING_RATES
    real_share: float = ObjectiveOptions.real_share  # of the items drawn from recordings
    width: int | None = None  # of the network; none: SIZES
    layers: int | None = None

    def size(self, stage: str) -> NetworkSize:
        """Return the size of the network.

        Raises
        ------
        SettingError : for a width that the heads do not divide, or no layer.
        """
        usual = SIZES[stage]
        width = usual.width if self.width is None else self.width
        layers = usual.layers if self.layers is None else self.layers
        if width < 1 or width % (2 * usual.heads) or layers < 1:
            allowed = f"a multiple of {2 * usual.heads}, and at least 1"
            raise SettingError("width and layers", f"{width} and {layers}", allowed)
        return NetworkSize(width, layers, usual.heads)


def train_stage(
    stage: str, work: Path, chosen: StageOptions, progress: Progress = SILENT
) -> TrainingResult:
    """Train one stage in ``runs/<stage>``; goes on where an earlier run stopped.

    Weights given by `init`, of as many layers or fewer (`deepened`), are averaged with the trained
    ones at the end (`blend`).
    Validation is on the prompt utterances of held-out voices and on real speakers kept back; the
    held-out texts and the recordings for the report stay unseen here.

    Raises
    ------
    MissingFileError : if the corpus has not been turned into tokens yet.
    """
    encode = PhoneTokenizer().encode if stage == "semantic" else None
    needs = NEEDS[stage]
    train, held_out, kept_back = (
        load_speakers(work, split, needs, encode) for split in ("train", "heldout", "kept_back")
    )
    if stage == "semantic":
        train = tuple(speaker for speaker in train if not speaker.name.startswith(UNCLEAR))
    layout = work_layout(work) if "tokens" in needs else FINE_LAYOUT
    options = ObjectiveOptions(batch=BATCHES[stage], real_share=chosen.real_share)
    objective = OBJECTIVES[stage](train, held_out + kept_back, layout, options)
    network = new_network(stage, work, layout, chosen.size(stage), train, chosen.seed)
    if chosen.init is not None:
        load_network(network, deepened(load_tensors(chosen.init)[0], network), chosen.init)
    if chosen.device == "cpu" or not torch.cuda.is_available():
        use_block_attention(network)
    if stage == "semantic":
        guide_heads(network, [layer for layer in GUIDED_LAYERS if layer < network.config.n_layer])
    settings = TrainerOptions(
        steps=chosen.steps,
        learning_rate=chosen.learning_rate or LEARNING_RATES[stage],
        optimizer="muon",
        warmup=100,
        seed=chosen.seed,
        device=chosen.device,
        validate_every=500,
        checkpoint_every=250,
    )
    start = {"start": weights_digest(network), "seed": str(chosen.seed)}
    shown: dict[str, Any] = {"progress": progress, "what": f"training {stage}"}
    first = {name: tensor.clone() for name, tensor in network_tensors(network).items()}
    trainer = Trainer(
        network, objective, work / "runs" / stage, settings, fingerprint=start, **shown
    )
    result = trainer.run()
    return blend(trainer, first, result) if chosen.init is not None else result


def new_network(
    stage: str,
    work: Path,
    layout: TokenLayout,
    size: NetworkSize,
    train: tuple[Speaker, ...],
    seed: int,
) -> GPT | FineGPT:
    """Make a stage's network as its training starts with it."""
    if stage == "semantic":
        return new_semantic(
            layout,
            size,
            unit_centres(work),
            text_units(work, layout),
            text_rate(train, layout),
            seed,
        )
    codebooks = MelCodec.load(work / "codec").network.codebooks.numpy()
    if stage == "coarse":
        return new_coarse(layout, size, unit_centres(work), codebooks, seed)
    return new_fine(layout, size, codebooks, seed)


def work_layout(work: Path) -> TokenLayout:
    """Return nano's layout for the number of units found in the work folder."""
    return nano_layout(len(unit_centres(work)), PhoneTokenizer().vocab_size)


def unit_centres(work: Path) -> np.ndarray:
    """Return the k-means centres ``(K, D)`` of the semantic tokens."""
    path = work / HUBERT / "kmeans.npz"
    if not path.is_file():
        raise MissingFileError(f"no units in {path}", fix="Run the step hubert first")
    with np.load(path, allow_pickle=False) as file:
        return file["centers"]


def text_rate(speakers: tuple[Speaker, ...], layout: TokenLayout) -> float:
    """Return text tokens for each second of speech; 10 where nothing is known."""
    spoken = [
        example for speaker in speakers for example in speaker.examples if example.text is not None
    ]
    seconds = sum(len(example.semantic) for example in spoken) / layout.semantic_rate
    return (
        sum(len(example.text) for example in spoken if example.text is not None) / seconds
        if seconds
        else 10.0
    )


def phone_units(work: Path, units: int, voices: int = 20) -> np.ndarray:
    """Count how often each phone of the corpus meets each unit, ``(phones, K)``, over
    some voices.
    """
    together = np.zeros((len(PHONES), units))
    paths = [
        path
        for path in sorted((work / "tokens").glob("[!.]*.npz"))
        if path.stem.startswith("flite_")
    ]
    for path in paths[:: max(1, len(paths) // voices)]:
        voice = load_voice(work / "corpus" / path.name)
        with np.load(path, allow_pickle=False) as file:
            heard = file["semantic"].astype(np.int64)
        known = voice.phones != UNKNOWN
        np.add.at(together, (voice.phones[known], heard[known]), 1)
    return together


def unit_phones(work: Path, layout: TokenLayout) -> list[str]:
    """Return the phone that each unit most often stands for, ``K`` names; schwa counts as the vowel
    AH.
    """
    names = [PHONES[index] for index in phone_units(work, layout.semantic_vocab).argmax(0)]
    return ["ah" if name == "ax" else name for name in names]


def text_units(work: Path, layout: TokenLayout) -> np.ndarray:
    """Return for each text symbol the shares of the units that its phone sounds as: ``(V, K)``."""
    together = phone_units(work, layout.semantic_vocab)
    rows = np.zeros((len(SYMBOLS), layout.semantic_vocab))
    for row, symbol in enumerate(SYMBOLS):
        names = {"pau"} if symbol == "," else {symbol.rstrip("01").lower()}
        names |= {"ax"} if symbol == "AH0" else set()
        rows[row] = together[[index for index, name in enumerate(PHONES) if name in names]].sum(0)
    return rows / np.maximum(rows.sum(1, keepdims=True), 1)
