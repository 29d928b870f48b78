"""JSON that is not ours: a value of the declared type, or one line that names file and field."""

import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark.errors import BarkError, CheckpointError, MissingFileError, VoiceError
from bark.storage.json import MOST_DEPTH, FileName, convert, decode, encode, read_as, read_json


class Inner(msgspec.Struct):
    size: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1


class Outer(msgspec.Struct):
    name: str = ""
    inner: Inner | None = None
    file: FileName = "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": 3}', "x.json: name: got int; allowed: str"),
        ('{"inner": {"size": 0}}', "x.json: inner.size; allowed: int >= 1"),
        ('{"inner": {"size": true}}', "x.json: inner.size: got bool; allowed: int"),
        ('{"inner": {"size": 1e999}}', "x.json: inner.size: got Number out of range"),
        ('{"inner": {"size": ' + "9" * 5000 + "}}", "x.json: inner.size: got Integer value out of"),
        ('{"file": "../a"}', "x.json: file; allowed: the name of a file beside it"),
        ('{"file": ".."}', "x.json: file; allowed: the name of a file beside it"),
        ('{"file": "a\\u0000"}', "x.json: file; allowed: the name of a file beside it"),
        ("[]", "x.json is not a JSON object: got array"),
        ("[" * 1_000_000, "x.json is not JSON; allowed: closed brackets, 64 levels at most"),
        ('{"name": ' + "[" * 90 + "]" * 90 + "}", "x.json is not JSON; allowed: closed brackets"),
        ("", "x.json is not JSON: got Input data was truncated"),
        ('{"name": "\udc80"}', "x.json is not JSON: got 'utf-8' codec"),
        ('{"name": "\\ud800 and more"}', "x.json is not JSON: got JSON is malformed"),
        ('{"a": NaN}', "x.json is not JSON: got JSON is malformed"),
    ],
)
def test_each_fault_is_one_line_with_file_and_field(text: str, message: str) -> None:
    with pytest.raises(VoiceError) as caught:
        decode(text, Outer, "x.json", VoiceError)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


def test_brackets_inside_strings_are_no_levels() -> None:
    text = json.dumps({"name": "[" * 1000 + '\\"]{' * 50, "inner": {}})
    assert decode(text, Outer, "x").name.count("[") == 1000
    nested: Any = 1
    for _ in range(MOST_DEPTH):
        nested = [nested]
    assert decode(json.dumps(nested), Any, "x") == nested
    with pytest.raises(CheckpointError):
        decode(json.dumps([nested]), Any, "x")


def test_a_mark_of_windows_editors_is_no_fault() -> None:
    assert decode(b'\xef\xbb\xbf{"name": "a"}', Outer, "x").name == "a"


def test_files_are_bounded_and_absent_ones_named(tmp_path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(MissingFileError, match="no file .*a.json"):
        read_json(path)
    path.write_text('{"name": "' + "a" * 100 + '"}')
    assert read_as(path, Outer).name == "a" * 100
    with pytest.raises(
        CheckpointError, match=r"a.json is too large: got 112 bytes; allowed: up to"
    ):
        read_as(path, Outer, most=100)


def test_values_of_a_pickle_show_what_they_are() -> None:
    with pytest.raises(CheckpointError, match=r"^x: size: got '12'; allowed: int$"):
        convert({"size": "12"}, Inner, "x")
    with pytest.raises(CheckpointError, match="^x: size: got a huge int; allowed: int <= 64"):
        convert({"size": 10**5000 - 1}, Inner, "x")
    loop: dict[str, Any] = {}
    loop["size"] = loop
    with pytest.raises(CheckpointError, match="^x: size: got {'size'"):
        convert(loop, Inner, "x")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
@settings(max_examples=60, deadline=None)
def test_what_we_write_we_read(value: Any) -> None:
    assert decode(encode(value), Any, "x") == value


def test_a_name_that_is_not_utf_8_is_written_as_its_escape() -> None:
    text = encode({"source": "a\udcff.wav"})
    assert text.encode() and decode(text, dict[str, str], "x") == {"source": "a\\udcff.wav"}


@given(st.binary(max_size=60) | st.text('[]{}":,\\u0de1 .-+tfn\x00', max_size=60).map(str.encode))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_a_value_or_one_of_our_errors(data: bytes) -> None:
    for kind in (Outer, dict[str, Any], list[int]):
        try:
            decode(data, kind, "x")
        except BarkError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
