"""Audio files: every format, rate and channel count in; hostile files refused in a sentence; tags out."""

import io
import math
import os
import socket
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bark.audio.read import load_audio, open_audio, resample
from bark.audio.sndfile import BLOCK
from bark.audio.write import AI_TAG, encode_audio, save_audio
from bark.errors import AudioError, MissingFileError, StorageError
from tests.conftest import ROOT


def tone(seconds=1.0, rate=24_000, frequency=440.0, level=0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def write(path: Path, audio: np.ndarray, rate=24_000, kind=None, subtype=None) -> Path:
    soundfile.write(path, audio, rate, format=kind, subtype=subtype)
    return path


def media(
    path: Path, codec: str, rate=48_000, audio: np.ndarray | None = None, video=False
) -> Path:
    """Write m4a, aac, webm or mp4 with PyAV; without audio where `audio` is empty."""
    av = pytest.importorskip("av")
    audio = tone(1.0, rate) if audio is None else audio
    with av.open(str(path), "w") as out:
        if video:
            moving = out.add_stream("mpeg4", rate=25)
            moving.width, moving.height, moving.pix_fmt = 64, 64, "yuv420p"
        stream = out.add_stream(codec, rate=rate, layout="mono") if len(audio) else None
        if video:
            for _ in range(25):
                out.mux(moving.encode(av.VideoFrame(64, 64, "yuv420p")))
            out.mux(moving.encode(None))
        if stream is not None:
            frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


# ---- what is accepted ------------------------------------------------------------------------------------

CELLS = [
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "PCM_U8"),
    ("wav", "ULAW"),
    ("wav", "FLOAT"),
    ("wav", "DOUBLE"),
    ("flac", "PCM_24"),
    ("ogg", "VORBIS"),
    ("aiff", "PCM_16"),
    ("mp3", "MPEG_LAYER_III"),
]
RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000]


@pytest.mark.parametrize("kind, subtype", CELLS)
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_every_format_rate_and_channel_count_gives_the_same_mono_tone(
    tmp_path, kind, subtype, channels
):
    for rate in RATES:
        if kind == "mp3" and (rate > 48_000 or channels > 2):
            continue
        source = np.repeat(tone(0.6, rate)[:, None], channels, axis=1)
        path = write(tmp_path / f"a.{kind}", source, rate, subtype=subtype)
        loaded = load_audio(path, 16_000)
        assert loaded.dtype == np.float32 and loaded.ndim == 1
        assert abs(len(loaded) - 9600) <= 1
        middle = loaded[1600:8000]
        assert np.sqrt((middle**2).mean()) == pytest.approx(0.3 / math.sqrt(2), rel=0.02)
        spectrum = np.abs(np.fft.rfft(middle))
        assert np.argmax(spectrum) * 16_000 / len(middle) == pytest.approx(440, abs=2.5)


@pytest.mark.parametrize(
    "name, codec, video",
    [
        ("a.m4a", "aac", False),
        ("a.aac", "aac", False),
        ("a.webm", "libopus", False),
        ("a.mp4", "aac", True),
    ],
)
def test_compressed_and_video_files_through_pyav(tmp_path, name, codec, video):
    path = media(tmp_path / name, codec, video=video)
    renamed = path.rename(tmp_path / "renamed.wav")  # the content decides
    loaded = load_audio(renamed, 16_000)
    assert abs(len(loaded) / 16_000 - 1) < 0.06
    assert np.sqrt((loaded[3000:12000] ** 2).mean()) == pytest.approx(0.3 / math.sqrt(2), rel=0.05)
    part = load_audio(renamed, 16_000, start=0.25, end=0.75)
    assert len(part) == 8000
    np.testing.assert_allclose(part[200:-200], loaded[4200:11800], atol=2e-3)


def test_a_video_without_sound_is_refused(tmp_path):
    path = media(tmp_path / "a.mp4", "aac", audio=np.zeros(0), video=True)
    with pytest.raises(AudioError, match=r"a\.mp4: has no audio stream"):
        open_audio(path)


def test_a_missing_pyav_is_named(tmp_path, monkeypatch):
    path = media(tmp_path / "a.m4a", "aac")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        AudioError, match=r"PyAV is missing\. pip install 'bark-voice-booth\[media\]'"
    ):
        open_audio(path)


def test_a_missing_pyav_is_named_in_writing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"m4a is written by PyAV, which is missing\. pip install"):
        save_audio(tmp_path / "a.m4a", tone())
    with pytest.raises(AudioError, match="allowed: wav, flac, mp3, ogg, opus, pcm$"):
        save_audio(tmp_path / "a.xyz", tone())


def test_the_suffix_does_not_matter(tmp_path):
    for name in ("a.raw", "a.txt", "a", "a.mp3"):
        path = write(tmp_path / name, tone(), kind="FLAC")
        assert len(load_audio(path, 24_000)) == 24_000


@given(st.integers(4_000, 200_000), st.integers(4_000, 200_000), st.integers(1, 3 * BLOCK))
@settings(max_examples=15, deadline=None)
def test_reading_in_blocks_equals_resampling_at_once(tmp_path_factory, from_rate, to_rate, samples):
    audio = np.random.default_rng(samples).uniform(-0.5, 0.5, samples).astype(np.float32)
    path = write(tmp_path_factory.getbasetemp() / "block.wav", audio, from_rate, subtype="FLOAT")
    np.testing.assert_allclose(
        open_audio(path).read(sample_rate=to_rate), resample(audio, from_rate, to_rate), atol=1e-6
    )


def test_windows_are_the_samples_of_the_whole(tmp_path):
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 2)).astype(np.float32)
    source = open_audio(write(tmp_path / "a.wav", audio, 44_100, subtype="FLOAT"))
    assert (source.sample_rate, source.channels, source.frames) == (44_100, 2, 200_000)
    assert source.duration == pytest.approx(4.535, abs=1e-3)
    whole = source.read()
    np.testing.assert_allclose(whole, audio.mean(axis=1), atol=1e-7)
    for start, end in ((0, 1), (1.5, 3.25), (4, 99), (None, 2), (3, None)):
        part = source.read(start, end)
        first, last = round((start or 0) * 44_100), 200_000 if end is None else round(end * 44_100)
        np.testing.assert_array_equal(part, whole[first:last])


@pytest.mark.parametrize("start, end", [(2, 1), (1, 1), (-1, 1), (5, 6), (math.nan, 1)])
def test_an_empty_part_is_refused(tmp_path, start, end):
    path = write(tmp_path / "a.wav", tone(2))
    with pytest.raises(
        AudioError, match=r"the part asked for is empty: got .*; allowed: inside 0 s to 2\.00 s"
    ):
        open_audio(path).read(start, end)
    with pytest.raises(AudioError, match=r"samples: the part asked for is empty"):
        load_audio(tone(2), 24_000, source_rate=24_000, start=start, end=end)


def test_arrays_of_any_kind():
    audio = tone()
    stereo = np.stack([audio, audio], axis=1)
    for source in (
        audio,
        stereo,
        stereo.T,
        audio.astype(np.float64),
        (audio * 32768).astype(np.int16),
    ):
        np.testing.assert_allclose(load_audio(source, 24_000, source_rate=24_000), audio, atol=1e-4)
    half = load_audio(audio, 16_000, source_rate=24_000, start=0.25, end=0.75)
    assert len(half) == 8000
    for bad, message in (
        (np.zeros((3, 4, 5)), r"wrong shape or type: got \(3, 4, 5\)"),
        (np.array(["a"]), "wrong shape or type"),
        (np.zeros(0), "holds no samples"),
    ):
        with pytest.raises(AudioError, match=message):
            load_audio(bad, 24_000, source_rate=24_000)
    with pytest.raises(AudioError, match="samples need their source_rate"):
        load_audio(audio, 24_000)


def test_a_constant_offset_is_removed_and_said(caplog):
    loaded = load_audio(tone() + 0.2, 24_000, source_rate=24_000)
    assert abs(loaded.mean()) < 1e-3
    assert "constant offset of 0.200 removed" in caplog.text


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is empty: got 0 bytes"),
        (b"hello, this is text", "is not recognised as audio: got first bytes 68 65 6c 6c 6f"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/x.wav\n", "is not recognised as audio"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "is not recognised as audio"),
        (b"\x00\x00\x00\x18ftypM4A \x00\x00" + bytes(40), "is damaged or no mov file"),
        (
            b"\x1a\x45\xdf\xa3" + bytes(60),
            "is damaged or no matroska file|has no audio stream that",
        ),
        (bytes(range(256)) * 8, "is not recognised as audio"),
    ],
)
def test_what_is_no_audio(tmp_path, data, message):
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=message) as caught:
        load_audio(path, 24_000)
    assert str(path) in str(caught.value)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for place, message in (
        (tmp_path / "pipe.wav", "is not a regular file"),
        (tmp_path, "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        ("x" * 5000, "this is no file name"),
    ):
        with pytest.raises(AudioError, match=message):
            open_audio(place)
    for name, shown in (("absent.wav", "absent.wav"), ("a\0b.wav", r"a\\x00b.wav")):
        with pytest.raises(MissingFileError, match=f"no file .*{shown}"):
            open_audio(tmp_path / name)


def test_a_name_that_begins_like_a_user_is_a_name():
    with pytest.raises(MissingFileError, match="no file ~nosuchuser/a.wav"):
        open_audio("~nosuchuser/a.wav")


def test_no_address_is_ever_contacted(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        with pytest.raises(AudioError, match="read from files, not addresses"):
            open_audio(address)
        for kind in ("a.m3u8", "a.wav"):
            path = tmp_path / kind
            path.write_text(f"#EXTM3U\n#EXTINF:1,\n{address}\n")
            with pytest.raises(AudioError):
                open_audio(path)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    "name", ["ein Lied.wav", 'it\'s "x".wav', "🎤.wav", "a\nb.wav", "-rf", "x" * 200]
)
def test_odd_names_work(tmp_path, name):
    path = write(tmp_path / name, tone(), kind="WAV")
    assert len(load_audio(path, 24_000)) == 24_000


@pytest.mark.parametrize("isolated", [False, True])
def test_blocks_belong_to_the_caller(tmp_path, isolated):
    for block in open_audio(write(tmp_path / "a.wav", tone()), isolated=isolated).blocks():
        block *= 2


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 12_000, 23_999])
def test_non_finite_samples_are_counted_and_placed(tmp_path, subtype, value, at):
    audio = tone()
    audio[at] = value
    path = write(tmp_path / "a.wav", audio, subtype=subtype)
    with pytest.raises(
        AudioError, match=rf"NaN or infinity: got 1 such samples, the first at {at / 24_000:.4f} s"
    ):
        load_audio(path, 16_000)
    with pytest.raises(AudioError, match=rf"the first at {at / 24_000:.4f} s"):
        load_audio(audio, 16_000, source_rate=24_000)


@pytest.mark.parametrize(
    "audio, message",
    [
        (np.zeros(24_000), "is silent: got digital silence; allowed: -60 dBFS or louder"),
        (tone(level=1e-4), "is silent: got -83 dBFS"),
        (np.full(24_000, 0.5), "is silent"),
        (tone() * 30_000, "reach far beyond full scale: got 9000; allowed: up to 8"),
        (tone() * 1e30, "reach far beyond full scale"),
    ],
)
def test_what_no_one_could_hear(tmp_path, audio, message):
    with pytest.raises(AudioError, match=message):
        load_audio(write(tmp_path / "a.wav", audio, subtype="FLOAT"), 24_000)


@pytest.mark.parametrize("samples", [1, 2, 319, 320, 321, 400])
def test_any_length_from_one_sample_loads(tmp_path, samples):
    path = write(tmp_path / "a.wav", np.full(samples, 0.005, np.float32), 24_000)
    assert len(load_audio(path, 24_000)) == samples


def test_no_samples(tmp_path):
    with pytest.raises(AudioError, match="holds no samples"):
        load_audio(write(tmp_path / "a.wav", np.zeros(0)), 24_000)


def wav_header(path: Path, at: int, size: int, value: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + size] = value.to_bytes(size, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "at, size, value, message",
    [
        (24, 4, 1, "sample rate: got 1 Hz; allowed: 4000 to 384000 Hz|not recognised"),
        (24, 4, 2**31 - 1, "sample rate: got 2147483647 Hz|not recognised"),
        (22, 2, 33, "channels: got 33; allowed: 1 to 32|not recognised"),
        (22, 2, 65_535, "channels|not recognised"),
        (4, 4, 2**30, r"is cut short: got 48,044 bytes; allowed: 1,073,741,832"),
    ],
)
def test_headers_that_lie(tmp_path, at, size, value, message):
    path = wav_header(write(tmp_path / "a.wav", tone()), at, size, value)
    with pytest.raises(AudioError, match=message):
        load_audio(path, 24_000)


def test_a_wav_written_to_a_pipe_has_no_length_and_loads(tmp_path):
    path = write(tmp_path / "a.wav", tone())
    for at in (4, 40):
        wav_header(path, at, 4, 0xFFFF_FFFF)
    assert len(load_audio(path, 24_000)) == 24_000


def test_a_flac_written_to_a_pipe_has_no_length_and_loads(tmp_path):
    pytest.importorskip("av", reason="needs PyAV: .[media]")
    path = write(tmp_path / "a.flac", tone())
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO: the 36-bit number of samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert open_audio(path).frames == 24_000
    assert len(load_audio(path, 24_000)) == 24_000


def test_a_flac_that_claims_64_billion_samples_allocates_nothing(tmp_path):
    path = write(tmp_path / "a.flac", tone())
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # STREAMINFO: the 36-bit number of samples
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(
        AudioError, match=r"is too long: got \d+ s; allowed: up to 7200 s\. Choose a part"
    ):
        load_audio(path, 24_000)
    with pytest.raises(AudioError, match="is damaged"):
        load_audio(path, 24_000, start=0.2, end=0.4)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "aiff", "mp3"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8])
def test_cut_files_are_refused(tmp_path, kind, share):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 72_000).astype(np.float32)
    data = write(tmp_path / f"a.{kind}", noise).read_bytes()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        AudioError, match="cut short|is damaged|holds no samples|not recognised"
    ) as caught:
        load_audio(path, 24_000)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "m4a", "webm"])
def test_any_flipped_bytes_give_samples_or_one_audio_error(tmp_path, kind):
    """The only exception class that comes out is `AudioError`."""
    if kind in ("m4a", "webm"):
        seed = media(
            tmp_path / f"a.{kind}", "aac" if kind == "m4a" else "libopus", audio=tone(0.3, 48_000)
        )
    else:
        seed = write(tmp_path / f"a.{kind}", tone(0.3))
    whole = seed.read_bytes()
    numbers = np.random.default_rng(0)
    path = tmp_path / f"mutant.{kind}"
    for _ in range(40):
        data = bytearray(whole)
        for at in numbers.integers(
            0, min(len(data), 400 if numbers.random() < 0.5 else len(data)), 4
        ):
            data[at] = numbers.integers(256)
        path.write_bytes(data)
        try:
            assert len(load_audio(path, 24_000, max_seconds=60)) < 61 * 24_000
        except AudioError as error:
            assert str(path) in str(error)


def test_long_files_are_read_in_bounded_memory(tmp_path):
    """Six minutes at 48 kHz stereo: 138 MB decoded at once, 35 MB as 24 kHz mono."""
    path = tmp_path / "long.flac"
    block = np.repeat(tone(10, 48_000)[:, None], 2, axis=1)
    with soundfile.SoundFile(path, "w", 48_000, 2, "PCM_16") as out:
        for _ in range(36):
            out.write(block)
    script = (
        "import resource, sys\n"
        "from bark.audio import open_audio\n"
        "source = open_audio(sys.argv[1])\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert len(source.read(sample_rate=24000)) == 360 * 24000\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 34.6 + 40  # MB: the result, and a few blocks


# ---- what is written -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg"])
def test_saved_files_keep_samples_and_tags(tmp_path, kind):
    tags = {"title": "Grüße aus\nBerlin", "comment": AI_TAG, "software": "bark 1"}
    path = tmp_path / f"a.{kind}"
    assert save_audio(path, tone(1), tags=tags) == 0
    loaded = load_audio(path, 24_000)
    assert abs(len(loaded) - 24_000) <= 1
    np.testing.assert_allclose(
        loaded[500:-500], tone(1)[500:-500], atol=2e-4 if kind in ("wav", "flac") else 0.05
    )
    with soundfile.SoundFile(path) as file:
        assert (file.title, file.comment) == ("Grüße aus Berlin", AI_TAG)
        assert kind == "mp3" or file.software.startswith("bark 1")
    assert load_audio(Path(io_copy(tmp_path, kind, tags)), 24_000).shape == loaded.shape


def io_copy(folder: Path, kind: str, tags: dict[str, str]) -> Path:
    path = folder / f"copy.{kind}"
    path.write_bytes(encode_audio(tone(1), 24_000, kind, tags))
    return path


def test_wav_is_what_the_standard_library_reads():
    with wave.open(io.BytesIO(encode_audio(tone(0.5))), "rb") as file:
        assert (
            file.getframerate(),
            file.getnchannels(),
            file.getsampwidth(),
            file.getnframes(),
        ) == (
            24_000,
            1,
            2,
            12_000,
        )


def test_clipping_is_counted(tmp_path, caplog):
    audio = tone()
    audio[[3, 5]] = 1.5, -2.0
    assert save_audio(tmp_path / "a.wav", audio) == 2
    assert "2 of 24000 samples clipped" in caplog.text
    assert abs(load_audio(tmp_path / "a.wav", 24_000)).max() <= 1.0


@pytest.mark.parametrize(
    "audio, name, message",
    [
        (np.array([np.nan]), "a.wav", "audio to write holds NaN or infinity"),
        (np.zeros(0), "a.wav", r"wrong shape: got \(0,\); allowed: \(samples,\)"),
        (np.zeros((2, 9, 9)), "a.wav", r"wrong shape or type: got \(2, 9, 9\)"),
        (tone(), "a.xyz", "unknown audio format: got xyz; allowed: wav, flac, mp3, ogg"),
        (tone(), "a", "unknown audio format: got none"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, audio, name, message):
    with pytest.raises(AudioError, match=message):
        save_audio(tmp_path / name, audio)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_earlier_file(tmp_path):
    path = tmp_path / "a.mp3"
    save_audio(path, tone())
    before = path.read_bytes()
    with pytest.raises(AudioError, match="cannot write mp3 at 12345 Hz"):
        save_audio(path, tone(), 12_345)
    with pytest.raises(AudioError, match=r"unknown tags: got \['mood'\]"):
        save_audio(path, tone(), tags={"mood": "x"})
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_an_unwritable_place_is_one_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write .*a.wav"):
        save_audio(tmp_path / "file" / "a.wav", tone())


@pytest.mark.parametrize("rate", [0, -1, 3999, 384_001, 2.5, True, "x"])
def test_impossible_rates(rate):
    with pytest.raises(AudioError, match="sample rate: got .*; allowed: 4000 to 384000 Hz"):
        resample(tone(), 24_000, rate)
