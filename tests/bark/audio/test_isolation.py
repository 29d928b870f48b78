"""A decoder that dies, hangs or lies costs one error, and the files after it are read."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bark.audio import isolation
from bark.audio.read import load_audio, open_audio
from bark.audio.write import encode_audio
from bark.errors import AudioError
from tests.bark.audio.test_audio import tone
from tests.conftest import ROOT

RATE = 24_000
needs_signals = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def fresh() -> None:
    isolation._pool.cache_clear()


@pytest.fixture
def recording(tmp_path) -> Path:
    path = tmp_path / "long.mp3"
    path.write_bytes(encode_audio(tone(20), RATE, "mp3"))
    return path


def idle() -> list[int]:
    return [worker.process.pid for worker in isolation._pool(os.getpid()).idle]


def gone(process: int) -> bool:
    for _ in range(100):
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "opus"])
@pytest.mark.parametrize("channels", [1, 2])
def test_isolated_reading_gives_the_same_samples(tmp_path, kind, channels):
    path = tmp_path / f"a.{kind}"
    sound = np.repeat(tone(6)[:, None], channels, axis=1)
    path.write_bytes(encode_audio(sound, RATE, kind))
    here, there = open_audio(path), open_audio(path, isolated=True)
    assert (here.isolated, there.isolated) == (False, True)
    assert (here.frames, here.channels) == (there.frames, there.channels)
    for span in ((None, None), (1.5, 2.25), (5.0, 99.0)):
        np.testing.assert_array_equal(here.read(*span), there.read(*span))
    path.write_bytes(path.read_bytes()[:60])
    messages = []
    for isolated in (False, True):
        with pytest.raises(AudioError, match=str(path)) as caught:
            open_audio(path, isolated=isolated)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_one_worker_serves_one_file_after_the_other(recording):
    load_audio(recording, RATE)
    first = idle()
    for _ in range(3):
        load_audio(recording, 16_000, start=1, end=2)
        next(open_audio(recording).blocks())  # left in the middle
    assert idle() == first and len(first) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_the_worker_keeps_no_file_open(recording):
    load_audio(recording, RATE)
    next(open_audio(recording).blocks())
    held = [os.readlink(entry) for entry in Path(f"/proc/{idle()[0]}/fd").iterdir()]
    assert str(recording) not in held


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_worker_that_dies_is_one_error_and_is_replaced(recording, number):
    whole = load_audio(recording, RATE)
    source = open_audio(recording)
    worker = idle()[0]
    blocks = source.blocks()
    next(blocks)
    os.kill(worker, number)
    with pytest.raises(AudioError, match=rf"long\.mp3: makes its decoder fail: got {number.name}"):
        list(blocks)
    np.testing.assert_array_equal(load_audio(recording, RATE), whole)
    assert idle() != [worker] and gone(worker)
    os.kill(idle()[0], number)  # while nobody asks
    time.sleep(0.1)
    np.testing.assert_array_equal(load_audio(recording, RATE), whole)


@needs_signals
def test_a_worker_that_hangs_is_one_error(recording, monkeypatch):
    load_audio(recording, RATE)
    monkeypatch.setattr(isolation, "TIMEOUT", 0.3)
    os.kill(idle()[0], signal.SIGSTOP)
    with pytest.raises(AudioError, match=r"long\.mp3: takes too long to decode: got more than"):
        open_audio(recording)
    monkeypatch.undo()
    assert len(load_audio(recording, RATE)) == 20 * RATE


@pytest.mark.parametrize("answer", [b"", b"x" * 7, b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{}", b"hello"])
def test_a_worker_that_lies_is_one_error(recording, monkeypatch, answer):
    program = f"import sys; sys.stdout.buffer.write({answer!r})"
    start = subprocess.Popen
    monkeypatch.setattr(
        isolation.subprocess,
        "Popen",
        lambda command, **how: start([sys.executable, "-c", program], **how),
    )
    with pytest.raises(AudioError, match=r"long\.mp3: makes its decoder fail"):
        open_audio(recording)
    monkeypatch.undo()
    assert open_audio(recording).frames == 20 * RATE


def test_a_worker_that_cannot_be_started_is_one_error(recording, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(AudioError, match=r"long\.mp3: needs a process .* cannot be started"):
        open_audio(recording)


def test_threads_read_at_the_same_time(recording, tmp_path):
    whole = load_audio(recording, RATE)
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"ID3" + bytes(200))
    results: list[object] = []

    def read(path: Path) -> None:
        for _ in range(3):
            try:
                results.append(np.array_equal(load_audio(path, RATE), whole))
            except AudioError as error:
                results.append(str(error).startswith(str(path)) and path == broken)

    threads = [
        threading.Thread(target=read, args=(path,)) for path in (recording, broken, recording)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 9 and len(idle()) == 1


def test_two_recordings_read_in_turns(recording):
    one, other = open_audio(recording).blocks(), open_audio(recording).blocks()
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("way", ["-c", "stdin", "file"])
def test_any_kind_of_parent_in_any_folder(recording, tmp_path, way):
    """A notebook's or ``python -c``'s main module cannot be imported by another process."""
    program = (
        "import os, sys; from bark.audio import open_audio, isolation\n"
        "print(open_audio(sys.argv[1]).frames)\n"
        "print(isolation._pool(os.getpid()).idle[0].process.pid)\n"
        "1 / 0\n"  # at import, were this imported
    )
    (tmp_path / "numpy.py").write_text("raise SystemExit('a file of the folder was imported')")
    script = tmp_path / "folder" / "script.py"
    script.parent.mkdir()
    script.write_text(program)
    command = {"-c": ["-P", "-c", program], "stdin": ["-P", "-"], "file": [str(script)]}[way]
    done = subprocess.run(
        [sys.executable, *command, recording.name],
        input=program if way == "stdin" else None,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    frames, worker = done.stdout.split()
    assert frames == str(20 * RATE) and "ZeroDivisionError" in done.stderr
    assert gone(int(worker))


@needs_signals
def test_the_worker_ends_with_a_killed_parent(recording):
    program = (
        "import os, sys; from bark.audio import open_audio, isolation\n"
        "open_audio(sys.argv[1])\n"
        "print(isolation._pool(os.getpid()).idle[0].process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(recording)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9 and gone(int(done.stdout))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_a_worker_of_its_own(recording):
    load_audio(recording, RATE)
    parents = idle()
    child = os.fork()
    if not child:
        status = 1
        try:
            load_audio(recording, RATE)
            status = int(idle() == parents)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    load_audio(recording, RATE)
    assert idle() == parents


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads /proc")
def test_the_worker_is_small_and_limited(recording):
    load_audio(recording, RATE)
    limits = Path(f"/proc/{idle()[0]}/limits").read_text()
    assert f"Max data size             {512 << 20}" in limits
    maps = Path(f"/proc/{idle()[0]}/maps").read_text()
    assert "libtorch" not in maps and "sndfile" in maps
