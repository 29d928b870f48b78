"""The bounded reader: any bytes give a voice or one `VoiceError` with a sentence of its own."""

import io
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark.errors import MissingFileError, VoiceError
from bark.storage import npz
from bark.tokens import BARK
from bark.voice.voice import Voice
from tests.made_voices import VOICES, load_bytes, make, members, npy, raw_save, zipped

REAL = sorted((VOICES / "real").rglob("*.npz"))


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_presets_load_unchanged_and_are_already_canonical(path):
    voice = Voice.load(path)
    with np.load(path) as raw:
        for key, ours in voice.to_dict().items():
            assert ours.dtype == np.int64 and ours.flags.c_contiguous
            np.testing.assert_array_equal(ours, raw[key])
    assert voice.canonical() == voice
    assert voice.notes() == []


def test_every_shipped_preset_loads_unchanged(shared):
    paths = sorted(
        [*(shared / "presets").rglob("*.npz"), *(shared / "golden/G_prompts/real").rglob("*.npz")]
    )
    assert len(paths) >= 100
    for path in paths:
        voice = Voice.load(path)
        with np.load(path) as raw:
            assert all(np.array_equal(ours, raw[key]) for key, ours in voice.to_dict().items()), (
                path
            )
        assert voice.canonical() == voice, path


MALFORMED = {
    "absurd_shape": r"semantic_prompt claims an absurd size",
    "bad_magic": r"semantic_prompt is not an npy array",
    "coarse_not_prefix_of_fine": r"coarse_prompt is not the first 2 rows of fine_prompt: got 298 of 300 ids differ",
    "coarse_three_codebooks": r"coarse_prompt has the wrong shape: got \(3, \d+\); allowed: \(2, frames\)",
    "coarse_token_1024": r"coarse_prompt has ids outside the vocabulary: got \d+\.\.1024; allowed: 0\.\.1023",
    "coarse_transposed": r"coarse_prompt has the wrong shape: got \(\d+, 2\); .*Transpose it",
    "crc_error": r"is damaged: its bytes do not match their checksum",
    "deflate_bomb_small": r"semantic_prompt unpacks to too much: got 32,000,\d+ bytes",
    "empty_all": r"semantic_prompt is empty",
    "empty_file": r"is empty: got 0 bytes",
    "empty_semantic": r"semantic_prompt is empty: got \(0,\)",
    "fine_length_differs": r"differ in length: got 150 and 40 frames",
    "fine_seven_codebooks": r"fine_prompt has the wrong shape: got \(7, \d+\); allowed: \(8, frames\)",
    "fine_token_negative": r"fine_prompt has ids outside the vocabulary: got -1\.\.",
    "float_dtype": r"semantic_prompt holds fractions: got float64; allowed: integers",
    "float_nan": r"semantic_prompt holds NaN or infinity",
    "missing_coarse_prompt": r"has no coarse_prompt: got keys semantic_prompt, fine_prompt",
    "missing_fine_prompt": r"has no fine_prompt: got keys semantic_prompt, coarse_prompt",
    "negative_shape": r"semantic_prompt claims a negative size: got \(-1,\)",
    "object_array": r"semantic_prompt holds pickled Python objects, which are never read",
    "plain_npy": r"is a single .npy array; allowed: an .npz",
    "ratio_146": r"coarse_prompt and fine_prompt differ in length: got 146 and 150 frames",
    "ratio_off_by_one": r"coarse_prompt is not .* of fine_prompt: got 301 of 302 ids differ",
    "uint8_coarse": r"coarse_prompt is not .* of fine_prompt: got 29\d of 300 ids differ",
    "ratio_far": r"100 frames for 100 semantic tokens is the wrong ratio: got 1\.000; allowed: 1\.503",
    "semantic_token_10000": r"semantic_prompt has ids outside .*: got \d+\.\.10000; allowed: 0\.\.9999",
    "semantic_2d": r"semantic_prompt has the wrong shape: got \(1, 100\); allowed: \(tokens,\)",
    "short_data": r"semantic_prompt claims shape \(100,\), 800 bytes: got 80 bytes of data",
    "truncated_zip": r"is cut short or damaged: its zip directory cannot be read",
}
HARMLESS = {"big_endian", "fortran_order_extra_key"}


def test_the_table_of_malformed_files_is_complete_and_its_sentences_differ():
    assert {
        path.stem for path in (VOICES / "malformed").glob("*.npz")
    } == MALFORMED.keys() | HARMLESS
    assert len(set(MALFORMED.values())) == len(MALFORMED)


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_each_malformed_file_gets_its_sentence(name):
    with pytest.raises(VoiceError, match=MALFORMED[name]) as caught:
        Voice.load(VOICES / "malformed" / f"{name}.npz")
    assert f"{name}.npz: " in str(caught.value)
    assert "pickle=True" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_harmless_oddities_load_with_their_values(name):
    path = VOICES / "malformed" / f"{name}.npz"
    with np.load(path) as raw:
        for key, ours in Voice.load(path).to_dict().items():
            np.testing.assert_array_equal(ours, raw[key])


def test_sunos_tolerance_is_ours_and_a_wrong_end_is_noted_and_cut_for_a_layout(tmp_path, caplog):
    """Suno's code speaks with 146..154 frames for 100 tokens; the surplus only costs alignment."""
    for frames in range(140, 161):
        voice = make(100, frames)
        if round(frames / 100, 1) == 1.5:
            assert voice.validate() is voice
        else:
            with pytest.raises(VoiceError, match="wrong ratio"):
                voice.validate()
    voice = make(200, 291)
    Voice.load(raw_save(voice, tmp_path / "raw.npz"))
    assert "do not end together; canonical() cuts them to 194 and 291" in caplog.text
    kept = Voice.load(voice.save(tmp_path / "kept.npz"))
    assert (len(kept.semantic), kept.fine.shape[1]) == (200, 291)
    again = Voice.load(voice.save(tmp_path / "fixed.npz", BARK))
    assert (len(again.semantic), again.fine.shape[1]) == (194, 291)
    np.testing.assert_array_equal(again.fine, voice.fine)
    assert again.notes() == []


def test_every_prefix_and_every_flipped_byte_gives_a_voice_or_one_voice_error(
    tmp_path, monkeypatch
):
    """Four tokens keep the file near 1 kB, so that all prefixes and flips run in seconds."""
    voice = make(4)
    whole = voice.save(tmp_path / "small.npz").read_bytes()
    path = tmp_path / "v.npz"
    loaded = 0
    for mutant in [whole[:n] for n in range(len(whole))] + [
        whole[:n] + bytes([whole[n] ^ 0x41]) + whole[n + 1 :] for n in range(len(whole))
    ]:
        monkeypatch.setattr("bark.voice.voice.read_bounded", lambda *_, data=mutant: data)
        try:
            found = Voice.load(path)
        except VoiceError as error:
            assert str(path) in str(error)
        else:
            loaded += 1
            assert found == voice, "a flip passed the checksums with other tokens"
    assert loaded > 0  # a flip in a date or in an unused field harms nothing


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"PK\x05\x06"]),
)
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_one_voice_error(tmp_path_factory, data, head):
    with pytest.raises(VoiceError):
        load_bytes(tmp_path_factory.getbasetemp(), head + data)


@given(st.text("{}()':, descrfortan_opshape<>|iufOV0123456789-L\n", max_size=120))
@settings(max_examples=60, deadline=None)
def test_any_npy_header_gives_an_array_or_one_voice_error(text):
    header = text.encode()
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80)
    with pytest.raises(VoiceError):
        npz.read_npy(data, "semantic_prompt")


@pytest.mark.parametrize(
    "descr, shape, message",
    [
        ("'<i8'", "(0, 99999999999999999999999)", "absurd size"),
        ("'<i8'", "(1,1,1,1,1,1,1,1,1,10)", "too many dimensions"),
        ("'<i3'", "(10,)", "broken npy header"),
        ("'<U4'", "(5,)", "holds <U4; allowed: integers"),
        ("'|V8'", "(10,)", "holds |V8; allowed: integers"),
        ("'|b1'", "(80,)", "holds |b1; allowed: integers"),
        ("'<c16'", "(5,)", "holds <c16; allowed: integers"),
        ("[('a','<i8')]", "(10,)", "holds records; allowed: integers"),
        ("'<i8'", "(__import__('os'),)", "broken npy header"),
    ],
)
def test_hostile_headers_are_refused_before_allocation(descr, shape, message):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80)
    with pytest.raises(VoiceError) as caught:
        npz.read_npy(data, "semantic_prompt")
    assert message in str(caught.value)


def test_limits_of_the_archive(tmp_path):
    good = members(make())
    long_header = b"\x93NUMPY\x01\x00" + (5000).to_bytes(2, "little") + b" " * 6000
    wide = npy(np.zeros(npz.MAX_NUMBERS + 1, np.int8))
    cases = {
        "has too many members: got 1028; allowed: up to 1,024": zipped(
            good | {f"x{n}.npy": b"" for n in range(1025)}
        ),
        "v.npz is too large: got 33,554,433 bytes; allowed: up to 33,554,432 bytes": bytes(
            npz.MAX_FILE_BYTES + 1
        ),
        "fine_prompt claims an absurd size": zipped(
            good | {"fine_prompt.npy": wide}, zipfile.ZIP_DEFLATED
        ),
        "packed by method 12": zipped(good, zipfile.ZIP_BZIP2),
        "first bytes 80 04 95": b"\x80\x04\x95" + bytes(50),
        "has too long a header: got 5,0": zipped(good | {"semantic_prompt.npy": long_header}),
    }
    for message, data in cases.items():
        with pytest.raises(VoiceError) as caught:
            load_bytes(tmp_path, data)
        assert message in str(caught.value)


@pytest.mark.parametrize("dtype", ["<i8", ">i8", "<u2", ">i4", "<f4", "|u1"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_voices_of_other_writers_load(tmp_path, save, dtype):
    """Any compression, byte order and memory order, more than 1 MiB, and arrays that are not ours."""
    rng = np.random.default_rng(0)
    top = 255 if dtype == "|u1" else 1000
    fine = rng.integers(0, top, (8, 15_000))
    arrays = {
        "semantic_prompt": rng.integers(0, top, 10_000).astype(dtype),
        "coarse_prompt": np.asfortranarray(fine[:2].astype(dtype)),
        "fine_prompt": np.asfortranarray(fine.astype(dtype)),
        "mel": rng.normal(size=(80, 4_000)),
        **{f"x{n}": np.zeros((100, 100)) for n in range(20)},
        "author": np.array(["me", None], dtype=object),
    }
    save(tmp_path / "v.npz", **arrays)
    assert (tmp_path / "v.npz").stat().st_size > 1 << 20
    voice = Voice.load(tmp_path / "v.npz")
    np.testing.assert_array_equal(voice.fine, fine)
    np.testing.assert_array_equal(voice.semantic, arrays["semantic_prompt"])


def test_duplicate_and_encrypted_members_are_refused(tmp_path):
    good = members(make())
    with pytest.warns(UserWarning, match="Duplicate name"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name in [*good, "fine_prompt.npy"]:
                archive.writestr(name, good[name])
    with pytest.raises(VoiceError, match="two members of one name: got fine_prompt"):
        load_bytes(tmp_path, out.getvalue())
    data = bytearray(zipped(good))
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1  # the directory's "encrypted" bit
    with pytest.raises(VoiceError, match="is encrypted"):
        load_bytes(tmp_path, bytes(data))


def test_unknown_members_are_never_unpacked_and_hostile_names_are_escaped(tmp_path):
    voice = make()
    extra = {
        "../../evil.npy": b"x",
        "name.npy": npy(np.array(["me"])),
        "desc.npy": npy(np.array([None])),
    }
    assert load_bytes(tmp_path, zipped(members(voice) | extra)) == voice
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.npz"]
    with pytest.raises(VoiceError) as caught:
        load_bytes(tmp_path, zipped({"a\x1b[31m\n.npy": b"x"}))
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_pipe_or_a_folder_is_refused_without_opening_it(tmp_path):

    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    for name in ("pipe.npz", "folder.npz"):
        with pytest.raises(VoiceError, match="is not a regular file"):
            Voice.load(tmp_path / name)
    with pytest.raises(MissingFileError, match="no file .*absent.npz"):
        Voice.load(tmp_path / "absent.npz")
