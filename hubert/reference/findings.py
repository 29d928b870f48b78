"""What is wrong with a recording: each finding with its severity, its reason and a remedy.

The limits were set on degraded copies of the speech of 40 LibriSpeech speakers, `TURNS` on 42
others. `OVERLAP`, `ALIKE` and `MUSIC_DB` were then moved on about a hundred more people, many with
only 2 to 4 s of speech, so that hardly any clean recording crosses them. `benchmarks/doctor.py`
makes such copies and counts hits and false alarms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from .channels import Channels
from .measures import Measures
from .window import HEARD_SECONDS

Severity = Literal["note", "warning", "unfit"]
Verdict = Literal["good", "usable", "unfit"]

GOOD_SECONDS = 3.0  # of speech, below which the voice is hardly caught
PAUSE_SHARE = 0.5  # of what Bark hears
QUIET_DB, FAINT_DB = -41.0, -50.0  # dBFS RMS of the speech
CLIPPED_SHARE, CRUSHED_SHARE = 1.5e-3, 2e-2  # of the samples
NOISY_DB, DROWNED_DB = 15.0, 8.5  # speech over background
TONAL_DB, TONAL = 8.3, -3.0  # steady tones, flatness: music rather than noise
MUSIC_DB = 20.0  # speech over background, up to which music is looked for
ROOM_FALL, HALL_FALL = 11.5, 8.0  # dB in 30 ms
ROOM_SPREAD = 13.5  # dB; below it noise makes the falls shallow
HUM_DB = 19.0  # over its surroundings
NARROW, TELEPHONE_DB = 5_000.0, -38.0  # Hz; treble of a telephone
OVERLAP, TURNS = 1.6, 10.0  # nats of evidence for a second speaker
ALIKE = 0.785  # cosine of two groups of moments, below which they are two people's


@dataclass(frozen=True)
class Finding:
    """One thing that makes a clone worse: a code for programs, sentences for people."""

    code: str
    message: str  # the reason
    severity: Severity = "warning"
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return it as plain values for JSON."""
        return {
            "code": self.code,
            "severity": self.severity,
            "reason": self.message,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        remedy = f". {self.remedy}" if self.remedy else ""
        return f"{self.severity}: {self.code}: {self.message}{remedy}"


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Sum up: "unfit" if one finding is, "usable" if there is any, "good" otherwise."""
    if any(finding.severity == "unfit" for finding in findings):
        return "unfit"
    return "usable" if findings else "good"


def find_faults(
    measures: Measures, channels: Channels, seconds: float, speech: float, complete: bool
) -> tuple[Finding, ...]:
    """Judge a window.

    Parameters
    ----------
    seconds, speech : length of the window, and speech in what Bark hears of it.
    complete : the window ends in a pause.
    """
    clip = list(_of_the_clip(seconds, speech, complete))
    sound = [*_of_the_signal(measures), *_of_the_channels(channels)]
    background = list(_of_the_background(measures))
    # what fills the pauses looks like a second voice to these measures
    speakers = [] if background else list(_of_the_speakers(measures))
    return (*clip, *sound, *background, *speakers)


def _of_the_clip(seconds: float, speech: float, complete: bool) -> Iterator[Finding]:
    heard = min(seconds, HEARD_SECONDS)
    if speech < GOOD_SECONDS:
        yield Finding(
            "short",
            f"only {speech:.1f} s of speech to learn from",
            "note",
            "5 to 10 s of fluent speech are better",
        )
    if heard - speech > PAUSE_SHARE * heard:
        yield Finding(
            "pauses",
            f"{1 - speech / heard:.0%} of what Bark hears is silence",
            "note",
            "Choose a more fluent part with start and end",
        )
    if not complete:
        yield Finding(
            "cut-off",
            "the end is not in a pause, so Bark may go on with half a word",
            "note",
            "Let the recording run on for half a second, or give an end in a pause",
        )


def _of_the_signal(measures: Measures) -> Iterator[Finding]:
    if measures.level_db < QUIET_DB:
        yield Finding(
            "quiet",
            f"speech is at {measures.level_db:.0f} dBFS",
            "unfit" if measures.level_db < FAINT_DB else "warning",
            "Record nearer or louder, at about -20 dBFS",
        )
    if measures.clipped > CLIPPED_SHARE:
        yield Finding(
            "clipped",
            f"{measures.clipped:.1%} of the samples are cut off at the peak: distorted",
            "unfit" if measures.clipped > CRUSHED_SHARE else "warning",
            "Lower the input level and record again; turning it down later does not help",
        )
    if measures.bandwidth < NARROW or measures.treble_db < TELEPHONE_DB:
        limit = min(measures.bandwidth, NARROW) / 1000
        yield Finding(
            "narrow-band",
            f"next to nothing above {limit:.1f} kHz, as on a telephone",
            "warning",
            "Record at 24 kHz or more, not through a telephone or headset",
        )
    if measures.hum_db > HUM_DB:
        yield Finding(
            "hum",
            f"hum of the mains at {measures.hum_hz:.0f} Hz and its multiples",
            "warning",
            "Use another cable or socket, or filter the hum",
        )


def _of_the_background(measures: Measures) -> Iterator[Finding]:
    snr = measures.snr_db
    tonal = measures.tones_db > TONAL_DB and measures.noisiness < TONAL
    hums = measures.hum_db > HUM_DB
    lingers = measures.fall_db < ROOM_FALL and measures.spread_db > ROOM_SPREAD
    if tonal and not hums and snr < (DROWNED_DB if lingers else MUSIC_DB):
        yield Finding(
            "music",
            f"music or other tones under the speech, {snr:.0f} dB below it",
            "unfit" if snr < DROWNED_DB else "warning",
            "Take a part without music",
        )
    elif lingers:
        yield Finding(
            "reverberant",
            "the sound of the room lingers after every word",
            "unfit" if measures.fall_db < HALL_FALL else "warning",
            "Record nearer to the microphone, in a room with curtains or clothes",
        )
    elif snr < NOISY_DB and not hums:
        yield Finding(
            "noisy",
            f"speech is only {snr:.0f} dB above the background",
            "unfit" if snr < DROWNED_DB else "warning",
            "Record in a quieter place or nearer to the microphone",
        )


def _of_the_speakers(measures: Measures) -> Iterator[Finding]:
    if take_turns(measures) or measures.overlap > OVERLAP:
        how = "in turns" if take_turns(measures) else "at once"
        yield Finding(
            "two-speakers",
            f"likely two people, speaking {how}",
            "warning",
            "Listen, and choose a part of one person with start and end",
        )


def take_turns(measures: Measures) -> bool:
    """Tell whether two people seem to speak in turns."""
    if measures.alike is None:
        return measures.turns > TURNS
    return measures.alike < ALIKE


def elsewhere_two() -> Finding:
    """Say that another window of the recording seems to have two speakers in turns."""
    return Finding(
        "two-speakers",
        "likely two people in the recording; the window was taken where one seems to speak",
        "warning",
        "Listen to the window, and give start and end of a part of one person if it is wrong",
    )


def _of_the_channels(channels: Channels) -> Iterator[Finding]:
    if channels.cancelling:
        yield Finding(
            "cancelling-channels",
            f"the {channels.count} channels are in opposite phase; channel "
            f"{channels.used[0] + 1} is used alone",
            "note",
            "Nothing to do here; elsewhere mix this recording with one channel inverted",
        )
    elif channels.dead:
        yield Finding(
            "dead-channel",
            f"{channels.dead} of {channels.count} channels are silent and left out",
            "note",
            "Nothing to do here; record in mono",
        )
