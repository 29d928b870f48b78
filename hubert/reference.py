"""Turns a recording into the part of it worth cloning, with measurements and warnings.

Bark continues a voice from its end, and hears at most the last 6.83 s (fine), 5.13 s (semantic) and
4.17 s (coarse). So one window of up to 10 s is enough: long enough that the encoders have context
where Bark listens, and ending in a pause, since Bark goes on in the middle of a word that is cut
off.

Speech is told from pauses by its energy alone. That finds pauses, hiss and clipping; it does not
tell a second speaker, music or echo from the voice, so those stay the user's to avoid."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bark.audio.read import load_audio, open_audio
from bark.errors import AudioError
from bark.tokens import BARK

MIN_SECONDS = 1.1  # shorter clips can miss Suno's ratio of frames to tokens
GOOD_SECONDS = 3.0  # of speech, below which the voice is hardly caught
HEARD_SECONDS = BARK.fine_history / BARK.coarse_rate  # 6.83 s: what Bark can hear at most
MAX_WINDOW = 10.0  # s, where the window is chosen here
MAX_SPAN = 20.0  # s, where the user names both ends

HOP = 0.01  # s, one energy frame
SMOOTH = 5  # frames averaged before a decision
PAUSE = 0.2  # s of quiet after which a word is over; the closure of a t or k is shorter
BRIDGE = 0.15  # s of quiet that still belong to a word
CLICK = 0.05  # s of sound too short to be speech
TAIL = 0.15  # s kept of the pause after the last word, and before the first
CLIPPED = 0.99  # of full scale

QUIET_DB, SILENT_DB = -40.0, -60.0  # dBFS RMS of the speech
NOISY_DB = 15.0  # speech over background
CLIPPED_SHARE = 5e-4  # of all samples
PAUSE_SHARE = 0.5  # of what Bark hears
NARROW = 5_000.0  # Hz
FLOOR_DB = 65.0  # below the strongest band, where a spectrum counts as ended


@dataclass(frozen=True)
class Finding:
    """One warning: a stable code for programs and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Report:
    """What was found in a recording, and the window to clone."""

    duration: float  # s, of the whole recording
    start: float  # s, of the window
    end: float  # s
    speech: float  # s of speech in what Bark will hear
    level_db: float  # dBFS, RMS of the window's speech
    peak_db: float  # dBFS, of the window
    snr_db: float | None  # speech over the background of its pauses; None if it never pauses
    clipped: float  # share of the window's samples at full scale
    bandwidth: float  # Hz, up to which the window's spectrum reaches; at most 12 000
    findings: tuple[Finding, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.end - self.start

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Say the measurements in one line."""
        snr = "no pauses" if self.snr_db is None else f"SNR {self.snr_db:.0f} dB"
        return (
            f"{self.start:.2f}-{self.end:.2f} s of {self.duration:.1f} s, level "
            f"{self.level_db:.0f} dBFS, "
            f"peak {self.peak_db:.0f} dBFS, {snr}, {self.clipped:.1%} clipped, "
            f"up to {self.bandwidth / 1000:.1f} kHz"
        )


@dataclass(frozen=True)
class Frames:
    """Energy of a recording in frames of about 10 ms."""

    power: np.ndarray  # (F,) mean square, without the frame's own mean
    peak: np.ndarray  # (F,) largest absolute sample
    clipped: np.ndarray  # (F,) samples at full scale
    hop: float  # s
    size: int  # samples of a frame

    def span(self, start: float, end: float) -> slice:
        """Return the frames between two instants, at least one."""
        first = min(round(start / self.hop), len(self.power) - 1)
        return slice(first, max(first + 1, round(end / self.hop)))


def examine(
    recording: str | Path | np.ndarray,
    *,
    sample_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Report:
    """Measure a recording of any length, in bounded memory, and choose the window to clone.

    Parameters
    ----------
    recording : a file, or samples (N,) or (N, channels) with their `sample_rate`.
    start, end : seconds; an end of the window that is given is kept exactly, the other one is
        chosen.

    Raises
    ------
    AudioError
        If it cannot be read, is silent, or holds less than 1.1 s.
    """
    if isinstance(recording, np.ndarray):
        if sample_rate is None:
            raise AudioError("samples need their sample_rate")
        samples = load_audio(recording, sample_rate, source_rate=sample_rate)
        rate, duration, where = sample_rate, len(samples) / sample_rate, "recording"
        blocks: Iterable[np.ndarray] = [samples]
    else:
        source = open_audio(recording)
        rate, duration, where = source.sample_rate, source.duration, str(source.path)
        blocks = source.blocks()
    _check_span(start, end, duration, where)
    end = None if end is None else min(end, duration)
    frames = energy(blocks, rate)
    speech = speech_frames(frames)
    if not speech.any():
        raise AudioError(f"{where} is silent", got=f"peak {_db(frames.peak.max() ** 2):.0f} dBFS")
    first, last, complete = choose_window(frames, speech, start, end)
    last = min(last, duration)
    audio = load_audio(recording, BARK.sample_rate, source_rate=sample_rate, start=first, end=last)
    return _report(
        frames, speech, duration, (first, last), complete, bandwidth(audio, BARK.sample_rate)
    )


def energy(blocks: Iterable[np.ndarray], sample_rate: int) -> Frames:
    """Reduce a stream of mono blocks to frames; a last part frame is dropped unless it is the only
    one.
    """
    size = max(1, round(sample_rate * HOP))
    power, peak, clipped = [], [], []
    for part in _whole_frames(blocks, size):
        cells = part.reshape(-1, size)  # (F, size)
        power.append(cells.var(axis=1))
        loudest = np.abs(cells)
        peak.append(loudest.max(axis=1))
        clipped.append((loudest >= CLIPPED).sum(axis=1))
    if not power:
        raise AudioError(
            "recording is too short", got="less than 10 ms", allowed=f"at least {MIN_SECONDS} s"
        )
    return Frames(
        np.concatenate(power),
        np.concatenate(peak),
        np.concatenate(clipped),
        size / sample_rate,
        size,
    )


def _whole_frames(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield the stream in pieces of whole frames."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        block = np.concatenate([rest, block])
        whole = len(block) // size * size
        rest = block[whole:].copy()
        if whole:
            yield block[:whole]


def speech_frames(frames: Frames) -> np.ndarray:
    """Tell speech from pauses by energy.

    The threshold lies a third of the way up, in decibels, from the background (the recording's
    quietest tenth) to loud speech (the loudest tenth of what is 6 dB above the background), but no
    more than 40 dB below the latter.

    Returns
    -------
    (F,) bool. All False if nothing is louder than -60 dBFS; all True if all is of one level.
    """
    smooth = np.convolve(frames.power, np.full(SMOOTH, 1 / SMOOTH), mode="same")
    level = 10 * np.log10(smooth + 1e-12)
    quiet = np.percentile(level, 10)
    above = level[level > quiet + 6]
    if level.max() < SILENT_DB:
        return np.zeros(len(level), dtype=bool)
    if len(above) * frames.hop < PAUSE:  # one level throughout: no pause in it can be told
        return np.ones(len(level), dtype=bool)
    loud = np.percentile(above, 90)
    speech = level > max(quiet + (loud - quiet) / 3, loud - 40)
    speech = _without_short_runs(speech, ~speech, BRIDGE / frames.hop)
    return _without_short_runs(speech, speech, CLICK / frames.hop)


def _without_short_runs(speech: np.ndarray, which: np.ndarray, shortest: float) -> np.ndarray:
    """Flip the runs of `which` that are too short; a run at the beginning or end of the recording
    stays.
    """
    speech = speech.copy()
    for begin, stop in _runs(which):
        if stop - begin < shortest and begin > 0 and stop < len(which):
            speech[begin:stop] = ~speech[begin:stop]
    return speech


def _runs(mask: np.ndarray) -> np.ndarray:
    """Return the (begin, stop) of each run of True: (R, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)


def choose_window(
    frames: Frames, speech: np.ndarray, start: float | None = None, end: float | None = None
) -> tuple[float, float, bool]:
    """Choose the window: the pause whose last 6.83 s before it are the best.

    Best is much speech, little background noise, no clipping, and a long pause, as after a
    sentence. A recording without a pause that leaves 2 s is used to its end.

    Returns
    -------
    start and end in seconds, and whether the end is in a pause.
    """
    total = len(speech) * frames.hop
    low, high = start or 0.0, total if end is None else end
    if end is not None:
        complete = not speech[frames.span(max(low, high - 0.05), high)].all()
        return (_begin(frames, speech, low, high) if start is None else low), high, complete
    limit = high if start is None else min(high, start + MAX_WINDOW)
    ends, lengths = _pauses(frames, speech, low, limit)
    usable = ends - np.maximum(low, ends - MAX_WINDOW) >= min(
        2.0, max(MIN_SECONDS, high - low - 0.5)
    )
    if not usable.any():
        return (_begin(frames, speech, low, limit) if start is None else low), limit, False
    ends, lengths = ends[usable], lengths[usable]
    scores = _scores(frames, speech, low, ends) + 0.3 * np.minimum(lengths / 0.6, 1.0)
    best = float(ends[int(scores.argmax())])
    return (_begin(frames, speech, low, best) if start is None else low), best, True


def _pauses(
    frames: Frames, speech: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return where a window may end, a little into each pause, and how long each pause is, in
    seconds.
    """
    runs = _runs(~speech) * frames.hop  # (R, 2)
    at_end = runs[:, 1] >= len(speech) * frames.hop - frames.hop / 2
    runs = runs[((runs[:, 1] - runs[:, 0] >= PAUSE) | at_end) & (runs[:, 0] > low)]
    lengths = runs[:, 1] - runs[:, 0]
    ends = runs[:, 0] + np.minimum(lengths, TAIL)
    inside = ends <= high + 1e-9
    return ends[inside], lengths[inside]


def _begin(frames: Frames, speech: np.ndarray, low: float, end: float) -> float:
    """Return where a window with this end starts: at most 10 s before, and not with a
    long silence.
    """
    earliest = max(low, end - MAX_WINDOW)
    here = np.flatnonzero(speech[frames.span(earliest, end)])
    onset = earliest + (here[0] * frames.hop if len(here) else 0.0) - TAIL
    return max(low, min(max(earliest, onset), end - MIN_SECONDS))


def _scores(frames: Frames, speech: np.ndarray, low: float, ends: np.ndarray) -> np.ndarray:
    """Rate what Bark would hear before each of several ends (E,): share of speech, background,
    clipping.
    """
    first = np.rint(np.maximum(low, ends - HEARD_SECONDS) / frames.hop).astype(int)
    last = np.maximum(first + 1, np.minimum(np.rint(ends / frames.hop).astype(int), len(speech)))

    def total(values: np.ndarray) -> np.ndarray:
        running = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        return running[last] - running[first]

    spoken, quiet = total(speech), total(~speech)
    loudness = total(frames.power * speech) / np.maximum(spoken, 1)
    background = total(frames.power * ~speech) / np.maximum(quiet, 1)
    ratio = 10 * np.log10((loudness + 1e-12) / (background + 1e-12))
    clipped = total(frames.clipped) / ((last - first) * frames.size)
    seconds = spoken * frames.hop
    return seconds / HEARD_SECONDS + 0.02 * np.clip(ratio, 0, 30) - 20 * clipped


def bandwidth(audio: np.ndarray, sample_rate: int) -> float:
    """Return the frequency up to which the mean spectrum stays within 65 dB of its strongest band,
    in Hz.
    """
    size = 1024
    if len(audio) < size:
        return 0.0
    cells = np.lib.stride_tricks.sliding_window_view(audio, size)[:: size // 2] * np.hanning(size)
    spectrum = (np.abs(np.fft.rfft(cells, axis=1)) ** 2).mean(axis=0)  # (513,)
    bands = np.convolve(spectrum, np.ones(9) / 9, mode="same")
    strong = np.flatnonzero(bands >= bands.max() * 10 ** (-FLOOR_DB / 10))
    return float(strong[-1] * sample_rate / size)


def _report(
    frames: Frames,
    speech: np.ndarray,
    duration: float,
    window: tuple[float, float],
    complete: bool,
    band: float,
) -> Report:
    start, end = window
    inside = frames.span(start, end)
    heard = frames.span(max(start, end - HEARD_SECONDS), end)
    spoken = speech[inside]
    loudness = frames.power[inside][spoken].mean() if spoken.any() else 0.0
    quiet = frames.power[inside][~spoken]
    if len(quiet) * frames.hop < PAUSE:  # too little to judge by: take every pause of the recording
        quiet = frames.power[~speech]
    snr = min(80.0, _db(loudness) - _db(quiet.mean())) if len(quiet) else None
    report = Report(
        duration=duration,
        start=start,
        end=end,
        speech=float(speech[heard].sum() * frames.hop),
        level_db=_db(loudness),
        peak_db=_db(frames.peak[inside].max() ** 2),
        snr_db=snr,
        clipped=float(frames.clipped[inside].sum() / (len(spoken) * frames.size)),
        bandwidth=band,
    )
    return Report(**{**asdict(report), "findings": tuple(_findings(report, complete))})


def _findings(report: Report, complete: bool) -> Iterator[Finding]:
    """Yield one finding for each thing that makes a clone worse."""
    heard = min(report.seconds, HEARD_SECONDS)
    if report.speech < GOOD_SECONDS:
        yield Finding(
            "short", f"only {report.speech:.1f} s of speech to learn from; 5 to 10 s are better"
        )
    if heard - report.speech > PAUSE_SHARE * heard:
        yield Finding("pauses", f"{1 - report.speech / heard:.0%} of what Bark hears is silence")
    if not complete:
        yield Finding(
            "cut-off",
            "the end is not in a pause, so Bark may go on with half a word; give another end",
        )
    if report.level_db < QUIET_DB:
        yield Finding("quiet", f"speech is at {report.level_db:.0f} dBFS; record nearer or louder")
    if report.clipped > CLIPPED_SHARE:
        yield Finding(
            "clipped", f"{report.clipped:.1%} of the samples are at full scale: distorted"
        )
    if report.snr_db is not None and report.snr_db < NOISY_DB:
        yield Finding("noisy", f"speech is only {report.snr_db:.0f} dB above the background")
    if report.bandwidth < NARROW:
        yield Finding(
            "narrow-band", f"nothing above {report.bandwidth / 1000:.1f} kHz, as on a telephone"
        )


def _check_span(start: float | None, end: float | None, duration: float, where: str) -> None:
    """Refuse recordings and spans that are too short, too long or outside."""
    if duration < MIN_SECONDS:
        raise AudioError(
            f"{where} is too short to clone", f"{duration:.2f} s", f"at least {MIN_SECONDS} s"
        )
    low, high = start or 0.0, duration if end is None else end
    if not (math.isfinite(low) and math.isfinite(high) and 0 <= low < high) or low >= duration:
        raise AudioError(
            f"{where}: no such part", f"{low:g} s to {high:g} s", f"0 s to {duration:.2f} s"
        )
    if (length := min(high, duration) - low) < MIN_SECONDS:
        raise AudioError(
            f"{where}: the part is too short to clone",
            f"{length:.2f} s",
            f"at least {MIN_SECONDS} s",
        )
    if start is not None and end is not None and end - start > MAX_SPAN:
        raise AudioError(
            f"{where}: the part is too long",
            got=f"{end - start:.1f} s",
            allowed=f"up to {MAX_SPAN:g} s",
            fix=f"Bark hears only the last {HEARD_SECONDS:.1f} s; leave start or end away",
        )


def _db(power: float) -> float:
    return 10 * math.log10(float(power) + 1e-12)
