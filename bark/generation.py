"""Suno's `bark.generation` over our stages: the same names, arguments and results.

A thin facade for code written for suno-ai/bark. The only module in the package that keeps loaded
models; new code holds a `bark.Bark` object instead.

Differences on purpose: the key/value cache is always on (it changes speed, never tokens);
``temp=0`` is the most likely token; every function takes a ``seed``; ``path`` names another model,
"nano" for instance; wrong input is a `ValueError` that says what is allowed; the environment is
read when needed, not at import."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark.checkpoints.find import ModelFiles, find_model
from bark.codec.base import Codec
from bark.stages.coarse import CoarseStage
from bark.stages.fine import FineStage
from bark.stages.sampling import Sampling
from bark.stages.semantic import SemanticStage
from bark.text.tidy import TextTokenizer, fit_tokens, tidy
from bark.voice.names import SUNO_PRESETS
from bark.voice.voice import Voice, VoiceLike

from .devices import borrowed, choose_device, offload_wanted, small_wanted
from .errors import SettingError
from .languages import SUPPORTED_LANGS as SUPPORTED_LANGS
from .tokens import BARK, TokenLayout

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
    temp: float = 0.7,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: bool = False,
    min_eos_p: float | None = 0.2,
    max_gen_duration_s: float | None = None,
    allow_early_stop: bool = True,
    use_kv_caching: bool = False,
    seed: int | None = None,
) -> np.ndarray:
    """Turn text into semantic tokens (S,) int64. `use_kv_caching` is accepted and has no effect: it
    is on.
    """
    loaded = load_model(model_type="text")
    tokenizer: TextTokenizer = loaded["tokenizer"]
    layout, voice = _layout("text"), _voice(history_prompt, "text")
    stage = SemanticStage(loaded["model"], layout)
    with _on_device("text", loaded["model"]):
        return stage.generate(
            fit_tokens(tokenizer.encode(tidy(text)), layout.text_window, on_overflow="cut"),
            None if voice is None else voice.semantic,
            sampling=Sampling(temp, top_k, top_p),
            min_eos_p=min_eos_p,
            max_duration_s=max_gen_duration_s,
            allow_early_stop=allow_early_stop,
            generator=_generator("text", seed),
            progress=not silent,
        )


def generate_coarse(
    x_semantic: np.ndarray,
    history_prompt: VoiceLike | None = None,
    temp: float = 0.7,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: bool = False,
    max_coarse_history: int = 630,
    sliding_window_len: int = 60,
    use_kv_caching: bool = False,
    seed: int | None = None,
) -> np.ndarray:
    """Turn semantic tokens (S,) into coarse codes (2, T) int32. `use_kv_caching` has no effect: it
    is on.
    """
    network = load_model(model_type="coarse")
    stage = CoarseStage(network, _layout("coarse"))
    with _on_device("coarse", network):
        codes = stage.generate(
            x_semantic,
            _voice(history_prompt, "coarse"),
            sampling=Sampling(temp, top_k, top_p),
            max_coarse_history=max_coarse_history,
            sliding_window_len=sliding_window_len,
            generator=_generator("coarse", seed),
            progress=not silent,
        )
    return codes.astype(np.int32)


def generate_fine(
    x_coarse_gen: np.ndarray,
    history_prompt: VoiceLike | None = None,
    temp: float | None = 0.5,
    silent: bool = True,
    seed: int | None = None,
) -> np.ndarray:
    """Turn coarse codes (1…7, T) into all eight codebooks (8, T) int32; `temp` None takes the
    likeliest.
    """
    network = load_model(model_type="fine")
    voice = _voice(history_prompt, "fine")
    stage = FineStage(network, _layout("fine"))
    with _on_device("fine", network):
        codes = stage.generate(
            x_coarse_gen,
            None if voice is None else voice.fine,
            temperature=temp,
            generator=_generator("fine", seed),
            progress=not silent,
        )
    return codes.astype(np.int32)


def codec_decode(fine_tokens: np.ndarray) -> np.ndarray:
    """Turn codes (K, T) into audio (320*T,) float32 at 24 kHz. Loads the codec only."""
    codec = load_codec_model()
    with _on_device("codec", codec):
        return codec.decode(np.asarray(fine_tokens))


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


def _on_device(key: str, holder: Any) -> Any:
    return borrowed(holder, models_devices[key])


def _offload() -> bool:
    return offload_wanted() if OFFLOAD_CPU is None else OFFLOAD_CPU


def _layout(key: str) -> TokenLayout:
    return _sources[key].layout


def _voice(voice: VoiceLike | None, key: str) -> Voice | None:
    if voice is None:
        return None
    return _sources[key].resolve_voice(voice)


def _generator(key: str, seed: int | None) -> torch.Generator | None:
    """None draws from torch's global generator, as Suno's code does.

    A GPU's global one cannot be drawn from while another thread captures a CUDA graph: there it is
    one of our own, seeded from the global one of the CPU."""
    device = models_devices[key]
    if seed is None:
        if device.type != "cuda":
            return None
        seed = int(torch.randint(2**31, ()))
    return torch.Generator(device).manual_seed(seed)
