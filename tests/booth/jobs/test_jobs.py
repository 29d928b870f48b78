"""Long jobs: spoken as `speak_long` would, whoever is killed, whoever looks, whoever works."""

import json
import random
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bark.errors import BarkError, MissingFileError, SettingError, SilentError, StorageError
from bark.longform.drift import AGAIN, Heard
from bark.longform.speak import speak_long
from bark.pipeline import Bark
from bark.stages.seeds import part_seed
from bark.voice.names import check_name
from booth.jobs import store as store_module
from booth.jobs import worker as worker_module
from booth.jobs.order import Order, planned
from booth.jobs.store import JobStore
from tests.booth.jobs.bench import (
    LINES,
    Speaker,
    another,
    create,
    finish,
    journal,
    record_of,
    see,
    work,
)


@pytest.fixture(scope="module")
def bark() -> Speaker:
    return Speaker()


@pytest.fixture(scope="module")
def nano() -> Bark:
    return Bark.from_pretrained("nano")


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs")


@pytest.fixture(scope="module")
def done(bark, tmp_path_factory) -> tuple[JobStore, str]:
    """A job that was never disturbed."""
    store = JobStore(tmp_path_factory.mktemp("done"))
    name = create(store, bark)
    finish(store, bark, name)
    return store, name


def test_a_dialogue_is_spoken_as_speak_long_would(nano, store):
    text, brief = "ANA: one.\n[voice:dario] two.", {"max_duration_s": 0.3}
    order = Order(text, "alba", {"ANA": "bruno"}, brief, seed=3)
    record, voices = planned(order, nano, nano.resolve_voice)
    name = store.create(record, voices)
    assert [line.speaker for line in record.parts] == ["ANA", "dario"]
    cast = {**order.voices, "dario": "dario"}
    assert {who: voice.digest for who, voice in store.voices(name, nano.layout).items()} == {
        who: nano.resolve_voice(voice).digest for who, voice in cast.items()
    }
    finish(store, nano, name)
    whole = speak_long(nano, text, "alba", voices=order.voices, seed=3, **brief)
    kept = store.journal(name)
    for part in whole.parts:
        tokens = kept.tokens(part.number)
        assert tokens.digest == part.tokens.digest
        assert np.array_equal(nano.decode(tokens.fine), part.audio)


def test_without_a_voice_the_speakers_first_part_is_the_voice(bark, store):
    name = create(store, bark, None)
    finish(store, bark, name)
    kept = store.journal(name)
    first = kept.tokens(1).canonical(bark.layout)
    for number, voice in ((1, None), (2, first), (4, first)):
        alone = bark.generate(
            LINES[number - 1], voice, seed=part_seed(5, number), progress=None, cancel=None
        )
        assert kept.tokens(number).digest == alone.tokens.digest


@pytest.mark.parametrize("cut", range(6))
def test_after_a_kill_it_goes_on_byte_for_byte(bark, done, tmp_path, cut):
    """A killed process leaves any beginning of the journal, and notes of what it was doing."""
    store, name = done
    whole = journal(store, name)
    with another(store, name, tmp_path) as copy:
        path = copy.folder / name / "parts.journal"
        at = random.Random(cut).randrange(len(whole))
        path.write_bytes(whole[:at])
        (copy.folder / name / "pace.json").write_text('{"part":1,"share":0.5}')
        (copy.folder / ".locks").mkdir()
        (copy.folder / ".locks" / f"{name}.lock").write_text("of the dead")
        finish(copy, bark, name)
        assert journal(copy, name) == whole
        assert not (copy.folder / name / "pace.json").exists()


def test_pause_leaves_the_part_and_resume_speaks_the_same(bark, done, store):
    name, slow = create(store, bark), Speaker()
    slow.turns = threading.Semaphore(2)  # the third part is at work when the worker stops
    work(store, slow, lambda: len(store.parts(name)) == 2)
    store.pause(name)
    before = journal(store, name)
    state = see(store, bark, name)
    assert state.status == "paused" and state.parts_done == 2
    other = create(store, bark, seed=6)
    finish(store, bark, other)  # a paused job holds nobody up, and is not worked on
    assert journal(store, name) == before
    store.resume(name)
    finish(store, bark, name)
    assert journal(store, name) == journal(*done)


def test_pausing_ends_the_part_at_work(bark, store, monkeypatch):
    begun = threading.Event()

    def endless(*args, **kwargs):
        begun.set()
        settings = args[5]
        while True:
            settings["progress"]("semantic", 1, 2)
            if settings["cancel"].wait(0.01):
                raise worker_module.Cancelled("cancelled")

    monkeypatch.setattr(worker_module, "speak_turn", endless)
    monkeypatch.setattr(worker_module, "TELL", 0.0)
    name = create(store, bark)

    def until() -> bool:
        state = see(store, bark, name)
        if begun.is_set() and state.parts[0].progress:
            assert state.status == "running" and state.parts[0].state == "running"
            assert state.parts[0].progress == 0.2
            store.pause(name)
        return state.status == "paused" and not store.is_held(name)

    work(store, bark, until)


def test_redo_draws_one_part_anew_with_the_seed_that_is_asked_for(bark, done, tmp_path):
    store, name = done
    with another(store, name, tmp_path) as copy:
        before = dict(copy.parts(name))
        assert copy.redo(name, 2, 77) == 77
        assert [(w.number, w.take, w.seed) for w in copy.waiting(name, copy.record(name), before)]
        state = see(copy, bark, name)
        assert state.status == "queued" and state.parts[1].state == "queued"
        assert state.parts[1].seconds  # the take that there is can be heard meanwhile
        assert finish(copy, bark, name) == 1
        after = copy.parts(name)
        assert (after[2].take, after[2].seed) == (1, 77) and after[2] != before[2]
        assert all(after[n] == before[n] for n in (1, 3, 4))
        assert copy.redo(name, 2) == part_seed(5, 2, 2)
        assert copy.redo(name, 2, 9) == 9  # the later wish counts
        finish(copy, bark, name)
        assert (copy.parts(name)[2].take, copy.parts(name)[2].seed) == (3, 9)


def test_redo_of_what_is_not_there_is_refused(bark, done):
    store, name = done
    for number in (0, 5, -1):
        with pytest.raises(SettingError, match="part: got .*; allowed: 1 to 4"):
            store.redo(name, number)
    with pytest.raises(SettingError, match="seed"):
        store.redo(name, 1, -1)


def test_a_part_that_stays_silent_fails_and_another_seed_mends_it(bark, store, monkeypatch):
    real = worker_module.speak_turn

    def silent(bark, text, seed, *args, **kwargs):
        if text == "two" and seed != 42:
            raise SilentError("nothing was spoken for 'two'")
        return real(bark, text, seed, *args, **kwargs)

    monkeypatch.setattr(worker_module, "speak_turn", silent)
    name = create(store, bark)
    finish(store, bark, name)
    state = see(store, bark, name)
    assert state.status == "failed" and "nothing was spoken" in state.error
    assert [part.state for part in state.parts] == ["done", "failed", "queued", "queued"]
    store.redo(name, 2, 42)
    finish(store, bark, name)
    assert see(store, bark, name).status == "done"


class Ear:
    """Hears "three" too high when it is spoken first, and everything else alike."""

    def __init__(self, bark: Any) -> None:
        self.told: list[str] = []

    def __call__(self, text: str, voice: Any, audio: Any) -> Heard:
        self.told.append(text)
        high = text == "three" and self.told.count(text) == 1
        return Heard(likeness=0.8, pitch=400.0 if high else 200.0)


def test_a_part_that_falls_out_is_spoken_again_also_after_a_kill(bark, tmp_path, monkeypatch):
    monkeypatch.setattr(worker_module, "PartListener", Ear)
    kept, slow = [], Speaker()
    slow.turns = threading.Semaphore(1)
    for place in ("straight", "stopped"):
        store = JobStore(tmp_path / place)
        record = msgspec.structs.replace(record_of(bark, voice="alba"), drift="repair")
        name = store.create(record, [bark.resolve_voice("alba")])
        if place == "stopped":  # the next worker knows from the journal how the first part sounded
            work(store, slow, lambda s=store, n=name: see(s, bark, n).parts_done == 1)
            assert see(store, bark, name).status != "done"
        finish(store, bark, name)
        parts = see(store, bark, name).parts
        assert [part.spoken for part in parts] == [1, 1, 2, 1]
        assert parts[2].heard == {"likeness": 0.8, "pitch": 200.0}
        assert parts[2].seed == part_seed(part_seed(5, 3), 0, AGAIN + 1)
        kept.append(store.parts(name))
    assert kept[0] == kept[1]


def test_a_job_whose_tools_are_gone_fails_and_says_why(bark, store, monkeypatch):
    def missing(bark: Any) -> None:
        raise MissingFileError("pocketsphinx is not installed")

    monkeypatch.setattr(worker_module, "PartListener", missing)
    name = store.create(msgspec.structs.replace(record_of(bark), drift="measure"), [])
    finish(store, bark, name)
    assert see(store, bark, name).error == "pocketsphinx is not installed"


def test_a_job_of_an_earlier_version_stays_the_same_job(bark):
    """Its journal holds the hash of its record."""
    keys = msgspec.json.decode(msgspec.json.encode(record_of(bark))).keys()
    assert not {"drift", "postprocess"} & keys


def test_what_is_our_fault_is_told_in_general_and_the_rest_goes_on(bark, store, monkeypatch):
    real = worker_module.speak_turn

    def broken(bark, text, *args, **kwargs):
        if text == "secret":
            raise RuntimeError("/a/path of the machine")
        return real(bark, text, *args, **kwargs)

    monkeypatch.setattr(worker_module, "speak_turn", broken)
    bad = store.create(record_of(bark, ("secret",)), [])
    good = store.create(record_of(bark, ("one",)), [])
    finish(store, bark, good)
    assert see(store, bark, bad).error == "the server failed"
    assert see(store, bark, good).status == "done"


def test_two_workers_share_the_jobs_and_speak_no_part_twice(bark, done, store):
    names = [create(store, bark) for _ in range(3)]
    calls = work(
        store, bark, lambda: all(see(store, bark, n).status == "done" for n in names), workers=2
    )
    assert calls == len(names) * len(LINES)
    assert {journal(store, name) for name in names} == {journal(*done)}


def test_a_deleted_job_goes_also_while_it_is_worked_on(bark, store):
    name, other = create(store, bark), create(store, bark)
    with store.held(name):
        store.delete(name)
        assert (store.folder / name).is_dir() and name not in store.ids()
        for use in (store.path, store.pause, store.resume, store.record, store.delete):
            with pytest.raises(MissingFileError, match="there is no job"):
                use(name)
    finish(store, bark, other)  # its worker sweeps
    assert not (store.folder / name).exists()
    store.delete(other)
    assert [path.name for path in store.folder.iterdir()] == [".locks"]
    assert not list((store.folder / ".locks").iterdir())


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/etc", ".locks", "a" * 32 + "/", "A" * 32, "0" * 32, "a\0b", "%2e%2e"],
)
def test_whatever_is_no_id_is_no_job(store, name):
    with pytest.raises(MissingFileError, match="there is no job"):
        store.path(name)


def test_names_are_random_and_sort_by_age(bark, store):
    names = [create(store, bark) for _ in range(5)]
    assert store.ids() == sorted(names) == names or len({n[:12] for n in names}) < 5
    assert len({name[12:] for name in names}) == 5


def test_a_job_of_another_model_waits_for_it(bark, store):
    record = msgspec.structs.replace(record_of(bark), model="large")
    name = store.create(record, [])
    other = create(store, bark)
    finish(store, bark, other)
    state = see(store, bark, name)
    assert state.status == "failed" and "large" in state.error and not store.parts(name)


def test_a_damaged_journal_is_told_and_holds_nobody_up(bark, done, tmp_path):
    store, name = done
    with another(store, name, tmp_path) as copy:
        path = copy.folder / name / "parts.journal"
        path.write_bytes(path.read_bytes().replace(b'"part": 2', b'"part": x'))
        other = create(copy, bark)
        finish(copy, bark, other)
        state = see(copy, bark, name)
        assert state.status == "failed" and "journal" in state.error


def test_a_changed_voice_fails_the_job(bark, store):
    name = create(store, bark)
    bark.resolve_voice("bruno").save(store.folder / name / "voice-0.npz", strict=False)
    finish(store, bark, name)
    assert "was changed" in see(store, bark, name).error


def test_estimates_become_what_was_spoken(bark, store):
    name = create(store, bark)
    before = see(store, bark, name)
    assert before.seconds_done == 0 < before.estimate_seconds and before.left_seconds is None
    finish(store, bark, name)
    after = see(store, bark, name)
    assert after.seconds_done == pytest.approx(sum(p.seconds for p in after.parts), abs=0.01)
    assert after.estimate_seconds == pytest.approx(after.seconds_done, abs=0.1)
    assert after.left_seconds == 0 and json.dumps(after.to_dict())
    assert "parts" not in after.to_dict(parts=False)


def test_jobs_are_bounded(bark, store, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_JOBS", 1)
    create(store, bark)
    with pytest.raises(StorageError, match="no more jobs can be kept"):
        create(store, bark)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (Order("one", "../x.npz"), "no name for a voice"),
        (Order("[voice:/etc/x.npz] one"), "no name for a voice"),
        (Order("one", voices={"": "alba"}), "the name of a speaker"),
        (Order("one", voices={"A\n": "alba"}), "the name of a speaker"),
        (Order("one", voices={"ANA": "../../x.npz"}), "no name for a voice"),
        (Order("one", voices={f"A{n}": "alba" for n in range(101)}), "101 speakers"),
        (Order("ANA: one\nEVE: two", voices={"ANA": "alba"}), "belong to nobody"),
        (Order(" \n"), "nothing in the text"),
        (Order("one", seed=-1), "seed"),
    ],
)
def test_what_cannot_be_spoken_is_refused_before_it_is_kept(nano, order, told):
    with pytest.raises(BarkError, match=told):
        planned(order, nano, lambda name: nano.resolve_voice(check_name(name)))
