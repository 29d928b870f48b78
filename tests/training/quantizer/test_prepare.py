"""hubert.prepare: every layout is read, each bad file is named, nothing finished is done twice."""

import io
import json
import multiprocessing
import os
import resource
import signal
import stat
import struct
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark.errors import BarkError, MissingFileError, SettingError, StorageError
from tests.conftest import contents
from tests.pairs import DIM, VOCABULARY, frames_of, write_material
from training.quantizer.commands.prepare import main
from training.quantizer.dataset import PAIRS, DatasetError, PreparedDataset
from training.quantizer.pair_sources import find_pairs
from training.quantizer.prepare import REFUSED, PrepareOptions, PrepareReport, prepare

ENCODER = {"hubert": "stub", "layer": 1}
LIVE = PrepareOptions(vocabulary=VOCABULARY, max_refused=1.0)


def run(folder: Path, out: Path | None = None, options: PrepareOptions = LIVE) -> PrepareReport:
    return prepare(folder, out or folder, frames_of, ENCODER, options)


def reasons(report: PrepareReport) -> dict[str, str]:
    return dict(report.refused)


def zipped(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archives(folder: Path, names: list[str]) -> None:
    """Pack material as gitmylo's data sets come."""
    write_material(folder / "loose", names)
    zipped(
        folder / "wav" / "en.zip",
        {f"{n}.wav": (folder / "loose/wav" / f"{n}.wav").read_bytes() for n in names},
    )
    zipped(
        folder / "semantic" / "en.zip",
        {f"{n}.npy": (folder / "loose/semantic" / f"{n}.npy").read_bytes() for n in names},
    )


def test_a_plain_folder_pairs_by_stem_whatever_its_letters(tmp_path: Path) -> None:
    write_material(tmp_path, ["Eins", "ZWEI", "три", "take 4"])
    report = run(tmp_path)
    assert [entry.name for entry in report.dataset.entries] == ["Eins", "ZWEI", "take 4", "три"]
    assert (report.layout, report.computed, report.kept, report.refused) == ("plain", 4, 0, ())
    features, tokens = report.dataset.read(report.dataset.entries[0])
    assert features.shape == (25, DIM) and np.array_equal(
        tokens, np.load(tmp_path / "semantic/Eins.npy")
    )
    assert PreparedDataset.load(tmp_path) == report.dataset


def test_gitmylos_three_layouts_give_the_same_pairs(tmp_path: Path) -> None:
    names = ["0", "1", "2"]
    archives(tmp_path / "zips", names)
    loose = tmp_path / "zips" / "loose"
    for folder in ("prepared", "ready"):
        (tmp_path / folder / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / folder / f"{name}_semantic.npy").write_bytes(
                (loose / "semantic" / f"{name}.npy").read_bytes()
            )
    from bark.audio.read import load_audio

    for name in names:
        wav = loose / "wav" / f"{name}.wav"
        (tmp_path / "prepared/prepared" / f"{name}_wav.wav").write_bytes(wav.read_bytes())
        np.save(
            tmp_path / "ready/ready" / f"{name}_semantic_features.npy",
            frames_of(load_audio(wav, 16_000)),
        )
    made = {layout: run(tmp_path / where) for layout, where in
            (("archives", "zips"), ("prepared", "prepared"), ("ready", "ready"))}  # fmt: skip
    digests = {
        layout: [entry.digest for entry in report.dataset.entries]
        for layout, report in made.items()
    }
    assert all(report.layout == layout for layout, report in made.items())
    assert (
        digests["archives"] == digests["prepared"] == digests["ready"]
        and len(digests["ready"]) == 3
    )


def test_every_planted_fault_is_reported_and_nothing_else(tmp_path: Path) -> None:
    good = [f"g{i}" for i in range(6)]
    write_material(tmp_path, [*good, *"abcdefgh"])
    semantic, wav = tmp_path / "semantic", tmp_path / "wav"
    (semantic / "a.npy").unlink()
    (wav / "b.wav").unlink()
    np.save(semantic / "c.npy", np.arange(40) % VOCABULARY)
    np.save(semantic / "d.npy", np.full(25, VOCABULARY))
    np.save(semantic / "e.npy", np.zeros(0, dtype=np.int64))
    (wav / "f.wav").write_bytes(b"RIFF")
    np.save(semantic / "g.npy", np.zeros((5, 5)))
    (tmp_path / "again").mkdir()
    np.save(tmp_path / "again" / "h.npy", np.arange(3))
    report = run(tmp_path)
    assert sorted(reasons(report)) == list("abcdefgh")
    assert [entry.name for entry in report.dataset.entries] == good
    expected = {
        "a": "no tokens for",
        "b": "no audio for",
        "c": "differ in length: got 25 frames, 40 tokens; allowed: up to 5 apart",
        "d": f"another vocabulary: got {VOCABULARY} to {VOCABULARY}; allowed: 0 to {VOCABULARY - 1}",
        "e": "holds no tokens",
        "f": "f.wav",
        "g": "no token sequence: got float64",
        "h": "the same stem twice",
    }
    for name, reason in expected.items():
        assert reason in reasons(report)[name]
    assert (tmp_path / REFUSED).read_text().count("\n") == 8


def test_pickled_and_lying_token_files_are_refused(tmp_path: Path) -> None:
    write_material(tmp_path, ["good", "pickled", "lying"])
    np.save(tmp_path / "semantic/pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    whole = (tmp_path / "semantic/lying.npy").read_bytes()
    (tmp_path / "semantic/lying.npy").write_bytes(whole.replace(b"(25,)", b"(2**40,)"[:5]))
    report = run(tmp_path)
    assert sorted(reasons(report)) == ["lying", "pickled"]


def test_above_the_share_of_bad_pairs_it_stops_and_says_where_to_look(tmp_path: Path) -> None:
    write_material(tmp_path, ["a", "b", "c"])
    (tmp_path / "semantic/a.npy").unlink()
    with pytest.raises(
        DatasetError,
        match=r"1 of 3 pairs .* cannot be used; allowed: 5%.*refused.txt.*--max-refused",
    ):
        run(tmp_path, options=PrepareOptions(vocabulary=VOCABULARY))
    (tmp_path / "semantic/b.npy").unlink()
    (tmp_path / "semantic/c.npy").unlink()
    with pytest.raises(DatasetError, match="none of 3 pairs"):
        run(tmp_path)


def test_an_empty_or_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="holds no training pairs.*gitmylo"):
        run(tmp_path)
    with pytest.raises(MissingFileError, match="no folder"):
        run(tmp_path / "absent")
    with pytest.raises(SettingError, match="validation and test together: got 0.6 \\+ 0.5"):
        PrepareOptions(validation=0.6, test=0.5)


def test_finished_pairs_are_kept_and_changed_ones_made_again(tmp_path: Path) -> None:
    write_material(tmp_path, ["a", "b", "c"])
    first = run(tmp_path)
    second = run(tmp_path)
    assert (second.computed, second.kept) == (0, 3) and second.dataset == first.dataset
    np.save(tmp_path / "semantic/b.npy", np.zeros(24, dtype=np.int64))
    third = run(tmp_path)
    assert (third.computed, third.kept) == (1, 2)
    damaged = tmp_path / PAIRS / third.dataset.entries[0].file
    damaged.write_bytes(damaged.read_bytes()[:-2])
    assert run(tmp_path).computed == 1
    other = prepare(tmp_path, tmp_path, frames_of, {"hubert": "other", "layer": 1}, LIVE)
    assert other.computed == 3, "other features are never mixed in"


def _prepare_slowly(folder: Path, out: Path) -> None:
    def slow(waveform: np.ndarray) -> np.ndarray:
        time.sleep(0.02)
        return frames_of(waveform)

    prepare(folder, out, slow, ENCODER, LIVE)


def test_killed_at_any_moment_it_ends_with_the_same_files(tmp_path: Path) -> None:
    material = tmp_path / "material"
    archives(material, [f"n{i}" for i in range(8)])
    run(material, tmp_path / "whole")
    generator = np.random.default_rng(5)
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        job = context.Process(target=_prepare_slowly, args=(material, tmp_path / "killed"))
        job.start()
        time.sleep(float(generator.uniform(0.01, 0.15)))
        os.kill(job.pid or 0, signal.SIGKILL)
        job.join()
    run(material, tmp_path / "killed")
    whole, killed = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    assert whole == {
        name: data for name, data in killed.items() if not Path(name).name.startswith(".")
    }


def test_a_full_disk_stops_it_cleanly_and_it_goes_on_later(tmp_path: Path) -> None:
    write_material(tmp_path, ["a", "b"])

    def long(waveform: np.ndarray) -> np.ndarray:
        return np.zeros((25, 4096), dtype=np.float32)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(
            StorageError, match=r"cannot write .*MB are free; make room and run it again: 0 pairs"
        ):
            prepare(tmp_path, tmp_path / "out", long, ENCODER, LIVE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert prepare(tmp_path, tmp_path / "out", long, ENCODER, LIVE).computed == 2


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../a.npy", "names a path outside"),
        ("/etc/a.npy", "names a path outside"),
        ("C:\\a.npy", "names a path outside"),
        ("..\\a.npy", "names a path outside"),
        ("x/../../a.npy", "names a path outside"),
        ("\\\\host\\share\\a.npy", "names a path outside"),
        ("link", "is a link"),
        ("twice", "two members are named"),
        ("locked", "is encrypted"),
        ("overlap", "overlap each other"),
        ("cut", "archive refused"),
        ("nothing", "archive refused"),
    ],
)
def test_hostile_archives_are_refused_whole_and_leave_no_file_outside(
    tmp_path: Path, name: str, told: str
) -> None:
    folder = tmp_path / "in" / "here"
    archives(folder, ["good"])
    path = folder / "semantic" / "bad.zip"
    tokens = npy(np.arange(5))
    zipped(path, {"a.npy": tokens, "b.npy": tokens})
    if name == "link":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(link("c.npy"), "/etc/passwd")
    elif name == "twice":
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", tokens)
    elif name == "locked":
        data = bytearray(path.read_bytes())
        at = data.rindex(b"PK\x01\x02")
        data[at + 8] |= 1
        path.write_bytes(bytes(data))
    elif name == "overlap":
        data = bytearray(path.read_bytes())
        at = data.rindex(b"PK\x01\x02")
        data[at + 42 : at + 46] = struct.pack("<I", 1)
        path.write_bytes(bytes(data))
    elif name == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif name == "nothing":
        path.write_bytes(b"")
    else:
        zipped(path, {name: tokens})
    before = contents(tmp_path)
    report = run(folder, tmp_path / "in" / "out")
    assert told in reasons(report)["semantic/bad.zip"]
    assert [entry.name for entry in report.dataset.entries] == ["en/good"]
    after = {n: d for n, d in contents(tmp_path).items() if not n.startswith("in/out/")}
    assert after == before


def test_a_damaged_member_costs_one_pair(tmp_path: Path) -> None:
    archives(tmp_path, ["a", "b"])
    path = tmp_path / "semantic" / "en.zip"
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(bytes(data))
    report = run(tmp_path)
    assert (
        list(reasons(report)) == ["en/a"]
        and "en.zip:a.npy cannot be read" in reasons(report)["en/a"]
    )
    assert [entry.name for entry in report.dataset.entries] == ["en/b"]


def test_a_bomb_is_never_unpacked(tmp_path: Path) -> None:
    archives(tmp_path, ["a", "b"])
    with zipfile.ZipFile(tmp_path / "wav" / "en.zip", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.wav", bytes(8 << 20))
    report = run(tmp_path)
    assert (
        list(reasons(report)) == ["en/c.wav"]
        and "unpacks to too much" in reasons(report)["en/c.wav"]
    )
    assert len(report.dataset.entries) == 2


def test_what_is_neither_audio_nor_tokens_in_an_archive_is_listed(tmp_path: Path) -> None:
    archives(tmp_path, ["a"])
    with zipfile.ZipFile(tmp_path / "wav" / "en.zip", "a") as archive:
        archive.writestr("inner.zip", b"PK")
        archive.writestr("__MACOSX/._a.wav", b"x")
    assert reasons(run(tmp_path)) == {"en/inner.zip": "neither audio nor tokens"}


def test_names_in_both_unicode_forms_are_one_name(tmp_path: Path) -> None:
    write_material(tmp_path, ["e\u0301t\u00e9"])
    (tmp_path / "semantic" / "e\u0301t\u00e9.npy").rename(
        tmp_path / "semantic" / "\u00e9te\u0301.npy"
    )
    assert list(find_pairs(tmp_path).pairs) == ["\u00e9t\u00e9"]


def test_a_name_that_is_not_utf8_costs_one_pair(tmp_path: Path) -> None:
    write_material(tmp_path, ["a", "b"])
    for kind, suffix in (("wav", ".wav"), ("semantic", ".npy")):
        odd = os.fsencode(tmp_path / kind) + b"/caf\xe9" + suffix.encode()
        try:
            os.rename(tmp_path / kind / f"b{suffix}", odd)
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    report = run(tmp_path)
    assert [entry.name for entry in report.dataset.entries] == ["a"]
    assert set(reasons(report).values()) == {"the file's name is not UTF-8"}


def test_takes_of_one_text_share_a_split(tmp_path: Path) -> None:
    names = [f"take-{number:03d}" for number in range(40)]
    write_material(tmp_path, names)
    (tmp_path / "takes").mkdir()
    for number, name in enumerate(names):
        (tmp_path / "takes" / f"{name}.json").write_text(
            json.dumps({"text": f"text {number % 20}"})
        )
    options = PrepareOptions(vocabulary=VOCABULARY, validation=0.3, test=0.3)
    splits = {entry.name: entry.split for entry in run(tmp_path, options=options).dataset.entries}
    assert set(splits.values()) == {"train", "validation", "test"}
    assert all(
        splits[first] == splits[second] for first, second in zip(names, names[20:], strict=False)
    )
    found = list(splits.values())
    assert [found.count(name) for name in ("train", "validation", "test")] == [16, 12, 12]


def test_the_shares_are_those_asked_for_and_the_same_each_time(tmp_path: Path) -> None:
    write_material(tmp_path, [f"sentence-{number}" for number in range(12)])
    options = PrepareOptions(vocabulary=VOCABULARY, validation=0.3, test=0.2)
    report = run(tmp_path, options=options)
    counts = [len(report.dataset.split(name)) for name in ("train", "validation", "test")]
    assert counts == [6, 4, 2]  # a hash compared with the share gave other counts: 2, 9 and 1
    again = run(tmp_path, options=options)
    assert (again.kept, again.dataset) == (12, report.dataset)


def test_a_link_beside_the_archives_is_not_written_through(tmp_path: Path) -> None:
    archives(tmp_path / "data", ["a", "b"])
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"precious")
    for name in (".scratch.wav", "scratch.wav", "member.wav"):
        (tmp_path / "data" / name).symlink_to(outside)
    assert len(run(tmp_path / "data").dataset.entries) == 2
    assert outside.read_bytes() == b"precious"
    assert (tmp_path / "data" / ".scratch.wav").is_symlink(), "nor removed"


def test_pairs_of_an_interrupted_change_are_not_mixed_in(tmp_path: Path) -> None:
    write_material(tmp_path, ["a", "b"])
    dataset = run(tmp_path).dataset

    def other(waveform: np.ndarray) -> np.ndarray:
        if len(list((tmp_path / PAIRS).iterdir())) and not changed:
            changed.append(1)
            return frames_of(waveform) + 1
        raise KeyboardInterrupt

    changed: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, tmp_path, other, {"hubert": "other", "layer": 1}, LIVE)
    with pytest.raises(
        DatasetError, match=r"pair a is not the one in dataset.json.*Run hubert.prepare again"
    ):
        dataset.read(dataset.entries[0])


def test_the_command_names_a_quantizer_given_as_hubert(
    tmp_path: Path, golden: Path, capsys: pytest.CaptureFixture
) -> None:
    write_material(tmp_path, ["a"])
    assert (
        main(
            [
                str(tmp_path),
                "--hubert",
                str(golden / "E_quantizer" / "quantizer_v0.pth"),
                "--layer",
                "2",
            ]
        )
        == 1
    )
    assert "is a quantizer, not a HuBERT" in capsys.readouterr().err


def test_the_command_makes_a_data_set_with_a_real_hubert(
    tmp_path: Path, golden: Path, capsys: pytest.CaptureFixture
) -> None:
    write_material(tmp_path, [f"n{i}" for i in range(6)])
    arguments = [str(tmp_path), "--hubert", str(golden / "D_hubert" / "hf_hubert"), "--layer", "2"]
    assert (
        main(
            [*arguments, "--vocabulary", str(VOCABULARY), "--validation", "0.4", "--device", "cpu"]
        )
        == 0
    )
    assert "6 pairs" in capsys.readouterr().out
    dataset = PreparedDataset.load(tmp_path)
    assert dataset.feature_dim == 48 and dataset.encoder["layer"] == 2
    assert main([str(tmp_path / "absent")]) == 2
    assert isinstance(BarkError("x"), ValueError)


def test_each_archive_is_opened_twice_however_many_members_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives(tmp_path, [f"n{i}" for i in range(8)])
    opened: list[str] = []

    class Counted(zipfile.ZipFile):
        def __init__(self, file: Any, *rest: Any, **options: Any) -> None:
            opened.append(Path(file).parent.name)
            super().__init__(file, *rest, **options)

    monkeypatch.setattr("training.quantizer.pair_sources.zipfile.ZipFile", Counted)
    assert run(tmp_path).computed == 8
    assert Counter(opened) == {"semantic": 2, "wav": 2}  # to list its members, and to read them
