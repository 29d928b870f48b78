"""bark.codec.vocos: equal to the published code, exact in pieces, and picky about what it reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bark.checkpoints.find import find_model
from bark.codec import decoder
from bark.codec.decoder import with_decoder
from bark.codec.encodec import EncodecCodec
from bark.codec.vocos import (
    Vocos,
    VocosCodec,
    VocosConfig,
    bandwidth_index,
    save_vocos,
    vocos_from,
)
from bark.errors import AudioError, CheckpointError, MissingFileError, SettingError
from bark.storage.weights import read_weights

SMALL = VocosConfig(inputs=16, width=24, inner=48, blocks=2)
HOP = SMALL.hop_length


def random_vocos(config: VocosConfig = SMALL) -> Vocos:
    torch.manual_seed(0)
    network = Vocos(config)
    torch.nn.init.normal_(network.feature_extractor.codebook_weights)
    return network


class Silent:
    """A codec with EnCodec's numbers that encodes everything to zeros."""

    family, context_frames, lookahead = "encodec", None, 0
    sample_rate, hop_length, codebook_size, num_codebooks = 24_000, HOP, 1024, 8

    def encode(self, audio: np.ndarray) -> np.ndarray:
        return np.zeros((8, -(-len(audio) // HOP)), dtype=np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def to(self, device: str | torch.device) -> "Silent":
        return self


@pytest.fixture(scope="module")
def base() -> Silent:
    return Silent()


@pytest.fixture(scope="module")
def codec(base: Silent) -> VocosCodec:
    return VocosCodec(base, random_vocos())


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1024, (8, 90))


def test_equals_the_published_code(shared: Path) -> None:
    folder = shared / "golden-vocos"
    network = vocos_from(read_weights(folder / "pytorch_model.bin"), 1024, 320).eval()
    assert network.config.blocks == 3 and network.config.codebooks == 16
    with np.load(folder / "expected.npz") as expected, torch.inference_mode():
        cases = [name[6:] for name in expected if name.startswith("codes_")]
        assert len(cases) >= 8
        for case in cases:
            codes = torch.from_numpy(expected[f"codes_{case}"].astype(np.int64))[None]
            audio = network(codes, torch.tensor([int(case.split("_")[1])]))
            np.testing.assert_allclose(audio[0], expected[f"audio_{case}"], atol=1e-5)


def test_encodec_with_the_published_decoder(
    golden: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encodec = EncodecCodec.from_pretrained(golden / "F_encodec" / "hf_encodec")
    folder = shared / "golden-vocos"
    asked = []

    def fetched(repo: str, file: str) -> Path:
        asked.append((repo, file))
        return folder / file

    monkeypatch.setattr(decoder, "fetch", fetched)
    codec = with_decoder(encodec, "vocos")
    assert asked == [("charactr/vocos-encodec-24khz", "pytorch_model.bin")]
    audio = np.random.default_rng(0).normal(0, 0.1, 5000).astype(np.float32)
    np.testing.assert_array_equal(codec.encode(audio), encodec.encode(audio))
    with np.load(folder / "expected.npz") as expected:
        np.testing.assert_allclose(
            codec.decode(expected["codes_50_2"]), expected["audio_50_2"], atol=1e-5
        )
    assert with_decoder(codec, folder).base is encodec  # not a decoder on a decoder
    assert encodec.context_frames is None and codec.context_frames == 14


@pytest.mark.parametrize(
    ("books", "index"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (8, 2), (16, 3)]
)
def test_the_number_of_codebooks_tells_the_bandwidth(books: int, index: int) -> None:
    assert bandwidth_index(books) == index


@pytest.mark.parametrize("frames", [0, 1, 2, 5, 90])
@pytest.mark.parametrize("books", [1, 2, 8])
def test_a_frame_gives_320_samples(codec: VocosCodec, books: int, frames: int) -> None:
    audio = codec.decode(np.ones((books, frames), dtype=np.uint16))
    assert audio.shape == (HOP * frames,) and audio.dtype == np.float32
    assert np.isfinite(audio).all()


@pytest.mark.parametrize(("first", "last"), [(0, 30), (30, 60), (60, 90), (41, 42)])
def test_a_piece_with_its_context_is_the_whole(
    codec: VocosCodec, codes: np.ndarray, first: int, last: int
) -> None:
    reach = codec.context_frames
    assert codec.lookahead == reach == (1 + SMALL.blocks) * 3 + 2
    whole = codec.decode(codes)[first * HOP : last * HOP]

    def piece(context: int) -> np.ndarray:
        start = max(0, first - context)
        audio = codec.decode(codes[:, start : last + context])
        return audio[(first - start) * HOP :][: len(whole)]

    np.testing.assert_allclose(piece(reach), whole, atol=1e-6)
    assert np.abs(piece(reach - 1) - whole).max() > 1e-6, "context_frames says more than it must"


def test_codebooks_and_bandwidth_both_matter(codec: VocosCodec, codes: np.ndarray) -> None:
    torch.nn.init.normal_(codec.network.backbone.norm.shift.weight)
    rows = [codec.decode(codes[:books]) for books in (1, 2, 8)]
    assert not np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[1], rows[2])


def test_saved_weights_decode_the_same(base: Silent, codes: np.ndarray, tmp_path: Path) -> None:
    network = random_vocos()
    for weights in network.parameters():
        weights.data = weights.data.half().float()  # what the file can hold
    path = tmp_path / "decoder.safetensors"
    save_vocos(network, path)
    for where in (path, tmp_path):
        loaded = with_decoder(base, where)
        assert loaded.network.config == SMALL
        np.testing.assert_array_equal(loaded.decode(codes), VocosCodec(base, network).decode(codes))


def test_a_file_that_carries_encodec_and_the_window_too(base: Silent, tmp_path: Path) -> None:
    path = tmp_path / "decoder.safetensors"
    save_vocos(random_vocos(), path)
    extra = {
        "feature_extractor.encodec.encoder.w": torch.ones(1),
        "head.istft.window": torch.ones(1280),
    }
    save_file(load_file(path) | extra, path)
    with_decoder(base, path)


def test_the_published_decoder_is_for_encodec() -> None:
    with pytest.raises(SettingError, match="'vocos' for this model: got the codec 'mel'"):
        find_model("nano").load_codec("vocos")


def test_wrong_files_are_named(base: Silent, codec: VocosCodec, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="decoder weights not found"):
        with_decoder(base, tmp_path / "nowhere.safetensors")
    with pytest.raises(MissingFileError, match=r"decoder\.safetensors"):
        with_decoder(base, tmp_path)
    path = tmp_path / "decoder.safetensors"
    save_file({"head.out.bias": torch.zeros(1282)}, path)
    with pytest.raises(CheckpointError, match=r"decoder\.safetensors holds no Vocos"):
        with_decoder(base, path)
    save_vocos(random_vocos(), path)
    cut = load_file(path)
    del cut["backbone.convnext.1.norm.shift.weight"]
    save_file(cut, path)
    with pytest.raises(CheckpointError, match=r"norm\.shift"):
        with_decoder(base, path)
    few = VocosConfig(codebooks=4, inputs=16, width=24, inner=48, blocks=1, conditions=2)
    with pytest.raises(CheckpointError, match="got 4 and 2; allowed: at least 8 and 3"):
        VocosCodec(base, random_vocos(few))
    save_vocos(Vocos(replace(SMALL, codebooks=0)), path)
    with pytest.raises(CheckpointError, match="got 0 and 3"):
        with_decoder(base, path)


@pytest.mark.parametrize("length", [256, 1023])
def test_a_window_that_cannot_overlap_is_refused(length: int) -> None:
    with pytest.raises(CheckpointError, match=f"window of {length} samples"):
        Vocos(VocosConfig(inputs=16, width=8, inner=8, blocks=1, fft_length=length))


def test_bad_codes_are_refused(codec: VocosCodec) -> None:
    with pytest.raises(AudioError, match="K from 1 to 8"):
        codec.decode(np.zeros((9, 4), dtype=np.int64))
    with pytest.raises(AudioError, match="got 1024 to 1024"):
        codec.decode(np.full((2, 4), 1024))
