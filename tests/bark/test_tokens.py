"""The token layout is Suno's, and flattening codebooks can be undone."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark.errors import SettingError, VoiceError
from bark.tokens import BARK, TokenLayout, flatten_codebooks, unflatten_codebooks


def test_sunos_constants_follow_from_each_other():
    assert BARK.semantic_pad == BARK.coarse_offset == 10_000
    assert BARK.text_pad == BARK.text_offset + 119_547  # the BERT vocabulary
    assert BARK.coarse_offset + BARK.coarse_books * BARK.codebook_size == BARK.coarse_semantic_pad
    assert BARK.frames_per_semantic == 75 / 49.9
    assert BARK.coarse_per_semantic == 75 / 49.9 * 2
    assert BARK.hop_length == 320
    assert BARK.max_semantic / BARK.semantic_rate == pytest.approx(15.39, abs=0.01)
    assert BARK.max_coarse_history + BARK.sliding_window + BARK.coarse_semantic_window + 1 <= 1024


@given(
    st.integers(1, 8), st.integers(0, 50), st.integers(1, 2000), st.randoms(use_true_random=False)
)
def test_unflatten_undoes_flatten(books, frames, size, random):
    codes = np.array(
        [[random.randrange(size) for _ in range(frames)] for _ in range(books)], dtype=np.int32
    )
    codes = codes.reshape(books, frames)
    flat = flatten_codebooks(codes, size)
    assert flat.shape == (books * frames,) and flat.dtype == np.int64
    for at, value in enumerate(flat):
        assert value // size == at % books
    np.testing.assert_array_equal(unflatten_codebooks(flat, books, size), codes)


def test_small_dtypes_do_not_overflow():
    flat = flatten_codebooks(np.full((2, 2), 255, dtype=np.uint8))
    assert flat.tolist() == [255, 1279, 255, 1279]


@pytest.mark.parametrize("codes", [np.zeros(3), np.zeros((1, 2, 3))])
def test_flatten_needs_two_axes(codes):
    with pytest.raises(
        VoiceError, match=r"codes have the wrong shape: got .*; allowed: \(codebooks, frames\)"
    ):
        flatten_codebooks(codes)


@pytest.mark.parametrize("flat", [np.zeros(3), np.zeros((2, 2))])
def test_unflatten_needs_whole_frames(flat):
    with pytest.raises(
        VoiceError, match=r"flattened codes have the wrong shape: got .*; allowed: \(n\*2,\)"
    ):
        unflatten_codebooks(flat)


def test_a_layout_goes_through_json():
    layout = TokenLayout(semantic_vocab=500, coarse_rate=50.0)
    assert TokenLayout(**json.loads(json.dumps(layout.to_dict()))) == layout


@pytest.mark.parametrize(
    "values, message",
    [
        ({"semantic_vocab": 0}, "semantic_vocab: got 0; allowed: a number >= 1"),
        ({"coarse_rate": "75"}, "coarse_rate: got '75'"),
        ({"fine_books": True}, "fine_books: got True"),
        ({"semantic_rate": None}, "semantic_rate: got None"),
        ({"coarse_history_drop": -1}, "coarse_history_drop: got -1; allowed: a number >= 0"),
    ],
)
def test_bad_layouts_name_the_field(values, message):
    with pytest.raises(SettingError, match=message):
        TokenLayout(**values)
