"""Reading torch files: the odd but honest ones load, and nothing a file asks for is ever run."""

import argparse
import io
import json
import os
import pickle
import tarfile
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bark.errors import CheckpointError, MissingFileError
from bark.storage.json import read_json
from bark.storage.weights import FAIRSEQ_STAND_INS, read_torch_file, read_weights


class Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class WithState:
    """Pickles as an object whose class would be asked to take a state."""

    def __reduce__(self):
        return argparse.ArgumentParser, (), {"prog": "x"}


def payloads(marker: Path) -> dict[str, object]:
    """Objects that would create `marker`, or reach for what could, when unpickled."""
    command = f"touch '{marker}'"
    code = f"open({str(marker)!r}, 'w').close()"
    import importlib
    import runpy
    import subprocess

    attack = {
        "system": Call(os.system, command),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, str(marker), "w"),
        "popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "import": Call(importlib.import_module, "antigravity"),
        "getattr": Call(getattr, os, "system"),
        "runpy": Call(runpy.run_path, str(marker)),
        "torch": Call(torch.load, str(marker)),
        "hub": Call(torch.hub.load, "a/b", "c"),
        "touch": Call(Path.touch, marker),
        "state": WithState(),
        "giant": Call(bytearray, 2**45),
        "tensor": Call(torch.Tensor, 2**20, 2**20),
    }
    nested = {
        "model": OrderedDict(weight=torch.ones(3)),
        "best_val_loss": [{"x": (Call(os.system, command),)}],
    }
    return {**attack, "nested": nested}


def save_zip(path: Path, content: object, protocol: int) -> None:
    torch.save(content, path, pickle_protocol=protocol)


def save_legacy(path: Path, content: object, protocol: int) -> None:
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=False)


def save_plain(path: Path, content: object, protocol: int) -> None:
    path.write_bytes(pickle.dumps(content, protocol))


def save_tar(path: Path, content: object, protocol: int) -> None:
    data = pickle.dumps(content, protocol)
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("save", [save_zip, save_legacy, save_plain, save_tar])
@pytest.mark.parametrize("stand_ins", [(), FAIRSEQ_STAND_INS])
def test_no_payload_runs(tmp_path, monkeypatch, save, stand_ins, force):
    if force:  # torch's switch for unsafe loading must not reach us
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "marker"
    refused = 0
    for name, content in payloads(marker).items():
        for protocol in range(6):
            for suffix in (".pt", ".safetensors"):
                path = tmp_path / f"{name}{protocol}{suffix}"
                try:
                    save(path, content, protocol)
                except (
                    pickle.PicklingError,
                    TypeError,
                    AttributeError,
                ):  # old protocols cannot say it
                    continue
                with pytest.raises(CheckpointError) as caught:
                    read_torch_file(path, stand_ins) if suffix == ".pt" else read_weights(path)
                assert not marker.exists()
                assert "weights_only" not in str(caught.value)
                assert "trust" not in str(caught.value)
                path.unlink()
                refused += 1
    assert refused > 100


def test_a_refusal_names_the_call(tmp_path):
    torch.save({"model": {}, "x": Call(os.system, "true")}, tmp_path / "bad.pt")
    with pytest.raises(
        CheckpointError, match=r"bad\.pt is refused: besides weights it calls '(posix|nt)\.system'"
    ):
        read_torch_file(tmp_path / "bad.pt")


def numpy_file(path: Path, module: str, value: np.generic) -> Path:
    """A checkpoint with a numpy number under numpy 1's or numpy 2's module name."""
    torch.save({"model": {"w": torch.ones(4)}, "best_val_loss": value}, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            if name.endswith("/data.pkl"):
                for spelling in (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"):
                    data = data.replace(spelling, f"c{module}\n".encode())
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
@pytest.mark.parametrize("value", [np.float32(2.5), np.float64(2.5), np.int64(3)])
def test_numpy_numbers_of_both_names_load(tmp_path, module, value):
    before = set(map(str, torch.serialization.get_safe_globals()))
    content = read_torch_file(numpy_file(tmp_path / "a.pt", module, value))
    assert torch.equal(content["model"]["w"], torch.ones(4))
    assert set(map(str, torch.serialization.get_safe_globals())) == before


def test_fairseq_files_load_without_fairseq(golden):
    reference = read_torch_file(golden / "D_hubert/hubert_tiny.pt", FAIRSEQ_STAND_INS)["model"]
    for name in ("hubert_tiny_namespace", "hubert_tiny_omegaconf", "hubert_tiny_fp16"):
        model = read_torch_file(golden / f"D_hubert/{name}.pt", FAIRSEQ_STAND_INS)["model"]
        assert list(model) == list(reference)
        assert all(torch.allclose(model[key].float(), reference[key], atol=2e-3) for key in model)
    with pytest.raises(
        CheckpointError, match=r"calls 'fairseq\.data.*hubert\.HubertFeatures reads it"
    ):
        read_torch_file(golden / "D_hubert/hubert_tiny.pt")


def test_legacy_files_load(tmp_path):
    save_legacy(tmp_path / "old.pt", {"model": {"w": torch.arange(5.0)}}, 2)
    assert torch.equal(read_torch_file(tmp_path / "old.pt")["model"]["w"], torch.arange(5.0))


def test_tensors_of_a_zip_are_mapped_not_read(tmp_path):
    torch.save(
        {"w": torch.zeros(1_000_000), "optimizer": torch.zeros(50_000_000)}, tmp_path / "big.pt"
    )
    resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096  # noqa: E731
    before = resident()
    content = read_torch_file(tmp_path / "big.pt")
    assert content["w"].sum() == 0
    assert resident() - before < 60e6  # bytes; the file has 204 MB


def test_tensors_larger_than_their_file_are_refused(tmp_path):
    torch.save({"w": torch.zeros(1).expand(2**40)}, tmp_path / "giant.pt")
    with pytest.raises(CheckpointError, match="claim more than the file holds"):
        read_torch_file(tmp_path / "giant.pt")


@pytest.mark.parametrize("copies", [6, 15])
def test_tied_and_overlapping_tensors_load(tmp_path, copies):
    """As in real forks: slices of one array, rows that overlap, and any number of tied names."""
    base = torch.arange(6_000_000.0)
    content = {f"slice{n}": base[n:][:5_900_000] for n in range(copies)}
    content |= {f"tied{n}": base for n in range(100)}
    content["rows"] = base[:4_000].as_strided((999, 16), (4, 1))
    torch.save({"model": content}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 25e6
    weights = read_weights(tmp_path / "a.pt")
    assert all(torch.equal(tensor, content[name]) for name, tensor in weights.items())


def test_a_pickle_of_too_many_steps_is_refused_in_time(tmp_path):
    torch.save([{} for _ in range(600_000)], tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="its pickle has too many steps; allowed: 1,000,000"):
        read_torch_file(tmp_path / "a.pt")


def test_shared_containers_are_walked_once(tmp_path):
    content: object = torch.ones(1)
    for _ in range(60):  # 2**60 leaves, if one walked them all
        content = [content, content]
    torch.save(content, tmp_path / "a.pt")
    read_torch_file(tmp_path / "a.pt")


def test_compressed_members_are_refused(tmp_path):
    torch.save({"w": torch.zeros(1000)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match="compressed member"):
        read_torch_file(tmp_path / "b.pt")


def test_damage_is_one_error_class(tmp_path):
    """Every cut and many random changes end in a result or a CheckpointError, never in anything else."""
    torch.save(
        {"model": OrderedDict(w=torch.arange(30.0)), "n": 3, "loss": np.float64(1)},
        tmp_path / "a.pt",
    )
    whole = (tmp_path / "a.pt").read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "b.pt"
    outcomes = {"read": 0, "refused": 0}
    for trial in range(600):
        data = bytearray(whole[: random.integers(1, len(whole))] if trial % 3 == 0 else whole)
        for _ in range(random.integers(0, 4) if trial % 3 == 0 else random.integers(1, 20)):
            data[random.integers(len(data))] = random.integers(256)
        path.write_bytes(data)
        try:
            read_torch_file(path)
            outcomes["read"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"  <html><body>login</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"RIFF0000WAVE", "damaged, cut short or no file of torch.save"),
        (b"PK\x03\x04" + b"0" * 100, "damaged, cut short or no file of torch.save"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    (tmp_path / "text.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_torch_file(tmp_path / "text.pt")


def test_absent_file(tmp_path):
    with pytest.raises(MissingFileError, match="no file"):
        read_torch_file(tmp_path / "none.pt")


def test_threads_may_read_at_once(tmp_path):
    path = numpy_file(tmp_path / "a.pt", "numpy.core.multiarray", np.float64(1))
    failures = []

    def work():
        try:
            for _ in range(20):
                read_torch_file(path)
        except CheckpointError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_read_weights_takes_off_a_prefix_in_every_container(tmp_path):
    state = {
        "semantic.a": torch.ones(2),
        "semantic.b": torch.zeros(3),
        "coarse.a": torch.full((1,), 7.0),
    }
    save_file(state, tmp_path / "model.safetensors")
    torch.save(state, tmp_path / "model.bin")
    torch.save({"model": state}, tmp_path / "wrapped.bin")
    save_file({"semantic.a": state["semantic.a"]}, tmp_path / "model-1.safetensors")
    save_file(
        {"semantic.b": state["semantic.b"], "coarse.a": state["coarse.a"]},
        tmp_path / "model-2.safetensors",
    )
    index = (
        '{"weight_map": {"semantic.a": "model-1.safetensors", "semantic.b": "model-2.safetensors"}}'
    )
    (tmp_path / "model.safetensors.index.json").write_text(index)
    for name in ("model.safetensors", "model.bin", "wrapped.bin", "model.safetensors.index.json"):
        weights = read_weights(tmp_path / name, "semantic.")
        assert sorted(weights) == ["a", "b"]
        assert torch.equal(weights["b"], state["semantic.b"])


@pytest.mark.parametrize(
    "shard", ["../other.safetensors", "/etc/passwd", "a/b.safetensors", "..\\x"]
)
def test_shards_stay_in_their_folder(tmp_path, shard):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(CheckpointError, match=r"weight_map.*allowed: the name of a file beside it"):
        read_weights(path)


def test_missing_shards_are_listed(tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text('{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}')
    with pytest.raises(MissingFileError, match=r"m-1\.safetensors, m-2\.safetensors"):
        read_weights(path)


def test_broken_safetensors(tmp_path):
    save_file({"a": torch.ones(100)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    for length in (1, 7, 8, 30, len(whole) - 1):
        (tmp_path / "b.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            read_weights(tmp_path / "b.safetensors")


@pytest.mark.parametrize("content", ["[1]", "{", "[" * 100_000, "\ufffe"])
def test_broken_json(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json is not (a )?JSON"):
        read_json(tmp_path / "config.json")


def test_a_state_must_hold_tensors(tmp_path):
    torch.save({"a": torch.ones(1), "b": 3}, tmp_path / "a.bin")
    with pytest.raises(CheckpointError, match="entry 'b': got int; allowed: a name with a tensor"):
        read_weights(tmp_path / "a.bin")
    torch.save([torch.ones(1)], tmp_path / "b.bin")
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_weights(tmp_path / "b.bin")
