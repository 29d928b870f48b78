"""How often the reference doctor (`hubert.examine`) is right, on degraded copies of real speech.

    python -m benchmarks.doctor FOLDER [--seed 2] [--most 100] [--workers 2]
    python -m benchmarks.doctor FOLDER --fit speakers.npz [--seed 1]

Every recording of FOLDER is examined as it is and in each degradation of KINDS, made with a fixed
recipe and a seed of its own. The thresholds in `hubert.reference` were set on one folder with seed
1; figures are worth reading only for other speakers and another seed. A harmful copy counts as a
hit if it is refused, unfit or warned of, whatever the reason given; the column "named" counts the
reasons that fit. A clean recording counts as passed if nothing is warned of. Short speech and a
cut-off end are properties of the clip and count in neither. The last line is one JSON object.

With --fit what tells speakers apart is learned from FOLDER, one speaker a file, and written to a
file of `hubert.reference.speakers`.
"""

import argparse
import io
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
from scipy import linalg, signal

from bark.errors import AudioError, MissingFileError
from bark.storage.atomic import atomic_write
from hubert.reference import examine, speakers
from hubert.reference.doctor import listen, spectra_of
from hubert.reference.source import open_source
from hubert.reference.window import choose_windows

RATE = 16_000  # Hz
MOMENT = 80  # frames of 10 ms between two moments that are learned from
NEUTRAL = {"short", "cut-off", "pauses"}  # about the clip, not about how it sounds


@dataclass(frozen=True)
class Copy:
    """A recording, as it is or degraded."""

    path: Path
    kind: str
    audio: np.ndarray


Degradation = Callable[[np.ndarray, np.random.Generator, Sequence[np.ndarray]], np.ndarray]


def level(audio: np.ndarray) -> float:
    """RMS of the louder half of 20 ms frames: of speech, not of its pauses."""
    cells = audio[: len(audio) // 320 * 320].reshape(-1, 320)
    power = np.sort(np.square(cells).mean(axis=1))
    return float(np.sqrt(power[len(power) // 2 :].mean()))


def added(audio: np.ndarray, other: np.ndarray, ratio_db: float) -> np.ndarray:
    """Add another sound, so much below the speech."""
    rms = np.sqrt(np.square(other).mean())
    return audio + other * (level(audio) / rms * 10 ** (-ratio_db / 20))


def coloured(length: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with frequency to the power `slope`: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.normal(size=length))
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / RATE), 40.0)
    return np.fft.irfft(spectrum * frequency ** (-slope / 2), length)


def noise(low: float, high: float) -> Degradation:
    """Stationary noise between two ratios in dB."""

    def degrade(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
        sound = coloured(len(audio), rng.choice([0.0, 1.0, 1.5]), rng)
        return added(audio, sound, rng.uniform(low, high))

    return degrade


def reverberation(low: float, high: float) -> Degradation:
    """A room: direct sound and a decaying tail of about its energy, T60 in seconds."""

    def degrade(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
        seconds = rng.uniform(low, high)
        time = np.arange(round(seconds * RATE)) / RATE
        tail = rng.normal(size=len(time)) * 10 ** (-3 * time / seconds)
        tail[: round(rng.uniform(0.002, 0.008) * RATE)] = 0
        tail /= np.sqrt(np.square(tail).sum()) * 10 ** (rng.uniform(-3, 3) / 20)
        tail[0] = 1
        return signal.fftconvolve(audio, tail)[: len(audio)]

    return degrade


def telephone(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
    """300 to 3400 Hz, sampled at 8 kHz in 8 bits of mu-law."""
    band = signal.butter(6, [300, 3400], "bandpass", fs=RATE, output="sos")
    narrow = signal.resample_poly(signal.sosfilt(band, audio), 1, 2)
    narrow *= 0.5 / np.abs(narrow).max()
    code = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
    return signal.resample_poly(np.sign(code) * (256 ** np.abs(code) - 1) / 255, 2, 1)


def mp3(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
    """MPEG-1 layer III at 32 kbit/s, the lowest rate a 32 kHz stream allows, and back."""
    import av

    packed = io.BytesIO()
    with av.open(packed, "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=32_000, bit_rate=32_000, layout="mono")
        samples = signal.resample_poly(audio, 2, 1).astype(np.float32)
        for at in range(0, len(samples), 1152):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1152], "fltp", "mono")
            frame.sample_rate = 32_000
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    packed.seek(0)
    decoded, rate = soundfile.read(packed)
    return signal.resample_poly(decoded, RATE, rate)


def clipping(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
    """Driven until 1 to 5 % of the samples clip, then turned down by 0 to 12 dB."""
    limit = np.quantile(np.abs(audio), 1 - rng.uniform(0.01, 0.05))
    return np.clip(audio / limit, -1, 1) * 10 ** (-rng.uniform(0, 12) / 20)


def music(low: float, high: float) -> Degradation:
    """Struck chords with overtones, a bass and a beat under the speech."""

    def degrade(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
        return added(audio, played(len(audio), rng), rng.uniform(low, high))

    return degrade


def played(length: int, rng: np.random.Generator) -> np.ndarray:
    """Music of three kinds of notes at 70 to 140 beats a minute."""
    sound = np.zeros(length + 4 * RATE)
    beat = 60 / rng.uniform(70, 140)
    root = rng.integers(48, 60)
    for number, at in enumerate(np.arange(0, length / RATE, beat)):
        place = round(at * RATE)
        time = np.arange(2 * RATE) / RATE
        chord = root + np.array([[0, 4, 7], [5, 9, 12], [7, 11, 14], [-3, 0, 4]][number // 4 % 4])
        for note, decay in [*((n, 1.5) for n in chord), (chord[0] - 12, 3), (chord[0] + 24, 6)]:
            pitch = 440 * 2 ** ((note - 69) / 12)
            tone = sum(np.sin(2 * np.pi * pitch * k * time) / k**1.5 for k in range(1, 6))
            sound[place : place + len(time)] += tone * np.exp(-decay * time)
        hit = rng.normal(size=RATE // 10) * np.exp(-60 * time[: RATE // 10])
        sound[place : place + len(hit)] += (0.5 + number % 2) * hit
    return sound[:length]


def turns(audio: np.ndarray, rng: np.random.Generator, others: Sequence[np.ndarray]) -> np.ndarray:
    """Another speaker of the same level in turns of 2 to 4 s, 12 s in all; short clips go round."""
    other = others[rng.integers(len(others))]
    other = np.resize(other * (level(audio) / level(other)), 12 * RATE)
    audio = np.resize(audio, 12 * RATE)
    pieces, at, other_speaks = [], 0, bool(rng.integers(2))
    while at < len(audio):
        length = round(rng.uniform(2, 4) * RATE)
        pieces.append((other if other_speaks else audio)[at : at + length])
        at, other_speaks = at + length, not other_speaks
    return np.concatenate(pieces)


def mixed(audio: np.ndarray, rng: np.random.Generator, others: Sequence[np.ndarray]) -> np.ndarray:
    """Another speaker at the same time, 0 to 6 dB below."""
    other = np.resize(others[rng.integers(len(others))], len(audio))
    return audio + other * (level(audio) / level(other) * 10 ** (-rng.uniform(0, 6) / 20))


def quiet(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
    """At -46 to -54 dBFS in 16 bits."""
    return np.round(audio / level(audio) * 10 ** (-rng.uniform(46, 54) / 20) * 32768) / 32768


def hum(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
    """The mains with overtones, 8 to 18 dB below the speech."""
    time = np.arange(len(audio)) / RATE
    mains = rng.choice([50.0, 60.0]) * rng.uniform(0.999, 1.001)
    tones = (
        rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * (mains * k * time + rng.uniform()))
        for k in range(1, 11)
    )
    return added(audio, np.sum(list(tones), axis=0), rng.uniform(8, 18))


def unchanged(audio: np.ndarray, rng: np.random.Generator, _: Sequence[np.ndarray]) -> np.ndarray:
    """As recorded."""
    return audio


# name → how it is made, whether it harms a clone, and the findings that name it
KINDS: dict[str, tuple[Degradation, bool | None, set[str]]] = {
    "clean": (unchanged, False, set()),
    "noise 0-5 dB": (noise(0, 5), True, {"noisy"}),
    "noise 5-10 dB": (noise(5, 10), True, {"noisy"}),
    "noise 10-15 dB": (noise(10, 15), True, {"noisy"}),
    "noise 15-25 dB": (noise(15, 25), None, {"noisy"}),
    "noise 25-30 dB": (noise(25, 30), None, {"noisy"}),
    "reverberation .4-.7 s": (reverberation(0.4, 0.7), True, {"reverberant"}),
    "reverberation .7-1.5 s": (reverberation(0.7, 1.5), True, {"reverberant"}),
    "mp3 32 kbit/s": (mp3, None, {"narrow-band"}),
    "telephone": (telephone, True, {"narrow-band"}),
    "clipped": (clipping, True, {"clipped"}),
    "music 0-8 dB": (music(0, 8), True, {"music", "noisy"}),
    "music 8-15 dB": (music(8, 15), True, {"music", "noisy"}),
    "two in turns": (turns, True, {"two-speakers"}),
    "two at once": (mixed, True, {"two-speakers"}),
    "quiet": (quiet, True, {"quiet"}),
    "hum": (hum, True, {"hum"}),
}


def copies(files: Sequence[Path], seed: int, kinds: Sequence[str]) -> Iterator[Copy]:
    """Make every kind of copy of every file; a file's random numbers are its own."""
    for number, path in enumerate(files):
        audio, rate = soundfile.read(path)
        if rate != RATE:
            raise AudioError(f"{path}: sample rate", rate, RATE)
        rng = np.random.default_rng([seed, number])
        speaker = path.stem.split("-")[0]
        strangers = [other for other in files if other.stem.split("-")[0] != speaker]
        chosen = rng.choice(len(strangers), 2, replace=False)
        others = [soundfile.read(strangers[index])[0] for index in chosen]
        for kind in kinds:
            yield Copy(path, kind, KINDS[kind][0](audio, rng, others).astype(np.float32))


def judged(copy: Copy) -> tuple[str, str, set[str]]:
    """Return the kind of a copy, the verdict on it, and the codes of what was warned of."""
    try:
        report = examine(copy.audio, sample_rate=RATE)
    except AudioError:
        return copy.kind, "refused", {"refused"}
    warned = {found.code for found in report.findings if found.severity != "note"}
    return copy.kind, report.verdict, warned


def fit(files: Sequence[Path], seed: int, target: Path) -> None:
    """Learn what tells speakers apart: directions of cepstra and pitch, weights of overlap.

    Prints how much of what was not learned from is told, in ten parts."""
    described: list[np.ndarray] = []
    features: dict[str, list[np.ndarray]] = {"clean": [], "two at once": []}
    rng = np.random.default_rng(seed)
    for copy in copies(files, seed, list(features)):
        for audio in (copy.audio, rougher(copy.audio, rng)):
            heard = listen(open_source(audio, RATE))
            window = choose_windows(heard.frames, heard.speech, most=1)[0]
            part = heard.source.part(window.start, window.end)
            spectra = spectra_of(heard, window, heard.channels.mixed(part))
            pitches, periodic = speakers.pitch(spectra)
            told = speakers.overlap_features(spectra, pitches, periodic)
            moments = speakers.moments(spectra, MOMENT)
            if moments is None:
                raise MissingFileError("no speaker encoder", fix="python -m hubert.likeness")
            features[copy.kind].append(np.append(told, moments.mean(axis=0)))
            if copy.kind == "clean" and audio is copy.audio:
                described.append(speakers.stretches(spectra, pitches))
    directions, variances = discriminant([d for d in described if len(d) > 2])
    one, two = (np.array(points) for points in features.values())
    overlap, heard = evidence(one, two, len(told))
    report(one, two, len(told))
    with atomic_write(target) as temporary, temporary.open("wb") as file:
        np.savez(file, directions=directions, variances=variances, overlap=overlap, heard=heard)
    print(f"{target}: {len(described)} speakers")


def rougher(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 2.5 to 8 s of a recording, with a little noise, as many recordings are."""
    length = round(rng.uniform(2.5, 8) * RATE)
    start = rng.integers(max(1, len(audio) - length))
    return noise(15, 25)(audio[start : start + length], rng, []).astype(np.float32)


def evidence(one: np.ndarray, two: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights of the first `count` features, and of all of them.

    The latter are the mean of both regressions: embeddings alone go wrong on voices that are unlike
    those that were learned from."""
    few, all_of_them = logistic(one[:, :count], two[:, :count], 1.0), logistic(one, two, 10.0)
    padded = np.concatenate([few[:-1], np.zeros(len(all_of_them) - len(few)), few[-1:]])
    return few, (padded + all_of_them) / 2


def report(one: np.ndarray, two: np.ndarray, count: int) -> None:
    """Print what weights that were learned from nine tenths tell of the last tenth."""
    parts = np.arange(len(one)) // 2 % 10  # both versions of a recording in one part
    odds = np.zeros((2, 2, len(one)))  # without and with embeddings, of one and of two
    for part in range(10):
        apart = parts == part
        for weights, row in zip(evidence(one[~apart], two[~apart], count), odds, strict=True):
            known = len(weights) - 1
            row[:, apart] = [p[apart, :known] @ weights[:-1] + weights[-1] for p in (one, two)]
    for found in odds:
        for alarms in (0.005, 0.01, 0.02, 0.04):
            limit = np.quantile(found[0], 1 - alarms)
            told = np.mean(found[1] > limit)
            print(f"log odds {limit:.2f}: {alarms:.1%} of one, {told:.1%} of two")


def discriminant(described: Sequence[np.ndarray], count: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Linear discriminant analysis: (D, count) directions of unit variance within a speaker, and
    the variances between speakers along them."""
    freedom = sum(len(points) - 1 for points in described)
    centred = [points - points.mean(axis=0) for points in described]
    within = sum(points.T @ points for points in centred) / freedom
    means = np.array([points.mean(axis=0) for points in described])
    between = np.cov(means.T) - within / np.mean([len(points) for points in described])
    within += 0.05 * np.diag(np.diag(within))
    variances, directions = linalg.eigh(between, within)
    order = np.argsort(-variances)[:count]
    return directions[:, order], variances[order]


def logistic(negative: np.ndarray, positive: np.ndarray, decay: float) -> np.ndarray:
    """Logistic regression by Newton's method with weight decay: (D + 1,) weights."""
    points = np.concatenate([negative, positive])
    mean, scale = points.mean(axis=0), points.std(axis=0) + 1e-3  # some embeddings are always 0
    design = np.column_stack([(points - mean) / scale, np.ones(len(points))])
    truth = np.arange(len(points)) >= len(negative)
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (chance - truth) + decay * weights
        curve = (design.T * (chance * (1 - chance))) @ design + decay * np.eye(len(weights))
        weights -= np.linalg.solve(curve, slope)
    raw = weights[:-1] / scale
    return np.append(raw, weights[-1] - raw @ mean)


def table(verdicts: dict[str, list[tuple[str, set[str]]]]) -> dict[str, object]:
    """Print a row for each kind, and return the figures."""
    print(f"{'kind':24}{'n':>5}{'caught':>8}{'unfit':>8}{'named':>8}  reasons")
    harmful: list[bool] = []
    clean: list[bool] = []
    for kind, found in verdicts.items():
        _, harms, codes = KINDS[kind]
        caught = [bool(warned - NEUTRAL) for _, warned in found]
        unfit = [verdict in ("unfit", "refused") for verdict, _ in found]
        named = [bool(warned & codes) or "refused" in warned for _, warned in found]
        reasons = Counter(code for _, warned in found for code in warned).most_common(4)
        said = " ".join(f"{code} {count}" for code, count in reasons)
        shares = "".join(f"{np.mean(flags):8.1%}" for flags in (caught, unfit, named))
        print(f"{kind:24}{len(found):5}{shares}  {said}")
        if harms:
            harmful += caught
        elif harms is False:
            clean += caught
    share = float(np.mean(harmful)) if harmful else None
    passed = 1 - float(np.mean(clean)) if clean else None
    return {"harmful": len(harmful), "caught": share, "clean": len(clean), "passed": passed}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--most", type=int, default=10_000, help="files that are degraded")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--fit", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    files = sorted(options.folder.rglob("*.flac"))
    some = files[:: max(1, -(-len(files) // options.most))]
    if len(files) < 3:
        parser.error(f"{options.folder} holds {len(files)} flac files; at least 3 are needed")
    if options.fit:
        fit(some, options.seed, options.fit)
        return 0
    verdicts: dict[str, list[tuple[str, set[str]]]] = defaultdict(list)
    bad = [kind for kind in options.kinds if kind != "clean"]
    clean = copies(files if "clean" in options.kinds else [], 0, ["clean"])
    made = chain(clean, copies(some, options.seed, bad))
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        for kind, verdict, warned in pool.map(judged, made):
            verdicts[kind].append((verdict, warned))
    print(json.dumps(table(verdicts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
