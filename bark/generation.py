"""Suno's `bark.generation` over our stages: the same names, arguments and results.

A thin facade for code written for suno-ai/bark and its forks; `bark.suno` has the objects that it
hands out. The only module in the package that keeps loaded models; new code holds a `bark.Bark`
object instead.

Differences on purpose: the key/value cache is always on (it changes speed, never tokens);
``temp=0`` is the most likely token; every function takes a ``seed``; ``path`` names another model,
"nano" for instance; wrong input is a `ValueError` that says what is allowed; the environment is
read when needed, not at import."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .checkpoints.find import SUNO_REPO, SUNO_SIZES, ModelFiles, find_model, stage_file
from .checkpoints.formats import SUNO_NAMES
from .checkpoints.load import KINDS
from .devices import choose_device, mps_wanted, offload_wanted, small_wanted
from .errors import SettingError
from .languages import SUPPORTED_LANGS as SUPPORTED_LANGS
from .settings import Settings
from .speech import spoken_info
from .storage.hub import user_cache
from .suno import SunoBark, SunoCodec, SunoGPT, SunoTokenizer
from .text.tidy import clean
from .tokens import BARK
from .voice.names import SUNO_PRESETS, made_by
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
REMOTE_MODEL_PATHS = {
    f"{key}_small" if size == "small" else key: {
        "repo_id": SUNO_REPO,
        "file_name": f"{SUNO_NAMES[stage]}{SUNO_SIZES[size]}.pt",
    }
    for size in SUNO_SIZES
    for key, stage in STAGES.items()
}
DOWNLOADS = "models"  # what serp-ai's notebooks give as `path`: the folder that they download to
MODEL_DEFAULT: Any = "the model's own default"  # where None means something else

models: dict[str, Any] = {}  # "text": {"model", "tokenizer"}, "coarse", "fine", "codec"
models_devices: dict[str, torch.device] = {}
_sources: dict[str, ModelFiles] = {}  # where each loaded model came from


def __getattr__(name: str) -> Any:
    """Return what Suno's module reads from the environment when it is imported."""
    if name == "CACHE_DIR":
        return str(user_cache() / "suno" / "bark_v0")
    if name == "GLOBAL_ENABLE_MPS":
        return mps_wanted()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def clear_cuda_cache() -> None:
    """Give memory that nothing holds back to the GPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.synchronize()


_clear_cuda_cache = clear_cuda_cache  # its name in Suno's module


def clean_models(model_key: str | None = None) -> None:
    """Forget one loaded model, or all of them, and free their memory."""
    for key in [model_key] if model_key is not None else list(models):
        models.pop(key, None)
        models_devices.pop(key, None)
        _sources.pop(key, None)
    clear_cuda_cache()


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
    path : a model name or folder other than Suno's ("nano", a fine-tuned folder), or the file of
        this stage, such as ``semantic_output/pytorch_model.bin``.

    Returns
    -------
    The network; for "text" ``{"model": network, "tokenizer": tokenizer}``. All three answer as
    Suno's do.
    """
    if model_type not in STAGES:
        raise SettingError("model_type", repr(model_type), ", ".join(STAGES))
    files = _find(use_small, path, STAGES[model_type])
    if force_reload or _is_other(files, path, model_type):
        network = files.load(STAGES[model_type]).eval()
        made: Any = network if model_type == "fine" else SunoGPT(network)
        if model_type == "text":
            made = {"model": made, "tokenizer": SunoTokenizer(files.load_tokenizer())}
        _place(model_type, network, use_gpu, files)
        models[model_type] = made  # last: what failed half-way is not there
    return models[model_type]


def load_codec_model(
    use_gpu: bool = True, force_reload: bool = False, path: str | Path | None = None
) -> SunoCodec:
    """Load the codec, or return the loaded one; it answers as encodec's does at 6 kbit/s."""
    files = _find(False, path, "codec")
    if force_reload or _is_other(files, path, "codec"):
        codec = files.load_codec()
        _place("codec", codec, use_gpu, files)
        models["codec"] = SunoCodec(codec)
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
    text_model_path: str | Path | None = None,
    coarse_model_path: str | Path | None = None,
    fine_model_path: str | Path | None = None,
) -> None:
    """Load all four models, each large or small, on the GPU or not.

    `path` names another model for all of them, and serp-ai's ``text_model_path`` and its like the
    fine-tuned file or folder of one stage."""
    load_model(text_use_gpu, text_use_small, force_reload, "text", text_model_path or path)
    load_model(coarse_use_gpu, coarse_use_small, force_reload, "coarse", coarse_model_path or path)
    load_model(fine_use_gpu, fine_use_small, force_reload, "fine", fine_model_path or path)
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
        "semantic_top_p": _top_p(top_p),
        "max_duration_s": max_gen_duration_s,
        "allow_early_stop": None if allow_early_stop else False,
    }
    return _bark("text").text_tokens(
        text,
        history_prompt,
        seed=seed,
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
        "coarse_top_p": _top_p(top_p),
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
    bark = _bark("fine")
    with torch.random.fork_rng() if temp is None else nullcontext():  # a greedy call draws nothing
        codes = bark.fine_codes(
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
    return _sources[key].resolve_voice(voice, strict=False)


def spoken_voice_info(text: str, seed: int | None, voice: Voice | None) -> dict[str, str]:
    """Return the info of what the loaded models speak, as `bark.Generation.voice` has it."""
    files = _sources["coarse"]
    info = spoken_info(files.name, clean(text), seed, voice)
    return info | made_by(files.name, files.layout, files.codec_type)


def _given(changes: Mapping[str, Any], **explicit: Any) -> Any:
    """Return the settings that a caller of Suno's functions has chosen; the model's hold elsewhere.

    None stands for "not given", but in `explicit`, where it means something: see `MODEL_DEFAULT`.
    """
    chosen = {name: value for name, value in changes.items() if value is not None}
    return chosen | {name: v for name, v in explicit.items() if v is not MODEL_DEFAULT}


def _top_p(top_p: float | None) -> float | None:
    """Return `top_p`; above 1 Suno's code keeps every token."""
    return None if top_p is not None and top_p > 1 else top_p


def _bark(key: str) -> SunoBark:
    """Return the loaded parts as one Bark; part `key` is there, others may be absent."""
    if key != "codec":
        load_model(model_type=key)
    files, text = _sources[key], models.get("text") or {}
    coarse, codec = models.get("coarse"), models.get("codec")
    networks = {
        "semantic": text["model"].network if text else None,
        "coarse": coarse.network if coarse else None,
        "fine": models.get("fine"),
    }
    stages: Any = {
        stage: KINDS[stage](network, files.layout) if network is not None else None
        for stage, network in networks.items()
    }
    return SunoBark(
        stages["semantic"],
        stages["coarse"],
        stages["fine"],
        codec.codec if codec else None,  # type: ignore[arg-type]  # absent ones are not asked for
        text.get("tokenizer"),  # type: ignore[arg-type]
        files.layout,
        name=files.name,
        defaults=Settings().changed(files.defaults),
        devices={STAGES.get(each, each): device for each, device in models_devices.items()},
        offload=_offload(),
        voices_folder=files.voices,
        files=files,
        stage=STAGES.get(key),
    )


def _find(use_small: bool, path: str | Path | None, part: str) -> ModelFiles:
    """Find the model asked for; without `path` the one already in use, so that all stages come from
    one family.
    """
    if path is not None and not _is_downloads(path):
        return stage_file(Path(path), part) if Path(path).is_file() else find_model(path)
    for files in _sources.values():
        if files.name not in ("small", "large") and part in files.places:
            return files
    small = use_small or (small_wanted() if USE_SMALL_MODELS is None else USE_SMALL_MODELS)
    return find_model("small" if small else "large")


def _is_downloads(path: str | Path) -> bool:
    """Tell whether `path` is serp-ai's folder of downloads without any weights in it."""
    return str(path) == DOWNLOADS and not any(
        (Path(path) / file["file_name"]).is_file() for file in REMOTE_MODEL_PATHS.values()
    )


def _is_other(files: ModelFiles, path: str | Path | None, key: str) -> bool:
    """Tell whether a model must be loaded: none is, or `path` names another one."""
    part = STAGES.get(key, key)  # by place, since copies of a model may share its name
    return key not in models or (
        path is not None and _sources[key].places.get(part) != files.places.get(part)
    )


def _place(key: str, holder: Any, use_gpu: bool, files: ModelFiles) -> None:
    """Note the device of a model and, unless it is borrowed for each call, move it there."""
    device = choose_device("auto" if use_gpu else "cpu", STAGES.get(key, key))
    models_devices[key], _sources[key] = device, files
    if not _offload():
        holder.to(device)


def _offload() -> bool:
    return offload_wanted() if OFFLOAD_CPU is None else OFFLOAD_CPU
