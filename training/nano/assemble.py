"""Assembles nano's model folder from trained weights: config, float16 weights, preset voices."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from bark.codec.decoder import WEIGHTS as DECODER
from bark.codec.mel import MelCodec
from bark.errors import CheckpointError, MissingFileError
from bark.stages.gpt import GPT
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.json import read_json
from bark.storage.weights import read_weights
from bark.tokens import TokenLayout
from hubert.clone import Cloner
from hubert.encoder import SemanticEncoder
from training.engine.run_folder import BEST, load_network, load_tensors
from training.nano.corpus.corpus import load_voice, voice_paths
from training.nano.corpus.synthesis import SAMPLE_RATE
from training.stages.initial import NetworkSize, stage_config

from .options import MEL_CODEC
from .stages import HUBERT, SIZES, STAGES, work_layout

FORMAT_VERSION = 1
PRESET_SECONDS = 8.0
# name → training voice, near the synthesiser's own
PRESETS = {
    "alba": "flite_slt_02",
    "bruno": "flite_rms_06",
    "clara": "flite_slt_12",
    "dario": "flite_awb_12",
    "edith": "flite_slt_06",
    "felix": "flite_kal16_08",
    "greta": "flite_slt_08",
    "hugo": "flite_rms_03",
}
SYNTHETIC = (
    "flite_",
    "festival_",
    "espeak_",
)  # how the names of training voices that programs spoke begin
DEFAULTS = {
    "semantic_temperature": 0.4,
    "coarse_temperature": 0.85,
    "fine_temperature": 0.8,
    "min_eos_p": 0.2,
    "sliding_window_len": 120,
    "coarse_anchor": 450,
}


def assemble(work: Path, target: Path) -> None:
    """Write codec, the three stages and ``config.json`` into `target`; the decoder if there is one.

    The weights are those of each run's best validation; the codec is that of the step mel, if that
    has run.

    Raises
    ------
    MissingFileError : if a part was not trained yet.
    CheckpointError : if a run's weights are another network's.
    """
    layout = work_layout(work)
    target.mkdir(parents=True, exist_ok=True)
    trained_on = work / MEL_CODEC
    MelCodec.load(trained_on if trained_on.is_dir() else work / "codec").save(target)
    config = {
        "format": "bark",
        "format_version": FORMAT_VERSION,
        "name": "nano",
        "layout": layout.to_dict(),
        "tokenizer": {"type": "phones"},
        "defaults": DEFAULTS,
    }
    for stage in STAGES:
        network = trained_network(stage, work, layout)
        weights = {
            name: tensor.half().contiguous() for name, tensor in network.state_dict().items()
        }
        if isinstance(network, FineGPT):  # heads are the tables; a file holds a tensor once
            weights = {
                name: tensor for name, tensor in weights.items() if not name.startswith("lm_heads.")
            }
        with atomic_write(target / f"{stage}.safetensors") as temporary:
            save_file(weights, temporary)
        config[stage] = asdict(network.config)
    if (work / DECODER).is_file():
        with atomic_write(target / DECODER) as temporary:
            save_file(read_weights(work / DECODER), temporary)
        config["decoder"] = {"type": "vocos"}
    path = target / "config.json"
    config["codec"] = read_json(path)["codec"]
    atomic_write_text(path, json.dumps(config, indent=2) + "\n")


def make_voices(work: Path, target: Path) -> None:
    """Clone the preset voices from speech of synthetic training voices into ``voices/``.

    In a corpus too small to hold the voices meant, others of its training voices stand in, in turn.
    """
    cloner = Cloner.from_pretrained(target, encoder=SemanticEncoder.from_pretrained(work / HUBERT))
    there = [path.stem for path in voice_paths(work) if path.stem.startswith(SYNTHETIC)]
    spare = cycle(there)
    for name, meant in PRESETS.items():
        source = meant if meant in there else next(spare)
        voice = load_voice(work / "corpus" / f"{source}.npz")
        enough = int(np.searchsorted(voice.starts, PRESET_SECONDS * SAMPLE_RATE))
        audio = (
            voice.audio[: voice.starts[min(enough, len(voice.starts) - 1)]].astype(np.float32)
            / 32768
        )
        clone = cloner.clone(
            audio, sample_rate=SAMPLE_RATE, end=len(audio) / SAMPLE_RATE, start=0.0
        )
        info = {key: value for key, value in clone.voice.info.items() if key != "date"}
        info |= {
            "name": name,
            "model": "nano",
            "source": f"synthetic speech, {source}",
            "consent": "synthetic",
        }
        replace(clone.voice, info=info).save(target / "voices" / f"{name}.npz", cloner.layout)


def trained_network(stage: str, work: Path, layout: TokenLayout) -> GPT | FineGPT:
    """Return a stage's network with the weights of its run's best validation."""
    best = work / "runs" / stage / BEST
    if not best.is_file():
        raise MissingFileError(
            f"{stage} is not trained: no {best}", fix=f"Run the step {stage} first"
        )
    weights = load_tensors(best)[0]
    try:
        size = NetworkSize.of(weights, SIZES[stage].heads)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{best} holds no {stage} network", got=error) from error
    config = stage_config(stage, layout, size)
    network = FineGPT(config) if isinstance(config, FineGPTConfig) else GPT(config)
    load_network(network, weights, best)
    return network
