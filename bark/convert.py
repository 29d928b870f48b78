"""Write a Bark model in another layout on disk: Suno's files ⇄ Hugging Face's folder ⇄ ours.

``python -m bark.convert SRC DST --to suno|hf|ours``. Every tensor keeps its value, and every stage
its dtype; ``--dtype int8`` keeps the matrices in 8 bits instead, a quarter of the size, which only
ours can hold. The result appears at once when it is complete; an existing DST is never touched.
"""

if __name__ == "__main__":  # the command reads its flags before torch is imported
    from booth.cli.convert import main

    raise SystemExit(main())

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from bark.checkpoints.build import build_network, in_float, in_int8
from bark.checkpoints.find import HF_LAYOUT, ModelFiles, find_model, hf_layout
from bark.checkpoints.formats import (
    FORMAT_VERSION,
    FORMATS,
    HF_PARTS,
    HF_SIZES,
    STAGES,
    SUNO_NAMES,
    read_stage,
    to_hf_name,
)
from bark.stages.gpt import GPTConfig
from bark.stages.progress import Progress, Watch
from bark.storage.atomic import atomic_write, atomic_write_text, workshop
from bark.storage.files import expand
from bark.storage.json import encode
from bark.storage.locks import lock, owner

from .errors import (
    CheckpointError,
    MissingFileError,
    SettingError,
    StorageError,
    out_of_memory,
)
from .tokens import BARK

logger = logging.getLogger(__name__)

DTYPES = ("int8",)  # what a model can be written in besides what it is in
LARGE_WIDTH = 1024  # n_embd of Suno's large networks, whose files end in _2
_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
_VOICE_FILES = "*.npz", "*.npy", "v2/*.npz", "v2/*.npy"


@dataclass(frozen=True)
class Stage:
    """One stage's sizes, and its weights under Suno's names, without the heads that
    repeat a table.
    """

    config: GPTConfig
    weights: dict[str, torch.Tensor]


Stages: TypeAlias = Iterator[tuple[str, Stage]]  # by name, each read when its turn comes


def convert(
    source: str | Path,
    destination: str | Path,
    to: str,
    dtype: str | None = None,
    *,
    progress: Progress = False,
) -> Path:
    """Write a model in another layout.

    Parameters
    ----------
    source : a model name, a folder in any layout or a hub id (`bark.checkpoints.find_model`).
    destination : a folder that does not exist yet.
    to : "suno" (three ``.pt`` files), "hf" (loads in `transformers.BarkModel`) or "ours".
    dtype : "int8" (ours only), or None as it is.
    progress : show a bar, or a function that is told how far it is.

    Returns
    -------
    `destination`.

    Raises
    ------
    CheckpointError
        If the source does not load, or the layout cannot express it.
    StorageError
        If `destination` exists or cannot be written.
    """
    if to not in FORMATS:
        raise SettingError("--to", repr(to), ", ".join(FORMATS))
    if dtype not in (None, *DTYPES) or (dtype and to != "ours"):
        fix = "Only our own layout holds int8 weights" if dtype in DTYPES else None
        raise SettingError(f"--dtype with --to {to}", repr(dtype), "none or ours with int8", fix)
    destination = expand(destination)
    _check_free(destination)
    files = find_model(source)
    _check_expressible(files, to)
    mark = destination.with_name(f".{destination.name[:200]}.lock")
    with lock(mark) as mine:
        if not mine:
            raise StorageError(
                f"another process is writing {destination}",
                owner(mark),
                fix="Wait for it to end, or name another folder",
            )
        _check_free(destination)
        with workshop(destination.parent) as shop:
            folder = shop / "model"
            folder.mkdir()
            try:
                small = to == "ours" and (files.int8 or dtype == "int8")
                _WRITERS[to](files, _stages(files, small, Watch.of(progress)), folder)
                _copy_extras(files, folder, "" if to == "hf" else "tokenizer")
            except (RuntimeError, SafetensorError) as error:  # torch's and safetensors' full disk
                if out_of_memory(error):
                    raise
                raise OSError(str(error)) from error
            os.rename(folder, destination)
    return destination


def _check_free(destination: Path) -> None:
    if destination.exists() or destination.is_symlink():
        raise StorageError(
            f"{destination} exists already", fix="Name a new folder, or remove this one first"
        )


def _check_expressible(files: ModelFiles, to: str) -> None:
    """Refuse what the target layout would lose."""
    if to == "ours":
        return
    if files.codec_type != "encodec" or files.tokenizer_type != "bert":
        raise CheckpointError(
            f"{files.name} cannot be written as {to}",
            f"codec {files.codec_type}, tokenizer {files.tokenizer_type}",
            "EnCodec and BERT's tokenizer, which every other Bark has",
        )
    kept = BARK if to == "suno" else hf_layout(_generation_config(files))
    if files.layout != kept:
        theirs, own = kept.to_dict(), files.layout.to_dict()
        lost = [
            f"{name} {own[name]} (not {theirs[name]})" for name in own if own[name] != theirs[name]
        ]
        raise CheckpointError(
            f"{files.name} cannot be written as {to}: its token layout has {', '.join(lost)}"
        )


def _read(files: ModelFiles, stage: str, small: bool) -> Stage:
    """Read a stage as stored, after checking that it loads; `small` makes its matrices int8."""
    path = files.path(stage)
    config, weights = read_stage(path, stage)
    network = build_network(config, weights, str(path))
    weights = in_int8(weights, network) if small else in_float(weights, str(path))
    kept = {name: t.contiguous() for name, t in weights.items() if not name.startswith("lm_heads.")}
    return Stage(config, kept)


def _stages(files: ModelFiles, small: bool, watch: Watch) -> Stages:
    with watch.bar("converting", len(STAGES), "stage", leave=False) as bar:
        for stage in STAGES:
            yield stage, _read(files, stage, small)
            bar.update()


def _write_suno(files: ModelFiles, stages: Stages, folder: Path) -> None:
    size = None
    for stage, read in stages:
        name = SUNO_NAMES[stage]
        size = ("_2" if read.config.n_embd >= LARGE_WIDTH else "") if size is None else size
        state = dict(read.weights)
        if stage == "fine":  # Suno's files hold a head and its table as one tensor under two names
            sizes = asdict(read.config)
            for head in range(sizes["n_codes_total"] - sizes["n_codes_given"]):
                table = f"transformer.wtes.{head + sizes['n_codes_given']}.weight"
                state[f"lm_heads.{head}.weight"] = state[table]
        content = {
            "model": {f"_orig_mod.{key}": tensor for key, tensor in state.items()},
            "model_args": asdict(read.config),
            "iter_num": 0,
            "best_val_loss": torch.tensor(0.0),  # Suno's code calls .item() on it
        }
        with atomic_write(folder / f"{name}{size}.pt") as file:
            torch.save(content, file)
    if files.places["codec"].path is not None:
        _save(_codec_weights(files), folder / "codec.safetensors")


def _write_hf(files: ModelFiles, stages: Stages, folder: Path) -> None:
    weights: dict[str, torch.Tensor] = {}
    config: dict[str, Any] = {
        "model_type": "bark",
        "architectures": ["BarkModel"],
        "initializer_range": 0.02,
    }
    for stage, read in stages:
        part = HF_PARTS[stage]
        weights.update(
            {f"{part}.{to_hf_name(name)}": tensor for name, tensor in read.weights.items()}
        )
        if stage != "fine":  # transformers expects each causal layer's mask among the weights
            for layer in range(read.config.n_layer):
                mask = torch.ones(
                    1, 1, read.config.block_size, read.config.block_size, dtype=torch.bool
                )
                weights[f"{part}.layers.{layer}.attn.bias"] = mask.tril()
        sizes = {HF_SIZES[name]: value for name, value in asdict(read.config).items()}
        config[f"{part}_config"] = {
            **sizes,
            "model_type": part,
            "initializer_range": 0.02,
            "use_cache": True,
        }
    config["fine_acoustics_config"]["tie_word_embeddings"] = True
    config["dtype"] = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    codec = files.load_codec()
    config["codec_config"] = codec.network.config.to_diff_dict() | {"model_type": "encodec"}  # type: ignore[attr-defined]
    weights.update(
        {f"codec_model.{name}": tensor for name, tensor in _codec_weights(files).items()}
    )
    _save(weights, folder / "model.safetensors")
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", _generation_config(files))


def _write_ours(files: ModelFiles, stages: Stages, folder: Path) -> None:
    config: dict[str, Any] = {
        "format": "bark",
        "format_version": FORMAT_VERSION,
        "name": Path(files.name).name,
        "layout": files.layout.to_dict(),
        "tokenizer": {"type": files.tokenizer_type},
        "defaults": dict(files.defaults),
    }
    for stage, read in stages:
        if any(tensor.dtype == torch.int8 for tensor in read.weights.values()):
            config["dtype"] = "int8"
        config[stage] = asdict(read.config)
        _save(read.weights, folder / f"{stage}.safetensors")
    _write_json(folder / "config.json", config)
    files.load_codec().save(folder)  # type: ignore[attr-defined]


_WRITERS = {"suno": _write_suno, "hf": _write_hf, "ours": _write_ours}


def _codec_weights(files: ModelFiles) -> dict[str, torch.Tensor]:
    """EnCodec's weights under the names of published files: weight norm's older spelling, which all
    read.
    """
    state = files.load_codec().network.state_dict()  # type: ignore[attr-defined]
    weights = {}
    for name, tensor in state.items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        weights[name.replace("parametrizations.weight.original1", "weight_v")] = tensor.contiguous()
    return weights


def _generation_config(files: ModelFiles) -> dict[str, Any]:
    """Hugging Face's generation settings; written by hand since transformers cannot
    save its own.
    """
    from .settings import Settings

    layout = files.layout.to_dict()
    stated: dict[str, Any] = {"model_type": "bark"}
    for section, names in HF_LAYOUT.items():
        target = stated.setdefault(section, {}) if section else stated
        target.update({theirs: layout[ours] for theirs, ours in names.items()})
    settings = Settings().changed(files.defaults)
    stated["semantic_config"] |= _drawing(settings.semantic.temperature) | {
        "eos_token_id": files.layout.semantic_pad,
        "semantic_pad_token": files.layout.semantic_pad,
    }
    stated["coarse_acoustics_config"] |= _drawing(settings.coarse.temperature)
    stated["fine_acoustics_config"]["temperature"] = (
        settings.fine.temperature or 1.0
    )  # 1.0: the likeliest code
    return stated


def _drawing(temperature: float) -> dict[str, Any]:
    """Say how transformers is to draw tokens; it would keep the best 50 unless told otherwise."""
    draws = (
        {"do_sample": True, "temperature": temperature, "top_k": 0}
        if temperature
        else {"do_sample": False}
    )
    return {**draws, "renormalize_logits": True}


def _copy_tokenizer(files: ModelFiles, folder: Path) -> None:
    """Copy BERT's vocabulary, fetched if need be: without it the folder does not work offline."""
    try:
        place = files.path("tokenizer")
    except MissingFileError as error:
        logger.warning("the new folder has no vocabulary: %s", error)
        return
    place = place if place.is_dir() else place.parent
    folder.mkdir(exist_ok=True)
    for name in _TOKENIZER_FILES:
        if (place / name).is_file():
            shutil.copyfile(place / name, folder / name)
    settings = folder / "tokenizer_config.json"
    if not settings.is_file():  # transformers would write everything small
        _write_json(settings, {"tokenizer_class": "BertTokenizer", "do_lower_case": False})


def _copy_extras(files: ModelFiles, folder: Path, tokenizer: str) -> None:
    """Copy the tokenizer, the preset voices and the HuBERT that lie beside the source's weights."""
    if files.tokenizer_type == "bert":
        _copy_tokenizer(files, folder / tokenizer)
    if files.voices is not None:
        index = files.voices.parent / "speaker_embeddings_path.json"  # which transformers reads
        found = [path for kind in _VOICE_FILES for path in files.voices.glob(kind)]
        for path in [*found, index] if index.is_file() else found:
            target = folder / path.relative_to(files.voices.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    own = files.places["semantic"].path
    if own is not None and (own / "hubert" / "encoder.json").is_file():
        shutil.copytree(own / "hubert", folder / "hubert")


def _save(weights: dict[str, torch.Tensor], path: Path) -> None:
    with atomic_write(path) as file:
        save_file(weights, file, metadata={"format": "pt"})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    atomic_write_text(path, encode(content, indent=2) + "\n")
