"""What players open opens here: odd codecs, stopped recorders, tags and zeros in front."""

import io
import warnings

import numpy as np
import pytest
import soundfile

from bark.audio.read import load_audio, open_audio
from bark.audio.samples import samples_of
from bark.audio.write import FORMATS, encode_audio, save_audio
from bark.errors import AudioError
from tests.bark.audio.test_audio import media, tone
from tests.fuzz.audio import contained

RATE = 24_000
ID3 = b"ID3\x04\x00\x00\x00\x00\x01\x10" + bytes(144)


def written(audio: np.ndarray, kind: str, subtype: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def is_the_tone(audio: np.ndarray, rate: int = RATE, frequency: float = 440.0) -> bool:
    spectrum = np.abs(np.fft.rfft(audio))
    return abs(np.argmax(spectrum) * rate / len(audio) - frequency) < 4


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(
    "kind, subtype",
    [
        ("WAV", "GSM610"),
        ("WAV", "G721_32"),
        ("WAV", "NMS_ADPCM_16"),
        ("AIFF", "GSM610"),
        ("AU", "G723_24"),
        ("W64", "GSM610"),
    ],
)
def test_codecs_that_cannot_seek(tmp_path, kind, subtype, isolated):
    path = tmp_path / "a"
    path.write_bytes(written(tone(4.0, 8_000), kind, subtype, 8_000))
    source = open_audio(path, isolated=isolated)
    whole = source.read()
    assert is_the_tone(whole, 8_000) and source.duration == pytest.approx(4, abs=0.05)
    np.testing.assert_array_equal(source.read(3.0, 3.5), whole[24_000:28_000])


@pytest.mark.parametrize("sizes", [{40: 0}, {4: 0, 40: 0}, {4: 36, 40: 0}, {4: 0}])
@pytest.mark.parametrize("isolated", [False, True])
def test_a_wav_of_a_stopped_recorder(tmp_path, sizes, isolated):
    data = bytearray(written(tone(), "WAV", "PCM_16"))
    for at, size in sizes.items():
        data[at : at + 4] = size.to_bytes(4, "little")
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    loaded = load_audio(path, RATE, isolated=isolated)
    np.testing.assert_allclose(loaded, tone(), atol=1e-4)


def test_an_empty_wav_with_notes_holds_no_samples(tmp_path):
    data = written(np.zeros(0), "WAV", "PCM_16") + b"LIST\x04\0\0\0INFO"
    path = tmp_path / "a.wav"
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    with pytest.raises(AudioError, match="holds no samples"):
        open_audio(path)


@pytest.mark.parametrize("front", [ID3, bytes(100), ID3 + bytes(5000), ID3 + ID3, bytes(1) + ID3])
@pytest.mark.parametrize("kind", ["aac", "mp3"])
def test_tags_and_zeros_in_front(tmp_path, kind, front):
    if kind == "aac":
        pytest.importorskip("av")
    data = encode_audio(tone(), RATE, kind)  # aac begins with a tag of its own
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    plain = load_audio(path, RATE)
    path.write_bytes(front + data)
    np.testing.assert_array_equal(load_audio(path, RATE), plain)
    assert is_the_tone(plain)


@pytest.mark.parametrize("container, codec", [("wav", "wmav2"), ("wav", "ac3"), ("amr", None)])
def test_what_libsndfile_does_not_know_is_left_to_ffmpeg(tmp_path, container, codec):
    pytest.importorskip("av")
    if codec is None:
        container, codec, rate = "amr", "libopencore_amrnb", 8_000
    else:
        rate = 44_100
    path = tmp_path / "a.bin"
    path.write_bytes(contained(tone(1.0, rate), container, codec, rate))
    loaded = load_audio(path, RATE)
    assert is_the_tone(loaded) and len(loaded) / RATE == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("container, codec", [("webm", "libopus"), ("asf", "wmav2")])
def test_short_files_are_not_called_cut_for_what_their_encoder_pads(tmp_path, container, codec):
    pytest.importorskip("av")
    path = tmp_path / "a.bin"
    path.write_bytes(contained(tone(0.3, 48_000), container, codec, 48_000))
    assert len(load_audio(path, RATE)) > 0.2 * RATE


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_cut_files_of_ffmpeg_are_refused(tmp_path, kind):
    numbers = np.random.default_rng(0)
    noise = numbers.uniform(-0.3, 0.3, 48_000 * 3).astype(np.float32)
    path = media(tmp_path / f"a.{kind}", "aac" if kind == "m4a" else "libopus", audio=noise)
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(AudioError, match=r"a\.\w+: is (cut short|damaged)"):
            load_audio(path, RATE)


@pytest.mark.parametrize("name", ["many_1.aac", "many_50.aac"])
@pytest.mark.parametrize("suffix", ["aac", "wav"])
def test_files_that_killed_the_process(shared, tmp_path, name, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes((shared / "faults" / name).read_bytes())
    with pytest.raises(AudioError, match="changes its channels in mid-stream: got 40; allowed: 1"):
        load_audio(path, RATE)


def test_channels_that_change_in_mid_stream(tmp_path):
    pytest.importorskip("av")
    mono = encode_audio(tone(), RATE, "aac")[10:]
    stereo = encode_audio(np.stack([tone(), tone()], axis=1), RATE, "aac")
    path = tmp_path / "a.aac"
    path.write_bytes(mono[mono.index(b"\xff\xf1") :] + stereo[stereo.index(b"\xff\xf1") :])
    with pytest.raises(AudioError, match=r"a\.aac: changes its channels in mid-stream"):
        load_audio(path, RATE)


@pytest.mark.parametrize("kind", ["wav", "mp3"])
@pytest.mark.parametrize("isolated", [False, True])
def test_opposite_channels_are_said_and_one_is_taken(tmp_path, caplog, kind, isolated):
    wide = np.stack([0.5 * tone(), -tone()], axis=1)
    save_audio(tmp_path / f"a.{kind}", np.stack([tone(), -tone()], axis=1))
    loaded = load_audio(tmp_path / f"a.{kind}", RATE, isolated=isolated)
    assert is_the_tone(loaded) and np.abs(loaded).max() == pytest.approx(0.3, rel=0.1)
    said = "its channels are in opposite phase and cancel; channel {} of 2 is taken alone"
    assert f"a.{kind}: " + said.format(1) in caplog.text or said.format(2) in caplog.text
    caplog.clear()
    np.testing.assert_allclose(load_audio((RATE, wide), RATE), -0.25 * tone(), atol=1e-6)
    assert "cancel" not in caplog.text  # half as loud: one channel survives
    np.testing.assert_array_equal(load_audio((RATE, np.stack([tone(), -tone()], 1)), RATE), tone())
    assert said.format(1) in caplog.text


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [3.4e38, -3.4e38, 1e300, 1e30, 9.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_absurd_samples_are_refused_without_a_warning(tmp_path, subtype, value, channels):
    if subtype == "FLOAT" and value == 1e300:
        value = 3.4e38
    path = tmp_path / "a.wav"
    path.write_bytes(written(np.full((RATE, channels), value), "WAV", subtype))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rate in (RATE, 16_000):
            with pytest.raises(AudioError, match="far beyond full scale|NaN or infinity"):
                load_audio(path, rate)
        with pytest.raises(AudioError, match="far beyond full scale|NaN or infinity"):
            open_audio(path).read()
        with pytest.raises(AudioError, match="far beyond full scale"):
            load_audio(np.full((RATE, channels), value), RATE, source_rate=16_000)


def test_decoders_write_nothing_to_stderr(tmp_path, capfd):
    data = encode_audio(tone(2), RATE, "mp3")
    numbers = np.random.default_rng(0)
    for place in range(40):
        hurt = bytearray(data)
        at = int(numbers.integers(500, len(data) - 500))
        hurt[at : at + 300] = numbers.bytes(300)
        path = tmp_path / f"{place}.mp3"
        path.write_bytes(hurt)
        try:
            load_audio(path, RATE)
        except AudioError:
            continue
    for at in range(4, 60):
        hurt = bytearray(written(tone(0.1), "AIFF", "PCM_16"))
        hurt[at : at + 4] = b"\xff\xff\xff\xf0"
        (tmp_path / "a.aiff").write_bytes(hurt)
        try:
            load_audio(tmp_path / "a.aiff", RATE)
        except AudioError:
            continue
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", list(FORMATS))
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_that_is_written_is_read(tmp_path, kind, channels):
    if FORMATS[kind].ffmpeg:
        pytest.importorskip("av")
    source = np.repeat(tone(2)[:, None], channels, axis=1)
    data = encode_audio(source, RATE, kind, {"comment": "a machine spoke"})
    assert (b"a machine spoke" in data) is FORMATS[kind].tagged
    if kind == "pcm":
        read = np.frombuffer(data, dtype="<i2").reshape(-1, channels)
        np.testing.assert_allclose(read / 32_768, source, atol=1e-4)
        return
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data)
    source = open_audio(path)
    assert (source.sample_rate, source.channels) == (RATE, channels)
    loaded = load_audio(path, RATE)
    assert abs(len(loaded) / RATE - 2) < 0.1 and is_the_tone(loaded)
    assert np.abs(loaded[5000:40_000]).max() == pytest.approx(0.3, rel=0.1)


def test_a_chain_of_empty_tags_ends(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3\x04\0\0\0\0\0\0" * 500_000)
    with pytest.raises(AudioError, match="is not recognised as audio"):
        open_audio(path)


def test_channels_are_never_called_opposite_for_a_few_samples(caplog):
    numbers = np.random.default_rng(0)
    for samples in (1, 2, 7, 8, 20, 300, 2_000):
        for _ in range(50):
            samples_of((RATE, numbers.normal(0, 0.1, (samples, 2))))
    assert "cancel" not in caplog.text
