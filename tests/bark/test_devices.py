"""Devices are chosen by name, numbers by device, and a borrowed device is always given back."""

import pytest
import torch

from bark import devices
from bark.devices import borrowed, choose_device, choose_dtype
from bark.errors import SettingError


def fake_cuda(monkeypatch, count=2, bfloat16=True):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bfloat16)


def fake_mps(monkeypatch, there=True):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there)


@pytest.fixture(autouse=True)
def plain_machine(request, monkeypatch):
    if request.node.get_closest_marker("cuda"):
        return
    fake_cuda(monkeypatch, 0)
    fake_mps(monkeypatch, False)
    for name in ("SUNO_ENABLE_MPS", "SUNO_OFFLOAD_CPU", "SUNO_USE_SMALL_MODELS"):
        monkeypatch.delenv(name, raising=False)


def test_auto_takes_cuda_then_mps_if_allowed_then_cpu(monkeypatch):
    assert choose_device() == torch.device("cpu")
    fake_mps(monkeypatch)
    assert choose_device() == torch.device("cpu")
    monkeypatch.setenv("SUNO_ENABLE_MPS", "True")
    assert choose_device() == choose_device("auto", "semantic") == torch.device("mps")
    assert choose_device("auto", "codec") == torch.device("cpu")
    fake_cuda(monkeypatch)
    assert choose_device() == choose_device("auto", "codec") == torch.device("cuda:0")


def test_named_devices(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(torch.device("cpu")) == torch.device("cpu")
    fake_cuda(monkeypatch)
    fake_mps(monkeypatch)
    assert choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("mps", "codec") == torch.device("mps")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "gpu", "cuda:x", "", "meta", "cpu:7"])
def test_absent_devices_are_refused(name):
    with pytest.raises(SettingError, match=r"device: got '.*'; allowed: auto, cpu($|\. )"):
        choose_device(name)


@pytest.mark.parametrize(
    ("cuda", "why"), [(None, "built for CPUs only"), ("13.0", "torch sees no GPU")]
)
def test_cuda_that_is_absent_says_why(monkeypatch, cuda, why):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(SettingError, match=why):
        choose_device("cuda")


def test_the_error_lists_what_is_there(monkeypatch):
    fake_cuda(monkeypatch)
    fake_mps(monkeypatch)
    with pytest.raises(
        SettingError, match="device: got 'cuda:2'; allowed: auto, cpu, cuda:0, cuda:1, mps"
    ):
        choose_device("cuda:2")


def test_dtype_follows_the_device(monkeypatch):
    assert choose_dtype("auto", "cpu") == choose_dtype("auto", "mps") == torch.float32
    fake_cuda(monkeypatch, bfloat16=True)
    assert choose_dtype("auto", "cuda") == torch.bfloat16
    fake_cuda(monkeypatch, bfloat16=False)
    assert choose_dtype("auto", torch.device("cuda:1")) == torch.float16
    assert choose_dtype("float32", "cuda") == torch.float32
    with pytest.raises(
        SettingError, match="dtype: got 'int4'; allowed: auto, float32, bfloat16, float16, int8"
    ):
        choose_dtype("int4")


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_is_done_and_warned_of_where_the_cpu_does_not_compute_in_it(
    pretended_cpu, name, caplog
):
    assert choose_dtype(name) == getattr(torch, name)
    assert ("does not compute in" in caplog.text) == (name not in pretended_cpu)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", True),
        ("True", True),
        ("yes", True),
        ("", False),
        ("0", False),
        ("False", False),
        ("off", False),
    ],
)
def test_sunos_switches_are_true_booleans_read_when_asked(monkeypatch, value, expected):
    switches = {
        "SUNO_OFFLOAD_CPU": devices.offload_wanted,
        "SUNO_USE_SMALL_MODELS": devices.small_wanted,
        "SUNO_ENABLE_MPS": devices.mps_wanted,
    }
    for name, wanted in switches.items():
        assert not wanted()
        monkeypatch.setenv(name, value)
        assert wanted() is expected


class Traveller(torch.nn.Module):
    """A network that writes down where it was sent; "meta" stands for another device."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.visits = []

    def to(self, device):
        self.visits.append(str(torch.device(device)))
        return self

    @property
    def at(self):
        return self.visits[-1]


def test_a_borrowed_device_is_given_back():
    network = Traveller()
    with borrowed(network, "meta") as same:
        assert same is network
        assert network.at == "meta"
    assert network.visits == ["meta", "cpu"]


def test_a_borrowed_device_is_given_back_after_an_error():
    network = Traveller()
    with pytest.raises(ZeroDivisionError), borrowed(network, "meta"):
        raise ZeroDivisionError
    assert network.at == "cpu"


def test_a_move_that_fails_half_way_is_undone():
    class Stuck(Traveller):
        def to(self, device):
            super().to(device)
            if self.at == "meta":
                raise torch.OutOfMemoryError("no room")
            return self

    network = Stuck()
    with pytest.raises(torch.OutOfMemoryError), borrowed(network, "meta"):
        pass
    assert network.visits == ["meta", "cpu"]


def test_nothing_moves_if_it_is_there_already():
    network = Traveller()
    with borrowed(network, "cpu"):
        pass
    assert network.visits == []


def test_a_codec_is_borrowed_by_its_network():
    class Codec:
        def __init__(self):
            self.network = Traveller()

        def to(self, device):
            self.network.to(device)
            return self

    codec = Codec()
    with borrowed(codec, "meta"):
        assert codec.network.at == "meta"
    assert codec.network.visits == ["meta", "cpu"]


def test_one_stage_at_a_time_is_on_the_device():
    """What offload promises: while one network visits, the others wait at home."""
    networks = [Traveller() for _ in range(3)]
    for network in networks:
        with borrowed(network, "meta"):
            assert [other.visits[-1:] == ["meta"] for other in networks].count(True) == 1


@pytest.mark.cuda
def test_borrowing_a_real_gpu_gives_its_memory_back():
    layer = torch.nn.Linear(2000, 2000)
    weights = layer.weight.detach().clone()
    before = torch.cuda.memory_allocated()
    with borrowed(layer, "cuda"):
        assert layer.weight.is_cuda
    assert torch.cuda.memory_allocated() == before
    assert torch.equal(layer.weight, weights)


@pytest.mark.parametrize(
    ("name", "able", "warned"),
    [
        ("bfloat16", {"avx2": True, "avx512_bf16": False}, True),
        ("bfloat16", {"amx_bf16": True}, False),
        ("float16", {"avx512_bf16": True}, True),
        ("float16", {"avx512_fp16": True}, False),
        ("float32", {}, False),
        ("auto", {}, False),
    ],
)
def test_a_type_the_cpu_does_not_compute_in_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    able: dict,
    warned: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    choose_dtype(name)
    assert ("float32 is likely to be faster" in caplog.text) == warned
    monkeypatch.setattr(
        "platform.machine", lambda: "arm64"
    )  # torch does not tell what an ARM can do
    caplog.clear()
    choose_dtype(name)
    assert not caplog.text
