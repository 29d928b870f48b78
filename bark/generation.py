"""Suno's `bark.generation` over our stages: the same names, arguments and results.

A thin facade for code written for suno-ai/bark. The only module in the package that keeps loaded
models; new code holds a `bark.Bark` object instead.

Differences on purpose: the key/value cache is always on (it changes speed, never tokens);
``temp=0`` is the most likely token; every function takes a ``seed``; ``path`` names another model,
"nano" for instance; wrong input is a `ValueError` that says what is allowed; the environment is
read when needed, not at import."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .checkpoints.find import ModelFiles, find_model
from .checkpoints.load import KINDS
from .codec.base import Codec
from .devices import choose_device, offload_wanted, small_wanted
from .errors import SettingError
from .languages import SUPPORTED_LANGS as SUPPORTED_LANGS
from .pipeline import Bark
from .settings import Settings
from .speech import spoken_info
from .text.tidy import tidy
from .tokens import BARK
from .voice.names import SUNO_PRESETS
from .voice.voice import Voice, VoiceLike

CONTEXT_WINDOW_SIZE = 1024
SEMANTIC_RATE_HZ = BARK.semantic_rate
SEMANTIC_VOCAB_SIZE = BARK.semantic_vocab
CODEBOOK_SIZE = BARK.codebook_size
N_COARSE_CODEBOOKS = BARK.coarse_books
N_FINE_CODEBOOKS = BARK.fine_books
COARSE_RATE_HZ = 75
SAMPLE_RATE = BARK.sample_rate
TEXT_ENCODING_OFFSET = BARK.text_offset
SEMANTIC_PAD_TOKEN = BARK.semantic_pad
TEXT_PAD_TOKEN = BARK.text_pad
SEMANTIC_INFER_TOKEN = BARK.semantic_infer
COARSE_SEMANTIC_PAD_TOKEN = BARK.coarse_semantic_pad
COARSE_INFER_TOKEN = BARK.coarse_infer
ALLOWED_PROMPTS = set(SUNO_PRESETS)

# None: SUNO_USE_SMALL_MODELS and SUNO_OFFLOAD_CPU decide when a model is loaded; True or False
# overrides.
USE_SMALL_MODELS: bool | None = None
OFFLOAD_CPU: bool | None = None

STAGES = {"text": "semantic", "coarse": "coarse", "fine": "fine"}  # Suno's name → ours
MODEL_DEFAULT: Any = "the model's own default"  # where None means something else

models: dict[str, Any] = {}  # "text": {"model", "tokenizer"}, "coarse", "fine", "codec"
models_devices: dict[str, torch.device] = {}
_sources: dict[str, ModelFiles] = {}  # where each loaded model came from


def clean_models(model_key: str | None = None) -> None:
    """Forget one loaded model, or all of them, and free their memory."""
    for key in [model_key] if model_key is not None else list(models):
        models.pop(key, None)
        models_devices.pop(key, None)
        _sources.pop(key, None)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def load_model(
    use_gpu: bool = True,
    use_small: bool = False,
    force_reload: bool = False,
    model_type: str = "text",
    path: str | Path | None = None,
) -> Any:
    """Load one stage's model, or return the loaded one.

    Parameters
    ----------
    model_type : "text", "coarse" or "fine".
    path : a model name or folder other than Suno's ("nano", a fine-tuned folder).

    Returns
    -------
    The network; for "text" ``{"model": network, "tokenizer": tokenizer}``, as in Suno's code.
    """
    if model_type not in STAGES:
        raise SettingError("model_type", repr(model_type), ", ".join(STAGES))
    files = _find(use_small, path)
    if force_reload or _is_other(files, path, model_type):
        network = files.load(STAGES[model_type]).eval()
        tokenizer = files.load_tokenizer() if model_type == "text" else None
        _place(model_type, network, use_gpu, files)
        # last: what failed half-way is not there
        models[model_type] = {"model": network, "tokenizer": tokenizer} if tokenizer else network
    return models[model_type]


def load_codec_model(
    use_gpu: bool = True, force_reload: bool = False, path: str | Path | None = None
) -> Codec:
    """Load the codec, or return the loaded one."""
    files = _find(False, path)
    if force_reload or _is_other(files, path, "codec"):
        codec = files.load_codec()
        _place("codec", codec, use_gpu, files)
        models["codec"] = codec
    return models["codec"]


def preload_models(
    text_use_gpu: bool = True,
    text_use_small: bool = False,
    coarse_use_gpu: bool = True,
    coarse_use_small: bool = False,
    fine_use_gpu: bool = True,
    fine_use_small: bool = False,
    codec_use_gpu: bool = True,
    force_reload: bool = False,
    path: str | Path | None = None,
) -> None:
    """Load all four models, each large or small, on the GPU or not; `path` names another model for
    all.
    """
    load_model(text_use_gpu, text_use_small, force_reload, "text", path)
    load_model(coarse_use_gpu, coarse_use_small, force_reload, "coarse", path)
    load_model(fine_use_gpu, fine_use_small, force_reload, "fine", path)
    load_codec_model(codec_use_gpu, force_reload, path)


def generate_text_semantic(
    text: str,
    history_prompt: VoiceLike | None = None,
    temp: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: bool = False,
    min_eos_p: float | None = MODEL_DEFAULT,
    max_gen_duration_s: float | None = None,
    allow_early_stop: bool = True,
    use_kv_caching: bool = False,
    seed: int | None = None,
) -> np.ndarray:
    """Text to semantic tokens (S,) int64. `use_kv_caching` has no effect: the cache is on."""
    changes = {
        "semantic_temperature": temp,
        "semantic_top_k": top_k,
        "semantic_top_p": top_p,
        "max_duration_s": max_gen_duration_s,
        "allow_early_stop": None if allow_early_stop else False,
    }
    return _bark("text").semantic_tokens(
        text,
        history_prompt,
        seed=seed,
        on_overflow="cut",
        progress=not silent,
        **_given(changes, min_eos_p=min_eos_p),
    )


def generate_coarse(
    x_semantic: np.ndarray,
    history_prompt: VoiceLike | None = None,
    temp: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: bool = False,
    max_coarse_history: int | None = None,
    sliding_window_len: int | None = None,
    use_kv_caching: bool = False,
    seed: int | None = None,
) -> np.ndarray:
    """Semantic tokens (S,) to coarse codes (2, T) int32. `use_kv_caching` has no effect."""
    changes = {
        "coarse_temperature": temp,
        "coarse_top_k": top_k,
        "coarse_top_p": top_p,
        "max_coarse_history": max_coarse_history,
        "sliding_window_len": sliding_window_len,
    }
    codes = _bark("coarse").coarse_codes(
        x_semantic, history_prompt, seed=seed, progress=not silent, **_given(changes)
    )
    return codes.astype(np.int32)


def generate_fine(
    x_coarse_gen: np.ndarray,
    history_prompt: VoiceLike | None = None,
    temp: float | None = MODEL_DEFAULT,
    silent: bool = True,
    seed: int | None = None,
) -> np.ndarray:
    """Coarse codes (1 … 7, T) to all eight codebooks (8, T) int32; `temp` None is greedy."""
    codes = _bark("fine").fine_codes(
        x_coarse_gen,
        history_prompt,
        seed=seed,
        progress=not silent,
        **_given({}, fine_temperature=temp),
    )
    return codes.astype(np.int32)


def codec_decode(fine_tokens: np.ndarray) -> np.ndarray:
    """Codes (K, T) to audio (320*T,) float32 at 24 kHz. Loads the codec only."""
    load_codec_model()
    return _bark("codec").decode(fine_tokens)


def find_voice(key: str, voice: VoiceLike | None) -> Voice | None:
    """Find a voice for a loaded model, once for all stages that are to speak in it."""
    if voice is None or isinstance(voice, Voice):
        return voice
    load_model(model_type=key)
    return _sources[key].resolve_voice(voice)


def spoken_voice_info(text: str, seed: int | None, voice: Voice | None) -> dict[str, str]:
    """Return the info of what the loaded models speak, as `bark.Generation.voice` has it."""
    return spoken_info(_sources["coarse"].name, tidy(text) if text else "", seed, voice)


def _given(changes: Mapping[str, Any], **explicit: Any) -> Any:
    """Return the settings that a caller of Suno's functions has chosen; the model's hold elsewhere.

    None stands for "not given", but in `explicit`, where it means something: see `MODEL_DEFAULT`.
    """
    chosen = {name: value for name, value in changes.items() if value is not None}
    return chosen | {name: v for name, v in explicit.items() if v is not MODEL_DEFAULT}


def _bark(key: str) -> Bark:
    """Return the loaded parts as one Bark; part `key` is there, others may be absent."""
    if key != "codec":
        load_model(model_type=key)
    files, text = _sources[key], models.get("text") or {}
    networks = {"semantic": text.get("model"), **{k: models.get(k) for k in ("coarse", "fine")}}
    stages: Any = {
        stage: KINDS[stage](network, files.layout) if network is not None else None
        for stage, network in networks.items()
    }
    return Bark(
        stages["semantic"],
        stages["coarse"],
        stages["fine"],
        models.get("codec"),  # type: ignore[arg-type]  # absent ones are not asked for
        text.get("tokenizer"),  # type: ignore[arg-type]
        files.layout,
        name=files.name,
        defaults=Settings().changed(files.defaults),
        devices={STAGES.get(each, each): device for each, device in models_devices.items()},
        offload=_offload(),
        voices_folder=files.voices,
    )


def _find(use_small: bool, path: str | Path | None) -> ModelFiles:
    """The model asked for; without `path` the one already in use, so that all stages come from one
    family.
    """
    if path is not None:
        return find_model(path)
    for files in _sources.values():
        if files.name not in ("small", "large"):
            return files
    small = use_small or (small_wanted() if USE_SMALL_MODELS is None else USE_SMALL_MODELS)
    return find_model("small" if small else "large")


def _is_other(files: ModelFiles, path: str | Path | None, key: str) -> bool:
    """Tell whether a model must be loaded: none is, or `path` names another one."""
    part = STAGES.get(key, key)  # by place, since copies of a model may share its name
    return key not in models or (
        path is not None and _sources[key].places[part] != files.places[part]
    )


def _place(key: str, holder: Any, use_gpu: bool, files: ModelFiles) -> None:
    """Note the device of a model and, unless it is borrowed for each call, move it there."""
    device = choose_device("auto" if use_gpu else "cpu", STAGES.get(key, key))
    models_devices[key], _sources[key] = device, files
    if not _offload():
        holder.to(device)


def _offload() -> bool:
    return offload_wanted() if OFFLOAD_CPU is None else OFFLOAD_CPU
