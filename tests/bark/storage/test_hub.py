"""The network door: cached files cost no network, downloads arrive whole or not at all, absence is explained."""

import hashlib
import json
import socket
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bark.errors import MissingFileError, StorageError
from bark.storage import hub

COMMIT = "0" * 40
CONTENT = bytes(range(256)) * 4000  # 1 MB


class FakeHub(BaseHTTPRequestHandler):
    """Serves ``/{repo}/resolve/main/{file}`` as the hub does; can cut connections and forget lengths."""

    def __init__(self, files, faults, *args):
        self.files, self.faults = files, faults
        super().__init__(*args)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        name = self.path.lstrip("/").split("?")[0].replace("/resolve/main/", ":")
        name = name.replace("/resolve/v1/", "@v1:").replace(f"/resolve/{COMMIT}/", f"@{COMMIT}:")
        self.faults.setdefault("requests", []).append(name)
        content = self.files.get(name)
        if content is None:
            known = any(other.split(":")[0] == name.split(":")[0] for other in self.files)
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first = 0
        if "Range" in self.headers:
            first = int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
        self.send_response(206 if first else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
        if linked := self.faults.get("sha256"):
            self.send_header("X-Linked-Etag", f'"{linked}"')
            self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", str(len(content) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self.faults.setdefault("starts", []).append(first)
            cut = self.faults["cuts"].pop(0) if self.faults.get("cuts") else len(content)
            self.wfile.write(content[first : first + cut])
            if cut < len(content) - first:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HF_HOME", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "huggingface" / "hub"


@pytest.fixture
def server(cache, monkeypatch):
    """A hub on this machine; `files` is what it has, `faults` how it fails."""
    files: dict[str, bytes] = {"me/model:weights.bin": CONTENT, "me/model:config.json": b"{}"}
    faults: dict[str, list] = {}
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(FakeHub, files, faults))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    # huggingface_hub itself read the switch when the tests began
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{httpd.server_port}")
    yield files, faults
    httpd.shutdown()
    httpd.server_close()


def whole_files(cache: Path) -> list[bytes]:
    return [
        path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file() and "snapshots" in path.parts
    ]


def test_download_and_then_no_more_network(server, cache):
    _, faults = server
    path = hub.fetch("me/model", "weights.bin")
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache)
    faults["requests"].clear()
    assert hub.fetch("me/model", "weights.bin") == path
    assert faults["requests"] == []


def test_a_pinned_repository_is_fetched_at_its_commit(server, monkeypatch):
    files, faults = server
    files[f"me/model@{COMMIT}:weights.bin"] = b"pinned"
    monkeypatch.setitem(hub.REVISIONS, "me/model", COMMIT)
    path = hub.fetch("me/model", "weights.bin")
    assert path.read_bytes() == b"pinned" and path.parent.name == COMMIT
    assert set(faults["requests"]) == {f"me/model@{COMMIT}:weights.bin"}


def test_what_another_program_fetched_serves_where_no_revision_was_named(server, monkeypatch):
    newest = hub.fetch("me/model", "weights.bin")
    monkeypatch.setitem(hub.REVISIONS, "me/model", "1" * 40)
    assert hub.cached("me/model", "weights.bin") == newest
    assert hub.cached("me/model@" + "1" * 40, "weights.bin") is None


def test_a_revision_is_fetched_as_named_and_told(server, caplog):
    files, faults = server
    files["me/model@v1:weights.bin"] = b"first"
    path = hub.fetch("me/model@v1", "weights.bin")
    assert path.read_bytes() == b"first" and COMMIT in caplog.text
    faults["requests"].clear()
    assert hub.cached("me/model@v1", "weights.bin") == path and faults["requests"] == []
    with pytest.raises(MissingFileError, match="hf download me/model --revision v1 absent.bin"):
        hub.fetch("me/model@v1", "absent.bin")


def test_what_was_fetched_is_recorded_and_told_on_one_line(server, cache, caplog):
    hub.fetch_all([("me/model", "weights.bin"), ("me/model", "config.json")])
    lines = [json.loads(line) for line in hub._record().read_text().splitlines()]
    assert [(line["file"], line["bytes"], line["sha256"]) for line in lines] == [
        ("weights.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest()),
        ("config.json", 2, hashlib.sha256(b"{}").hexdigest()),
    ]
    assert {(line["repo"], line["revision"]) for line in lines} == {("me/model", COMMIT)}
    told = [text for text in caplog.messages if text.startswith("fetched")]
    assert told == [f"fetched me/model@{COMMIT}: weights.bin, config.json (1.0 MB)"]


def test_a_file_that_is_not_what_the_hub_says_is_removed(server, cache):
    files, faults = server
    faults["sha256"] = hashlib.sha256(b"what was uploaded").hexdigest()
    with pytest.raises(MissingFileError, match=r"SHA-256 .*it was removed"):
        hub.fetch("me/model", "weights.bin")
    assert hub.cached("me/model", "weights.bin") is None and not whole_files(cache)
    faults["sha256"] = hashlib.sha256(CONTENT).hexdigest()
    assert hub.fetch("me/model", "weights.bin").read_bytes() == CONTENT


def test_a_cached_file_of_another_size_is_fetched_again(server, cache, caplog, monkeypatch):
    path = hub.fetch("me/model", "weights.bin")
    path.resolve().write_bytes(CONTENT[:1000])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingFileError, match="missing files of me/model: weights.bin"):
        hub.fetch("me/model", "weights.bin")
    assert "it has 1,000 bytes, and had 1,024,000 when it was fetched" in caplog.text
    monkeypatch.delenv("HF_HUB_OFFLINE")
    hub._record().open("ab").write(b'{"torn')
    assert hub.fetch("me/model", "weights.bin").read_bytes() == CONTENT


def test_without_a_home_folder_nothing_is_recorded(server, cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless(path):
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "expanduser", lambda p: homeless(p) if str(p)[0] == "~" else p)
    path = hub.fetch("me/model", "weights.bin")
    assert hub.fetch("me/model", "weights.bin") == path


def test_a_file_that_another_program_fetched_is_taken_as_it_is(server, cache):
    path = hub.fetch("me/model", "weights.bin")
    hub._record().unlink()
    path.resolve().write_bytes(b"theirs")
    assert hub.fetch("me/model", "weights.bin").read_bytes() == b"theirs"


def test_a_cut_download_goes_on_where_it_stopped(server, monkeypatch):
    _, faults = server
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    faults["cuts"] = [300_000] * 3
    assert hub.fetch("me/model", "weights.bin").read_bytes() == CONTENT
    assert faults["starts"] == [0, 300_000, 600_000, 900_000]


def test_a_failed_download_leaves_nothing_at_the_final_name(server, cache, monkeypatch):
    _, faults = server
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    faults["cuts"] = [100_000] * 20
    with pytest.raises(MissingFileError, match=r"the download failed \(\w+\)"):
        hub.fetch("me/model", "weights.bin")
    assert whole_files(cache) == []
    faults["cuts"] = []
    assert hub.fetch("me/model", "weights.bin").read_bytes() == CONTENT


def test_absent_files_and_repositories_are_told_apart(server):
    with pytest.raises(
        MissingFileError,
        match=r"missing files of me/model: x\.bin; looked in .*; me/model has no such",
    ):
        hub.fetch("me/model", "x.bin")
    with pytest.raises(MissingFileError, match="the hub has no you/model, or it is private"):
        hub.fetch("you/model", "x.bin")


def test_first_of_several(server):
    assert hub.fetch_first("me/model", ["model.safetensors", "weights.bin"]).name == "weights.bin"
    with pytest.raises(MissingFileError, match=r"me/model: a\.bin"):
        hub.fetch_first("me/model", ["a.bin", "b.bin"])


def test_optional_files(server, monkeypatch):
    assert hub.fetch_optional("me/model", "a.json") is None
    found = hub.fetch_optional("me/model", "config.json")
    assert found is not None
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.fetch_optional("me/model", "config.json") == found
    assert hub.fetch_optional("me/model", "weights.bin") is None


def test_unreachable_hub_is_asked_once(cache, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr(
        "time.sleep", lambda seconds: None
    )  # the client waits longer before each of its tries
    asked = []
    download = hub._download
    monkeypatch.setattr(hub, "_download", lambda *wanted: asked.append(wanted) or download(*wanted))
    with pytest.raises(
        MissingFileError, match=r"me/model: 1\.bin, 2\.bin.*the hub cannot be reached"
    ):
        hub.fetch_all([("me/model", "1.bin"), ("me/model", "2.bin")])
    with pytest.raises(MissingFileError, match=r"me/model: 1\.bin;.*the hub cannot be reached"):
        hub.fetch_first("me/model", ["1.bin", "2.bin"])
    assert len(asked) == 2


@pytest.mark.parametrize("value", ["1", "ON", "true", "yes"])
def test_offline_opens_no_connection(cache, monkeypatch, value):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(MissingFileError, match="the network is off: HF_HUB_OFFLINE"):
        hub.fetch("me/model", "weights.bin")


def test_all_missing_files_are_in_one_error(cache, tmp_path):
    wanted = [("a/b", "1.bin"), ("c/d", "2.bin"), ("a/b", "3.bin")]
    with pytest.raises(MissingFileError) as caught:
        hub.fetch_all(
            wanted, looked=[tmp_path / "mine"], later=[("c/d", "2.bin"), ("e/f", "4.bin")]
        )
    text = str(caught.value)
    assert "missing files of a/b: 1.bin, 3.bin; c/d: 2.bin; e/f: 4.bin" in text
    assert f"looked in {tmp_path / 'mine'}, {cache}" in text
    assert text.endswith(
        "run: hf download a/b 1.bin 3.bin && hf download c/d 2.bin && hf download e/f 4.bin"
    )


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub.cache_folder() == Path.home() / ".cache" / "huggingface" / "hub"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert hub.cache_folder() == tmp_path / "x" / "huggingface" / "hub"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "h"))
    assert hub.cache_folder() == tmp_path / "h" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "c"))
    assert hub.cache_folder() == tmp_path / "c"


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(StorageError, match="cannot write .*: got No space left on device.*HF_HOME"):
        hub.fetch("me/model", "weights.bin")


@pytest.mark.parametrize("repo", ["a/b/c", "a//b", "-x/y", "a b/c"])
def test_names_that_cannot_be_a_repository(cache, repo):
    with pytest.raises(MissingFileError, match="cannot be a hub id"):
        hub.fetch(repo, "x")
