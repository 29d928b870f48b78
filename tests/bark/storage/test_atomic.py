"""Errors say four things; files are written whole or not at all, also through kill -9 and a full disk."""

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from bark import errors
from bark.errors import BarkError, MissingFileError, SettingError, StorageError, VoiceError
from bark.storage.atomic import atomic_write, atomic_write_bytes, atomic_write_text
from tests.conftest import ROOT


def test_an_error_says_what_got_allowed_and_fix():
    assert str(VoiceError("x is wrong", 3, 2, "Do y")) == "x is wrong: got 3; allowed: 2. Do y"
    assert str(VoiceError("x is wrong")) == "x is wrong"
    assert str(VoiceError("x is wrong", 0, "")) == "x is wrong: got 0; allowed: "
    assert str(VoiceError("x is wrong", fix="Do y")) == "x is wrong. Do y"


def test_every_error_is_a_value_error_and_prints_like_one():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) >= 8
    for kind in kinds:
        assert issubclass(kind, BarkError) and issubclass(kind, ValueError)
        assert str(kind("no file x", "a", "b")) == "no file x: got a; allowed: b"
    assert issubclass(MissingFileError, FileNotFoundError) and issubclass(StorageError, OSError)


def test_a_file_appears_whole_with_ordinary_permissions(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    atomic_write_text(path, "Grüße")
    assert path.read_bytes() == "Grüße".encode()
    plain = tmp_path / "plain"
    plain.write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "fault", [RuntimeError("x"), KeyboardInterrupt(), SettingError("x"), MissingFileError("x")]
)
def test_a_fault_in_the_writer_keeps_the_earlier_file_and_comes_out_as_it_is(tmp_path, fault):
    path = tmp_path / "a.npz"
    path.write_text("old")
    with pytest.raises(type(fault)), atomic_write(path) as temporary:
        assert temporary.suffix == ".npz" and temporary.parent.parent == tmp_path
        temporary.write_text("half")
        raise fault
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_an_unwritable_place_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a", tmp_path / "folder", "/proc/nothing/a"):
        with pytest.raises(
            StorageError, match="cannot write .*: got .*Choose a folder you may write to"
        ):
            atomic_write_bytes(path, b"x")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_keeps_the_earlier_file(tmp_path):
    """A limit on the size of files stands for the full disk."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    script = (
        "import resource, signal, sys\n"
        "from bark.storage.atomic import atomic_write_bytes\n"
        "from bark.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    atomic_write_bytes(sys.argv[1], bytes(5000))\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert "cannot write" in done.stdout and "too large" in done.stdout.lower()
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_kill_9_leaves_the_old_or_the_new_file(tmp_path):
    path = tmp_path / "a.bin"
    size = 400_000
    script = (
        "import sys\n"
        "from bark.storage.atomic import atomic_write_bytes\n"
        "for n in range(1_000_000):\n"
        f"    atomic_write_bytes(sys.argv[1], bytes([n % 256]) * {size})\n"
        "    print('.', end='', flush=True)\n"
    )
    for trial in range(6):
        running = subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env={**os.environ},
        )
        assert running.stdout is not None and running.stdout.read(1) == b"."
        time.sleep(0.011 * (trial + 1))
        running.send_signal(signal.SIGKILL)
        running.wait()
        running.stdout.close()
        data = path.read_bytes()
        assert len(data) == size and len(set(data)) == 1
