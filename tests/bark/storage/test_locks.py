"""Locks and leftovers: one holder at a time, links are never followed, dead owners leave nothing."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from bark.errors import StorageError, TakenError
from bark.storage import atomic
from bark.storage.atomic import atomic_write, atomic_write_text, workshop
from bark.storage.locks import lock, owner

FORK = multiprocessing.get_context("fork")


def hold(path: Path, ready) -> None:
    with lock(path) as mine:
        assert mine
        ready.set()
        time.sleep(60)


def test_a_lock_has_one_holder_and_goes_with_it(tmp_path):
    path, ready = tmp_path / "a.lock", FORK.Event()
    process = FORK.Process(target=hold, args=(path, ready))
    process.start()
    assert ready.wait(20)
    with lock(path) as mine:
        assert not mine and owner(path).startswith(f"process {process.pid} on ")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert path.exists()
    with lock(path) as mine, lock(path) as again:
        assert mine and not again and owner(path).startswith(f"process {os.getpid()} on ")
    assert not path.exists()
    assert owner(path) == "no name in its lock"


def test_a_link_is_neither_followed_nor_emptied(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "a.lock").symlink_to(precious)
    (tmp_path / "b.lock").symlink_to(tmp_path / "new")
    for name in ("a.lock", "b.lock"):
        with pytest.raises(StorageError, match=f"cannot write .*{name}"), lock(tmp_path / name):
            pass
    assert precious.read_text() == "mine" and not (tmp_path / "new").exists()


def test_a_file_that_is_no_lock_of_ours_is_not_emptied_by_who_does_not_get_it(tmp_path):
    path = tmp_path / "a.lock"
    with lock(path):
        before = path.read_bytes()
        with lock(path) as mine:
            assert not mine
        assert path.read_bytes() == before


def write_once(path: str) -> int:
    try:
        with atomic_write(path, exclusive=True) as temporary:
            temporary.write_text(str(os.getpid()))
            time.sleep(0.05)
    except TakenError:
        return 0
    return os.getpid()


def test_of_several_exclusive_writers_one_wins_and_nothing_is_replaced(tmp_path):
    path = tmp_path / "v.npz"
    with FORK.Pool(4) as pool:
        winners = [pid for pid in pool.map(write_once, [str(path)] * 8, chunksize=1) if pid]
    assert len(winners) == 1 and path.read_text() == str(winners[0])
    with pytest.raises(TakenError, match=r"v\.npz exists already. Choose another name"):
        with atomic_write(path, exclusive=True) as temporary:
            temporary.write_text("new")
    assert [item.name for item in tmp_path.iterdir()] == ["v.npz"]


def test_leftovers_of_a_day_go_at_the_next_write_and_younger_ones_stay(tmp_path, monkeypatch):
    child = os.fork()
    if child == 0:  # dies in the middle of two files and a workshop
        with atomic_write(tmp_path / "a.bin"), atomic_write(tmp_path / "b.bin"):
            with workshop(tmp_path) as shop:
                (shop / "half").write_text("x")
                os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (place,) = tmp_path.iterdir()
    assert len(list(place.iterdir())) == 3
    atomic_write_text(tmp_path / "c.txt", "x")
    assert len(list(place.iterdir())) == 3
    monkeypatch.setattr(atomic, "A_DAY", -10)
    with workshop(tmp_path / "." / "sub" / ".."):
        assert len(list(place.iterdir())) == 1
    atomic_write_text(tmp_path / "c.txt", "y")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["c.txt", "sub"]


def test_what_cannot_be_swept_keeps_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "A_DAY", -10)
    place = tmp_path / f".bark-tmp-{os.getuid()}"
    for number in range(10):
        (place / f"{number}" / ".lock").mkdir(parents=True)  # no lock can be taken here
        (place / f"{number}.txt").touch()
    atomic_write_text(tmp_path / "c.txt", "x")
    assert {item.suffix for item in place.iterdir()} == {""}


def test_what_is_in_use_is_never_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "A_DAY", -10)
    with workshop(tmp_path) as shop:
        atomic_write_text(tmp_path / "c.txt", "x")
        assert shop.is_dir()


def test_a_link_in_place_of_the_folder_for_temporary_files_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f".bark-tmp-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="is a link. Remove it"):
        atomic_write_text(tmp_path / "a.txt", "x")
    assert not list((tmp_path / "elsewhere").iterdir())


def write_many(folder: str) -> None:
    for number in range(200):
        atomic_write_text(Path(folder) / f"{os.getpid()}-{number}", "x")


def test_many_writers_of_one_folder_do_not_disturb_each_other(tmp_path):
    with FORK.Pool(4) as pool:
        pool.map(write_many, [str(tmp_path)] * 4, chunksize=1)
    assert len(list(tmp_path.iterdir())) == 800
