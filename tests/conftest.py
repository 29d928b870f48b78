"""Where tests find the references, and the rules of the house they run under."""

import os
import platform
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from bark import Bark

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let SIGINT interrupt, also where a shell started the tests in the background and had it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of references beside the checkout; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip(
            "needs the reference results in ../shared, which lie beside the project's own checkout only"
        )
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """The reference results of Suno's, fairseq's, gitmylo's and encodec's own code."""
    return shared / "golden"


@pytest.fixture(scope="session")
def tiny_bark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a seeded random tiny model; `Bark.from_pretrained` takes it as a name."""
    from tests.tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def nano() -> "Bark":
    """The shipped model, loaded once for every test that only speaks with it."""
    from bark import Bark

    return Bark.from_pretrained("nano", device="cpu")


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Let no test hand on its device and dtype: accelerate keeps them as long as a process lives."""
    yield
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state(True)
        state.GradientState._reset_state()


CPUS: dict[str, dict[str, str]] = {  # a kind of CPU → its instructions, and what they multiply
    "of a torch that does not tell": {},
    "avx2": {"avx2": "float32"},
    "avx512": {"avx512_bf16": "bfloat16", "avx512_fp16": "float16", "avx512_vnni": "int8"},
    "amx": {"amx_bf16": "bfloat16", "amx_int8": "int8"},
}


@pytest.fixture(params=CPUS)
def pretended_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Pretend four kinds of CPU, whatever this one is; the value is what it computes in.

    A training's or a codec's test that chooses by the CPU asks for this; devices are pretended in
    tests/bark/test_devices.py, numbers of threads where they count.
    """
    able = dict.fromkeys(CPUS[request.param], True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    if not able:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return set(CPUS[request.param].values())


@pytest.fixture
def static(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode as on a GPU, with static tensors only, but run what would be captured as a CUDA graph."""
    from bark.stages import decoding

    monkeypatch.setattr(decoding, "worth_a_graph", lambda weight: True)
    monkeypatch.setattr(decoding, "captured", lambda run, device: run)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; what a kill left is not one, and is swept after a day."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.parent.name.startswith(".bark-tmp-")
    }
