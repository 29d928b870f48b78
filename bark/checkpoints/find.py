"""Where a model's files are, by its name; they load as networks, codec and tokenizer."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from bark.errors import CheckpointError, MissingFileError, MissingModelError, SettingError
from bark.stages.fit import check_fit
from bark.storage.files import expand
from bark.storage.hub import (
    HUB_ID,
    Wanted,
    cached,
    fetch,
    fetch_all,
    fetch_first,
    fetch_optional,
    user_cache,
)
from bark.storage.json import dataclass_from, read_as
from bark.storage.weights import (
    FAIRSEQ_STAND_INS,
    read_torch_file,
    read_weights,
    shard_names,
)
from bark.tokens import BARK, TokenLayout
from bark.voice.names import check_made_for, token_family
from bark.voice.voice import Voice, VoiceLike, resolve_voice

from .config import MOST_CONFIG, Section, read_config
from .formats import (
    HF_WEIGHTS,
    STAGES,
    SUNO_NAMES,
    folder_format,
    hf_weights,
    load_stage,
    suno_file,
)
from .variants import TUNED_WEIGHTS, tuned_files

if TYPE_CHECKING:
    from bark.codec.base import Codec

__all__ = [
    "FAIRSEQ_STAND_INS",
    "ModelFiles",
    "find_model",
    "load_stage",
    "read_torch_file",
    "read_weights",
]

SUNO_REPO = "suno/bark"
SUNO_SIZES = {"large": "_2", "small": ""}  # what Suno's file names end in
CODEC_REPO = "facebook/encodec_24khz"
BERT_REPO = "bert-base-multilingual-cased"
# where the hub moved it; other programs cache it by either name
BERT_NEW_REPO = f"google-bert/{BERT_REPO}"
TOKENIZER_FILES = ("vocab.txt", "tokenizer.json")  # one is enough
# Hugging Face's generation_config.json → our token layout
HF_LAYOUT = {
    "": {"sample_rate": "sample_rate", "codebook_size": "codebook_size"},
    "semantic_config": {
        "semantic_rate_hz": "semantic_rate",
        "semantic_vocab_size": "semantic_vocab",
        "text_encoding_offset": "text_offset",
        "text_pad_token": "text_pad",
        "semantic_infer_token": "semantic_infer",
        "max_input_semantic_length": "text_window",
        "max_new_tokens": "max_semantic",
    },
    "coarse_acoustics_config": {
        "coarse_rate_hz": "coarse_rate",
        "n_coarse_codebooks": "coarse_books",
        "coarse_semantic_pad_token": "coarse_semantic_pad",
        "coarse_infer_token": "coarse_infer",
        "max_coarse_input_length": "coarse_semantic_window",
        "max_coarse_history": "max_coarse_history",
        "sliding_window_len": "sliding_window",
    },
    "fine_acoustics_config": {
        "max_fine_input_length": "fine_window",
        "max_fine_history_length": "fine_history",
        "n_fine_codebooks": "fine_books",
    },
}
# What a file may make of the token layout: windows that fit the largest network, rates of audio.
LAYOUT_LIMITS = {
    field.name: msgspec.Meta(ge=1, le=1 << 20)
    if field.name.endswith(("_rate", "_vocab", "_offset", "_pad", "_infer", "codebook_size"))
    else msgspec.Meta(ge=1, le=65_536)
    for field in fields(TokenLayout)
} | {"coarse_history_drop": msgspec.Meta(ge=0, le=65_536)}


@dataclass(frozen=True)
class Place:
    """Where one part of a model is: here, or on the hub."""

    path: Path | None = None  # a file or folder on this computer
    wanted: tuple[Wanted, ...] = ()  # else these files of the hub
    looked: tuple[Path, ...] = ()  # where it could also have been


@dataclass(frozen=True)
class ModelFiles:
    """Where each part of a model is; nothing is read before it is asked for.

    Parts that lie on the hub are fetched when first loaded.
    """

    name: str
    places: Mapping[str, Place]  # "semantic", "coarse", "fine", "codec", "tokenizer"
    layout: TokenLayout = BARK
    defaults: Mapping[str, Any] = field(default_factory=dict)  # settings that suit this model
    voices: Path | None = None  # the model's own preset voices
    codec_type: str = "encodec"  # or "mel"
    tokenizer_type: str = "bert"  # or "phones"
    decoder: Path | None = None  # the folder whose decoder takes the place of the codec's own
    int8: bool = False  # the files hold 8-bit weights

    def path(self, part: str) -> Path:
        """Return the file or folder of a part, fetched if need be.

        Raises
        ------
        MissingFileError
            If it cannot be had; it lists everything of this model that is missing.
        """
        if (place := self.places.get(part)) is None:
            raise CheckpointError(
                f"{self.name} has no {part} model",
                "one stage, fine-tuned alone",
                fix=f"Take the other stages from a whole model, such as large with "
                f"{next(iter(self.places))}={self.name!r}",
            )
        if place.path is not None:
            return place.path
        absent = [other for other in self.places.values() if other.path is None]
        looked = [folder for other in absent for folder in other.looked]
        wanted = [file for other in absent for file in other.wanted]
        return fetch_all(place.wanted, looked, wanted)[0]

    def missing(self) -> bool:
        """Tell whether anything of this model would have to be downloaded."""
        return any(
            cached(*wanted) is None
            for place in self.places.values()
            if place.path is None
            for wanted in place.wanted
        )

    def load(self, stage: str, dtype: torch.dtype | None = None) -> Any:
        """Load the network of a stage on the CPU; `dtype` None is float32."""
        if stage not in STAGES:
            raise SettingError("stage", repr(stage), ", ".join(STAGES))
        network = load_stage(self.path(stage), stage, dtype)
        check_fit(network.config, stage, self.layout, self.name, CheckpointError)
        return network

    def resolve_voice(
        self, voice: VoiceLike | None, *, strict: bool = True, stage: str | None = None
    ) -> Voice | None:
        """Find a voice for this model, as `bark.Bark.resolve_voice` does, without loading the
        model; `strict` and `stage` as in `Voice.load`.
        """
        if isinstance(voice, str) and voice in self.places:  # a preset that is to be fetched
            self.path(voice)
        found = resolve_voice(
            voice, self.layout, model_folder=self.voices, strict=strict, stage=stage
        )
        family = token_family(self.layout, self.codec_type)
        check_made_for({} if found is None else found.info, self.name, family)
        return found

    def load_codec(self, decoder: str | Path | None = None) -> "Codec":
        """Load the codec on the CPU; `decoder` as in `bark.codec.decoder.with_decoder`, if any."""
        from bark.codec.decoder import load_codec

        return load_codec(self.path("codec"), self.codec_type, decoder or self.decoder)

    def load_tokenizer(self) -> Any:
        """Load the text tokenizer."""
        if self.tokenizer_type == "phones":
            from bark.text.english.phones import PhoneTokenizer

            return PhoneTokenizer()
        from bark.text.bert import BertTextTokenizer

        path = self.path("tokenizer")
        return BertTextTokenizer.from_pretrained(path if path.is_dir() else path.parent)


def find_model(name: str | Path) -> ModelFiles:
    """Find a model's parts.

    Parameters
    ----------
    name : "large" or "small" (Suno's; from Suno's own cache if they are there, else from the hub),
        "nano" (shipped with this package), a folder in any of three layouts, or a hub id.

    Raises
    ------
    MissingFileError
        If there is no such folder and no such model on the hub.
    CheckpointError
        If the folder holds something else.
    """
    text = str(name)
    if text in SUNO_SIZES:
        return _published(text)
    if text == "nano":
        folder = Path(str(package_files("bark"))) / "nano"
        if not (folder / "config.json").is_file():
            raise MissingFileError(
                "the model 'nano' is not part of this installation",
                fix="Install a released version of this package, or name another model",
            )
        return replace(_from_folder(folder), name=text)
    folder = expand(name)
    if folder.is_dir():
        return _from_folder(folder)
    if folder.name == TUNED_WEIGHTS and tuned_files(folder.parent):
        return _from_folder(folder.parent)
    if folder.exists():
        raise CheckpointError(f"{folder} is a file", allowed="the folder of a model")
    if isinstance(name, str) and re.fullmatch(HUB_ID, name):
        return _from_hub(name)
    raise MissingFileError(
        f"no model {text!r}",
        allowed="large, small, nano, an existing folder or a hub id such as suno/bark-small, or "
        "suno/bark-small@REVISION",
    )


def stage_file(path: Path, stage: str) -> ModelFiles:
    """Return one file as a stage of Suno's family, whatever its name."""
    tuned = tuned_files(path.parent) if path.name == TUNED_WEIGHTS else {}
    if tuned and stage not in tuned:
        raise CheckpointError(f"{path} is not a {stage} model of Bark", next(iter(tuned)))
    folder = path.parent
    places = {stage: Place(path), "codec": _codec_place(folder)}
    return ModelFiles(str(path), places | {"tokenizer": _tokenizer_place(folder)})


def hf_layout(config: Mapping[str, Any], where: str = "generation_config.json") -> TokenLayout:
    """Read the token layout from Hugging Face's generation settings; the rest is Bark's."""
    values = {}
    for section, names in HF_LAYOUT.items():
        stated = config.get(section, {}) if section else config
        if isinstance(stated, Mapping):
            values.update(
                {ours: stated[theirs] for theirs, ours in names.items() if theirs in stated}
            )
    return dataclass_from(values, TokenLayout, LAYOUT_LIMITS, f"{where}: token layout")


def _published(size: str) -> ModelFiles:
    """Suno's own files: each from Suno's cache if it is there, else from the hub."""
    cache = user_cache() / "suno" / "bark_v0"
    places = {}
    for stage in STAGES:
        file = f"{SUNO_NAMES[stage]}{SUNO_SIZES[size]}.pt"
        here = cache / file
        places[stage] = Place(here if here.is_file() else None, ((SUNO_REPO, file),), (cache,))
    return ModelFiles(size, {**places, "codec": _codec_place(), "tokenizer": _tokenizer_place()})


def _from_folder(folder: Path) -> ModelFiles:
    kind = folder_format(folder)
    if kind == "ours":
        return _ours(folder)
    places = {stage: Place(folder) for stage in STAGES}
    layout = BARK
    if kind == "suno":
        places = _suno_places(folder)
        places["codec"] = _codec_place(folder)
    else:
        places["codec"] = Place(hf_weights(folder))
        stated = folder / "generation_config.json"
        if stated.is_file():
            layout = hf_layout(read_as(stated, Section, most=MOST_CONFIG), str(stated))
    places["tokenizer"] = _tokenizer_place(folder)
    return ModelFiles(str(folder), places, layout, voices=_voices(folder))


def _suno_places(folder: Path) -> dict[str, Place]:
    """Suno's files; beside stages that serp-ai's notebooks tuned, the others are Suno's large."""
    tuned = tuned_files(folder)
    if (folder / TUNED_WEIGHTS) in tuned.values():
        return {stage: Place(path) for stage, path in tuned.items()}
    places = {stage: Place(suno_file(folder, stage)) for stage in STAGES}
    if tuned:
        published = _published("large").places
        for stage, place in places.items():
            if place.path is not None and not place.path.is_file():
                places[stage] = published[stage]
    return places


def _ours(folder: Path) -> ModelFiles:
    config, where = read_config(folder), folder / "config.json"
    types = {}
    kinds = {"codec": ["encodec", "mel"], "tokenizer": ["bert", "phones"]}
    if config.decoder is not None:  # EnCodec's is asked for by name
        kinds |= {"codec": ["mel"], "decoder": ["vocos"]}
    for part, allowed in kinds.items():
        types[part] = (getattr(config, part) or {}).get("type")
        if types[part] not in allowed:
            raise CheckpointError(
                f"{where}: type of {part}", repr(types[part]), " or ".join(allowed)
            )
    places = {part: Place(folder) for part in (*STAGES, "codec")}
    places["tokenizer"] = (
        Place(folder) if types["tokenizer"] == "phones" else _tokenizer_place(folder)
    )
    return ModelFiles(
        config.name or str(folder),
        places,
        dataclass_from(config.layout, TokenLayout, LAYOUT_LIMITS, f"{where}: token layout"),
        config.defaults,
        _voices(folder),
        str(types["codec"]),
        str(types["tokenizer"]),
        folder if "decoder" in types else None,
        config.dtype == "int8",
    )


def _from_hub(repo: str) -> ModelFiles:
    """Fetch a whole model, in Hugging Face's layout or ours."""
    try:
        config = fetch(repo, "config.json")
    except MissingModelError as error:
        patterns = "'*.json' '*.txt' 'model*' 'pytorch_model*'"
        where = repo.replace("@", " --revision ")
        fix = f"Where there is a network, run: hf download {where} --include {patterns}"
        raise MissingModelError(error.what, fix=fix) from None
    folder = config.parent
    stated = read_config(folder)
    if stated.format == "bark":
        parts = (*STAGES, "codec", *(["decoder"] if stated.decoder else []))
        fetch_all([(repo, f"{part}.safetensors") for part in parts])
        optional = [f"tokenizer/{name}" for name in TOKENIZER_FILES]
    else:
        weights = fetch_first(repo, HF_WEIGHTS)
        if weights.name.endswith(".index.json"):
            fetch_all([(repo, name) for name in shard_names(weights)])
        optional = ["generation_config.json", *TOKENIZER_FILES]
    for file in optional:
        fetch_optional(repo, file)
    return replace(_from_folder(folder), name=repo)


def _voices(folder: Path) -> Path | None:
    folders = folder / "voices", folder / "speaker_embeddings"  # ours, Hugging Face's
    return next((found for found in folders if found.is_dir()), None)


def _codec_place(folder: Path | None = None) -> Place:
    """EnCodec beside the weights, in the hub's cache or in torch's own, where Suno's
    code kept it.
    """
    found: list[Path] = []
    torch_cache = expand(os.environ.get("TORCH_HOME") or user_cache() / "torch")
    looked = [folder] if folder else []
    if folder is not None:
        found = [
            *sorted(folder.glob("encodec_24khz*.th")),
            folder / "codec.safetensors",
            folder / "encodec_24khz",
        ]
    found += sorted((torch_cache / "hub" / "checkpoints").glob("encodec_24khz*.th"))
    here = next((path for path in found if path.exists()), None)
    return Place(
        here, ((CODEC_REPO, "model.safetensors"),), (*looked, torch_cache / "hub" / "checkpoints")
    )


def _tokenizer_place(folder: Path | None = None) -> Place:
    """BERT's tokenizer beside the weights, or on the hub."""
    for place in [folder / "tokenizer", folder] if folder else []:
        if any((place / name).is_file() for name in TOKENIZER_FILES):
            return Place(place)
    for repo in (BERT_REPO, BERT_NEW_REPO):
        for name in TOKENIZER_FILES:
            if (found := cached(repo, name)) is not None:
                return Place(found.parent)
    return Place(None, ((BERT_REPO, "vocab.txt"),), (folder,) if folder else ())
