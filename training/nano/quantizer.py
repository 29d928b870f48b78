"""Lets a finished nano speak pairs, and trains its LSTM quantizer on them.

This is how the real Bark's community quantizers arise: the model speaks, and a network learns to
hear what it meant. The pairs also serve `benchmarks.quantizer_report`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from bark.pipeline import Bark
from bark.storage.weights import weights_digest
from hubert.encoder import QUANTIZER_FILES
from hubert.features import HubertFeatures
from hubert.quantizer.lstm import LSTMQuantizer
from training.engine.progress import SILENT, Progress
from training.nano.corpus.texts import TextSource
from training.quantizer.dataset import PreparedDataset
from training.quantizer.evaluate import Evaluation, evaluate
from training.quantizer.prepare import PrepareOptions, prepare
from training.quantizer.synthesize import SynthesisPlan, bark_speaker, local_engine, synthesize
from training.quantizer.train import QuantizerRecipe, quantizer_options, train

logger = logging.getLogger(__name__)

KINDS = ("template", "number", "digits", "template")  # of the texts, in turn
BATCH = 16  # takes spoken at once, and utterances of a training step


@dataclass(frozen=True)
class QuantizerOptions:
    """How nano's own quantizer is made."""

    pairs: int = 300  # takes that nano speaks
    steps: int = 240
    hidden_size: int = 256
    learning_rate: float = 2e-3
    seed: int = 0
    device: str | None = None


def speak_pairs(
    model: str | Path,
    hubert: str | Path,
    folder: Path,
    count: int,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> PreparedDataset:
    """Let a nano speak `count` texts of the grammar in its preset voices, unless it has, and
    prepare them.

    Parameters
    ----------
    model, hubert : names or folders.
    folder : gets the pairs and the data set.
    count : texts.
    device : that the nano speaks on; on another it draws other tokens.
    """
    bark = Bark.from_pretrained(model, device=device, dtype="float32")
    source = TextSource((), 0, 1)
    texts = tuple(
        source.draw(held_out=False, kind=KINDS[i % len(KINDS)]).words for i in range(count)
    )
    voices = (
        sorted(path.stem for path in bark.voices_folder.glob("*.npz"))
        if bark.voices_folder
        else [None]
    )
    vocabulary = bark.layout.semantic_vocab
    weights = "-".join(
        weights_digest(stage.model) for stage in (bark.semantic, bark.coarse, bark.fine)
    )
    # takes of an earlier model under this name are refused, not mixed in
    spoken_by = f"{model} {weights}"
    plan = SynthesisPlan(texts, tuple(voices), count, 0, spoken_by, vocabulary, batch=BATCH)
    kept = synthesize(
        plan, folder, local_engine(bark_speaker(bark, plan.settings)), progress=progress
    )
    logger.info("takes: %s", dict(kept))
    features = HubertFeatures.from_pretrained(hubert)
    options = PrepareOptions(vocabulary, validation=0.1, test=0.2, max_refused=0.2)
    heard_by = {
        "hubert": str(hubert),
        "layer": features.layer,
        "weights": weights_digest(features.network),
    }
    return prepare(folder, folder, features, heard_by, options, progress).dataset


def train_quantizer(
    dataset: PreparedDataset,
    run: Path,
    hubert: Path,
    options: QuantizerOptions,
    progress: Progress = SILENT,
) -> Evaluation:
    """Train version 2 on the pairs and write it, in float16, beside the k-means of a HuBERT folder.

    Returns
    -------
    Its figures on the test pairs, as written.
    """
    recipe = QuantizerRecipe(hidden_size=options.hidden_size, batch=BATCH)
    settings = quantizer_options(
        steps=options.steps,
        learning_rate=options.learning_rate,
        seed=options.seed,
        validate_every=max(1, options.steps // 12),
        device=options.device,
    )
    quantizer, _, _ = train(dataset, run, recipe, settings, progress)
    path = LSTMQuantizer(quantizer.to("cpu").network.half(), quantizer.datastore).save(
        hubert / QUANTIZER_FILES["lstm"]
    )
    return evaluate(LSTMQuantizer.load(path), dataset, "test")
