"""What the system does to a command: closed pipes, strange names, no home, no memory: one line each."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bark.commandline import FAILED, UNREAD, OneLineParser, complain, log_to_stderr, run, say
from bark.errors import MissingFileError, SettingError, out_of_memory
from bark.storage.files import expand
from tests.conftest import ROOT


def child(program: str, **options) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("environment", {})
    return subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, env=environment, **options
    )


class Unread(io.RawIOBase):
    """A pipe whose reader has left."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise BrokenPipeError


SAYING = "import sys\nfrom bark.commandline import OneLineParser, run, say\n"


@pytest.mark.parametrize(
    "work",
    [
        "[say('x' * 1000) for _ in range(1000)] and 0",
        "sys.stdout.buffer.write(bytes(10 ** 6)) and 0",
        "sys.stdout.write('few') and 0",
        "OneLineParser(epilog='x' * 10 ** 6).parse_args(['--help'])",
    ],
)
def test_a_closed_pipe_is_quiet_and_not_a_success(work: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = child(f"{SAYING}sys.exit(run('x', lambda: {work}))", stdout=writer)
    os.close(writer)
    _, told = done.communicate()
    assert (done.returncode, told) == (UNREAD, b"")


def test_a_closed_pipe_of_the_command_itself() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = child("import sys\nfrom booth.cli.main import main\nsys.exit(main(['voices', 'list']))",
                 stdout=writer)  # fmt: skip
    os.close(writer)
    _, told = done.communicate()
    assert (done.returncode, told) == (UNREAD, b"")


def test_closed_streams_do_not_become_files_of_ours(tmp_path: Path) -> None:
    """Without care the first file that is opened is number 1, and prints land in it."""
    program = (
        f"{SAYING}import os\n"
        f"def work():\n    file = open({str(tmp_path / 'a')!r}, 'w')\n"
        "    os.write(1, b'noise'); say('words'); file.write('mine'); file.close(); return 0\n"
        "sys.exit(run('x', work))"
    )
    for close in ((1,), (0, 1), (0, 1, 2)):
        done = child(program, preexec_fn=lambda close=close: [os.close(n) for n in close])
        done.communicate()
        assert done.returncode == 0 and (tmp_path / "a").read_text() == "mine"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_any_letters_reach_any_stream(encoding: str) -> None:
    program = (
        f"{SAYING}def work():\n    say('Grüße \\udcff \\x1b[31m 語')\n    print('語\\udc80')\n"
        "    raise ValueError if False else __import__('bark.errors').errors.BarkError('ä\\udcff\\n')\n"
        "sys.exit(run('x', work))"
    )
    done = child(program, stdout=subprocess.PIPE, environment={"PYTHONIOENCODING": encoding})
    out, told = done.communicate()
    assert done.returncode == FAILED and b"\x1b" not in out and b"\\x1b[31m" in out
    assert told.count(b"\n") == 1 and b"\\udcff\\n" in told and b"Traceback" not in told


def test_a_complaint_of_the_parser_is_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OneLineParser(prog="x")
    parser.add_argument("--kind", choices=["a"])
    assert run("x", lambda: bool(parser.parse_args(["--kind", "b\n\x1b\udcff" * 5000]))) == 2
    told = capsys.readouterr().err
    assert len(told) < 1200 and told.count("\n") == 1 and "\x1b" not in told


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
                     "allocate memory: you tried to allocate 4 bytes. Error code 12"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)  # fmt: skip
def test_no_memory_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise error

    assert out_of_memory(error) and run("x", work) == FAILED
    assert capsys.readouterr().err.startswith("x: there is not enough memory. Try a smaller model")


def test_torch_says_no_memory_as_we_expect(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("x", lambda: torch.zeros(2**52, dtype=torch.uint8).numel()) == FAILED
    assert "there is not enough memory" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="another fault"):
        run("x", lambda: (_ for _ in ()).throw(RuntimeError("another fault")))


def test_homes_that_are_not_known_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert expand("a/~b") == Path("a/~b") and expand("~") == Path.home()
    with pytest.raises(MissingFileError, match="^~nosuchuser stands for a home folder that is not"):
        expand("~nosuchuser/x")
    with pytest.raises(MissingFileError, match=r"zero byte: got a\\x00b"):
        expand("a\0b")
    program = (
        "import os, pwd\nos.environ.pop('HOME', None)\n"
        "def unknown(*_): raise KeyError\npwd.getpwuid = unknown\n"
        "from bark.voice.names import places_of\nfrom bark.storage.files import expand\n"
        "from bark import Bark\nassert places_of()\n"
        "assert Bark.from_pretrained('nano').resolve_voice('en_1' if False else None) is None\n"
        "try:\n    expand('~/x')\nexcept Exception as error:\n    print(type(error).__name__)\n"
    )
    done = child(program, stdout=subprocess.PIPE)
    out, told = done.communicate()
    assert (out.strip(), told) == (b"MissingFileError", b"")


def test_messages_are_one_line_of_bounded_length() -> None:
    error = SettingError("a\nb\x1b[0m" + "x" * 10**6, "\ud800\n" * 10**6, "y\t", "z" * 10**6)
    assert len(str(error)) < 4000 and "\n" not in str(error) and "\x1b" not in str(error)
    got = str(SettingError("x", "\u202e" * 500)).removeprefix("x: got ")
    assert len(got) == 80 and got.startswith("\\u202e")
    assert str(SettingError("x", Path("a" * 200))) == "x: got " + "a" * 200
    assert str(SettingError("x", 10**5000)) == "x: got a huge int"


def test_say_to_no_stream_and_to_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    say("words")
    unread = io.TextIOWrapper(io.BufferedWriter(Unread()))
    monkeypatch.setattr(sys, "stderr", unread)
    assert complain("x", "y", 2) == 2


def test_logged_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers.clear()
    try:
        log_to_stderr()
        logging.getLogger("x").warning(
            "%s:\ta \u0915\u094d\u200d\u0937 note", "a\x1b]0;me\x07\x9b2J.wav"
        )
    finally:
        root.handlers[:], root.level = before
    assert (
        capsys.readouterr().err == "a\\x1b]0;me\\x07\\x9b2J.wav:\ta \u0915\u094d\u200d\u0937 note\n"
    )
