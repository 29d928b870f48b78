"""Reads Suno-format golden checkpoints and cases for the tests of the three stages."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray

from bark.stages.gpt import GPT, GPTConfig
from bark.stages.gpt_fine import FineGPT, FineGPTConfig
from bark.stages.sampling import Sampling

ALLOWED: list[Any] = [
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
]


def read_checkpoint(path: Path) -> GPT | FineGPT:
    """Read one file of golden group A; a plain loader, so that a fault in bark.checkpoints is not hidden here."""
    with torch.serialization.safe_globals(ALLOWED):
        stored = torch.load(path, weights_only=True)
    args = dict(stored["model_args"])
    if "vocab_size" in args:
        args["input_vocab_size"] = args["output_vocab_size"] = args.pop("vocab_size")
    model = FineGPT(FineGPTConfig(**args)) if "n_codes_total" in args else GPT(GPTConfig(**args))
    state = {key.removeprefix("_orig_mod."): value for key, value in stored["model"].items()}
    model.load_state_dict(
        {key: value for key, value in state.items() if not key.endswith(".attn.bias")}
    )
    return model.eval()


class Case(SimpleNamespace):
    """One golden npz: its arrays as attributes, `params` as a dict, `voice` if a history was given."""

    params: dict[str, Any]
    expected: np.ndarray
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> "Case":
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
        voice = None
        if "history_semantic_prompt" in arrays:
            voice = SimpleNamespace(
                **{
                    kind: arrays[f"history_{kind}_prompt"]
                    for kind in ("semantic", "coarse", "fine")
                }
            )
        return cls(
            params=json.loads(str(arrays["params"])),
            expected=arrays["expected"],
            voice=voice,
            arrays=arrays,
        )

    @property
    def sampling(self) -> Sampling:
        return Sampling(
            self.params.get("temp", 0.7), self.params.get("top_k"), self.params.get("top_p")
        )


class Chooser:
    """Replaces the random draw by the deterministic one a golden case names; records what it saw."""

    def __init__(self, name: str = "argmax", uniforms: np.ndarray | None = None) -> None:
        self.name, self.uniforms, self.seen = name, uniforms, []  # type: ignore[var-annotated]

    @classmethod
    def of(cls, case: Case) -> "Chooser":
        return cls(str(case.arrays.get("sampler", "argmax")), case.arrays.get("u"))

    def __call__(
        self, probs: torch.Tensor, generators: Sequence[torch.Generator | None]
    ) -> torch.Tensor:
        step = len(self.seen)
        self.seen.append(probs)
        if self.name == "argmax":
            return probs.argmax(dim=-1)
        if self.name == "last_survivor":
            return probs.masked_fill(probs == 0, 2.0).argmin(dim=-1)
        assert self.uniforms is not None
        sums = probs.double().cumsum(dim=-1)
        wanted = torch.as_tensor(self.uniforms[step], device=sums.device) * sums[..., -1]
        return (sums > wanted[..., None]).int().argmax(dim=-1)


def random_gpt(seed: int = 0, **sizes: int) -> GPT:
    """A small network with lively random weights: tokens depend on what was read."""
    torch.manual_seed(seed)
    merged: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 64, **sizes}
    model = GPT(GPTConfig(**merged)).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.6)
    return model


def message(call: Callable[[], object], error: type[Exception]) -> str:
    """Return what `call` complains about; fail if it does not."""
    try:
        call()
    except error as complaint:
        return str(complaint)
    raise AssertionError(f"no {error.__name__} raised")
