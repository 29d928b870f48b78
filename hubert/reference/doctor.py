"""Examines a recording before it is cloned: chooses a window, measures it, gives a verdict."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bark.audio.read import check_audio, resample
from bark.errors import AudioError
from bark.stages.progress import UNWATCHED, Progress, Watch
from bark.tokens import BARK

from . import measures as measuring
from . import speakers
from .channels import Channels, mono_blocks
from .findings import Finding, Verdict, elsewhere_two, find_faults, take_turns, verdict_of
from .frames import MIN_SECONDS, Frames, Meter, loud_frames
from .measures import Measures, Spectra
from .source import Source, open_source
from .speech import RATE, SpeechDetector
from .window import HEARD_SECONDS, Window, choose_windows

MAX_SPAN = 20.0  # s, where the user names both ends
MIN_SPEECH = 0.5  # s; less is a cough or a click that was taken for a word


@dataclass(frozen=True)
class Report:
    """What was found in a recording, and the window to clone."""

    duration: float  # s, of the whole recording
    start: float  # s, of the window
    end: float  # s
    speech: float  # s of speech in what Bark will hear
    total_speech: float  # s, in the whole recording
    channels: Channels
    measures: Measures
    findings: tuple[Finding, ...] = ()
    spans: tuple[tuple[float, float], ...] = ()  # s, where there is speech

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.end - self.start

    @property
    def verdict(self) -> Verdict:
        """Say "good" (nothing found), "usable" (a clone will do) or "unfit" (record again)."""
        return verdict_of(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON: verdict, window, findings and measures."""
        return {
            "verdict": self.verdict,
            "window": {
                "start": round(float(self.start), 3),
                "end": round(float(self.end), 3),
                "speech": round(self.speech, 2),
            },
            "findings": [finding.to_dict() for finding in self.findings],
            "measures": self.measures.to_dict(),
            "duration": round(self.duration, 3),
            "total_speech": round(self.total_speech, 2),
            "channels": {"count": self.channels.count, "used": list(self.channels.used)},
        }

    def lines(self) -> list[str]:
        """Say the verdict, then each finding with what to do about it."""
        return [f"{self.verdict}: {self}", *(str(finding) for finding in self.findings)]

    def __str__(self) -> str:
        """Say the measurements in one line."""
        m = self.measures
        return (
            f"{self.start:.2f}-{self.end:.2f} s of {self.duration:.1f} s, "
            f"{self.speech:.1f} s of speech, level {m.level_db:.0f} dBFS, "
            f"peak {m.peak_db:.0f} dBFS, SNR {m.snr_db:.0f} dB, {m.clipped:.1%} clipped, "
            f"up to {m.bandwidth / 1000:.1f} kHz"
        )


def examine(
    recording: Any,
    *,
    sample_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    progress: Progress = False,
) -> Report:
    """Measure a recording of any length, in bounded memory, and choose the window to clone.

    A few windows are measured, and of those with the fewest faults the first is taken.

    Parameters
    ----------
    recording : a file, or samples (N,) or (N, channels) with their `sample_rate`.
    start, end : seconds; an end of the window that is given is kept exactly, the other one is
        chosen.
    progress : show a bar, or a function that is told how far it is.

    Raises
    ------
    AudioError
        If it cannot be read, is silent, holds no speech, or less than 1.1 s.
    """
    source = open_source(recording, sample_rate)
    _check_span(start, end, source.duration, source.name)
    end = None if end is None else min(end, source.duration)
    heard = listen(source, Watch.of(progress))
    _check_speech(heard, start, end)
    reports: list[Report] = []
    for window in choose_windows(heard.frames, heard.speech, start, end):
        reports.append(_measured(heard, window))
        if _badness(reports[-1]) == (0, 0):
            break
    best = min(reports, key=_badness)
    if all(found.code != "two-speakers" for found in best.findings) and any(
        take_turns(report.measures) for report in reports
    ):
        return replace(best, findings=(*best.findings, elsewhere_two()))
    return best


@dataclass(frozen=True)
class Heard:
    """A recording after it was gone through once."""

    source: Source
    channels: Channels
    frames: Frames
    spans: np.ndarray  # (R, 2) s, of speech
    voiced: np.ndarray  # (F,) bool, inside them
    speech: np.ndarray  # (F,) bool, and louder than the pauses


def listen(source: Source, watch: Watch = UNWATCHED) -> Heard:
    """Go through a recording once."""
    stream = watch.through("examining", source.blocks(0.0), source.rate, source.duration)
    channels, blocks = mono_blocks(stream, source.rate)
    meter, detector = Meter(source.rate), SpeechDetector()
    probabilities = detector.probabilities(meter.watch(blocks), source.rate)
    frames, spans = meter.frames(), detector.spans(probabilities)
    voiced = np.zeros(len(frames.power), dtype=bool)
    for first, last in spans:
        voiced[frames.span(first, last)] = True
    return Heard(source, channels, frames, spans, voiced, voiced & loud_frames(frames))


def _measured(heard: Heard, window: Window) -> Report:
    """Measure one window and judge it."""
    samples = heard.source.part(window.start, window.end)
    mono = check_audio(heard.channels.mixed(samples), f"{heard.source.name}: ")
    spectra = spectra_of(heard, window, mono)
    inside = heard.frames.span(window.start, window.end)
    quiet = heard.frames.power[~heard.voiced]
    hum_db, hum_hz, tones_db = measuring.steady_tones(spectra.audio)
    pitches, periodic = speakers.pitch(spectra)
    model, moments = speakers.fitted(), speakers.moments(spectra)
    wide = resample(mono, heard.source.rate, BARK.sample_rate)
    found = Measures(
        level_db=float(measuring.decibels(spectra.power[spectra.speech].mean())),
        peak_db=float(measuring.decibels(heard.frames.peak[inside].max() ** 2)),
        snr_db=measuring.signal_to_noise(spectra, float(quiet.mean()) if len(quiet) > 20 else None),
        clipped=measuring.clipped_share(samples[:, list(heard.channels.used)]),
        bandwidth=measuring.bandwidth(wide, BARK.sample_rate),
        treble_db=measuring.treble(spectra),
        fall_db=measuring.steepest_fall(spectra),
        spread_db=measuring.spread(spectra),
        hum_db=hum_db,
        hum_hz=hum_hz,
        tones_db=tones_db,
        noisiness=measuring.noisiness(spectra),
        overlap=speakers.overlap(
            speakers.overlap_features(spectra, pitches, periodic), moments, model
        ),
        turns=speakers.turns(speakers.stretches(spectra, pitches), model),
        alike=None if moments is None else speakers.alike(moments),
    )
    last_part = heard.frames.span(max(window.start, window.end - HEARD_SECONDS), window.end)
    speech = float(heard.speech[last_part].sum() * heard.frames.hop)
    return Report(
        duration=heard.source.duration,
        start=window.start,
        end=min(window.end, heard.source.duration),
        speech=speech,
        total_speech=float(heard.speech.sum() * heard.frames.hop),
        channels=heard.channels,
        measures=found,
        findings=find_faults(
            found, heard.channels, window.end - window.start, speech, window.complete
        ),
        spans=tuple((float(first), float(last)) for first, last in heard.spans),
    )


def spectra_of(heard: Heard, window: Window, mono: np.ndarray) -> Spectra:
    """Return the spectra of a window's samples (N,), with what its frames hold."""
    audio = resample(mono, heard.source.rate, RATE)
    count = len(audio) // measuring.HOP
    times = window.start + (np.arange(count) + 0.5) * measuring.HOP / RATE
    index = np.minimum((times / heard.frames.hop).astype(int), len(heard.speech) - 1)
    return Spectra.of(audio, heard.speech[index], heard.voiced[index])


def _badness(report: Report) -> tuple[int, int]:
    """Count what is unfit, then every other finding."""
    unfit = sum(finding.severity == "unfit" for finding in report.findings)
    return unfit, len(report.findings) - unfit


def _check_speech(heard: Heard, start: float | None, end: float | None) -> None:
    """Refuse a recording, or a part of it, without speech."""
    frames, name = heard.frames, heard.source.name
    if not loud_frames(frames).any():
        peak = measuring.decibels(frames.peak.max() ** 2)
        raise AudioError(f"{name} is silent", got=f"peak {peak:.0f} dBFS")
    part = frames.span(start or 0.0, heard.source.duration if end is None else end)
    seconds = float(heard.speech[part].sum() * frames.hop)
    if seconds >= MIN_SPEECH:
        return
    level = measuring.decibels(frames.power[part].mean())
    raise AudioError(
        f"{name}: no speech found",
        got=f"{len(frames.power[part]) * frames.hop:.1f} s of other sound at {level:.0f} dBFS "
        f"and {seconds:.1f} s of speech",
        allowed=f"at least {MIN_SPEECH} s of speech",
        fix="Give a recording of a person speaking",
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
