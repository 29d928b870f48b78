"""Fits the k-means units, tokenises every voice of the corpus, and reports on the units."""

from __future__ import annotations

import json
import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from transformers import HubertModel

from bark.storage.atomic import atomic_write, atomic_write_text
from hubert.features import HubertFeatures
from hubert.quantizer.kmeans import KMeansQuantizer
from training.engine.progress import SILENT, Progress
from training.nano.corpus.corpus import VoiceAudio, iter_voices, load_voice, voice_paths
from training.nano.corpus.recordings import find_recordings, read_recording
from training.stages.alignment import UNKNOWN

from .crops import HOP, TAIL, Listening, waveform_for_units
from .units import kmeans, normalised_information, purity

PART = 8  # voices that a process tokenises with one loaded HuBERT
KMEANS_SECONDS = 6  # of each crop that k-means is fitted on


class Listener:
    """A HuBERT folder, ready: int16 audio at 24 kHz → semantic tokens, one for each 480 samples."""

    def __init__(self, folder: Path) -> None:
        self.features = HubertFeatures.from_pretrained(folder)
        self.quantizer = KMeansQuantizer.load(folder / "kmeans.npz")

    def tokens(self, audio: np.ndarray) -> np.ndarray:
        """Return the units of int16 audio (N,), N a multiple of 960: (N / 480,) uint16."""
        return self.quantizer(self.features(waveform_for_units(audio))).astype(np.uint16)


def save_listener(
    hubert: HubertModel,
    voices: list[Listening],
    folder: Path,
    *,
    clusters: int,
    crops: int,
    seed: int = 0,
) -> None:
    """Fit k-means on the last layer's features and write the HuBERT folder, weights in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    hubert.half().save_pretrained(folder)
    hubert.float()  # k-means sees the rounded weights, as every later listener will
    features = collect_features(hubert, voices, crops=crops, seed=seed)
    centers = kmeans(features, clusters, generator=torch.Generator().manual_seed(seed))
    with atomic_write(folder / "kmeans.npz") as temporary:
        np.savez(temporary, centers=centers.numpy().astype(np.float32))
    layer = hubert.config.num_hidden_layers
    atomic_write_text(
        folder / "encoder.json", json.dumps({"layer": layer, "quantizer": "kmeans"}) + "\n"
    )


@torch.inference_mode()
def collect_features(
    hubert: HubertModel, voices: list[Listening], *, crops: int, seed: int
) -> torch.Tensor:
    """Return the last layer's features of `crops` stretches of up to 6 s, from all
    voices: (S, D).
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([len(voice.phones) for voice in voices], float)
    rows = []
    for index in rng.choice(len(voices), crops, p=sizes / sizes.sum()):
        audio = voices[index].audio
        length = min(len(audio), KMEANS_SECONDS * 16_000 + TAIL)
        start = int(rng.integers(len(audio) - length + 1)) // HOP * HOP
        wave = torch.from_numpy(audio[start : start + length].astype(np.float32) / 32768)
        rows.append(hubert(wave[None]).last_hidden_state[0])
    return torch.cat(rows)


def make_tokens(
    work: Path, folder: Path, *, processes: int = 2, progress: Progress = SILENT
) -> int:
    """Write the semantic tokens of every voice that lacks them or has another listener's; return
    how many.
    """
    mark = listener_mark(folder)
    # held-out and synthetic voices first: the text model can begin before the recordings are done
    paths = sorted(voice_paths(work), key=lambda path: (path.stem.startswith("real_"), path.stem))
    written = 0
    with (
        ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool,
        progress.task("units", len(paths), "voice") as advance,
    ):
        parts = [paths[start : start + PART] for start in range(0, len(paths), PART)]
        for part, done in zip(
            parts, pool.map(partial(_tokenise, work, folder, mark), parts), strict=True
        ):
            written += done
            advance(len(part))
    return written


def listener_mark(folder: Path) -> str:
    """Return a checksum of a HuBERT folder's weights and centres."""
    files = (folder / "model.safetensors", folder / "kmeans.npz")
    return "-".join(f"{zlib.crc32(path.read_bytes()):08x}" for path in files)


def _tokenise(work: Path, folder: Path, mark: str, paths: list[Path]) -> int:
    listener = Listener(folder)
    written = 0
    for path in paths:
        target = work / "tokens" / path.name
        voice = load_voice(path)
        if _is_current(target, mark, voice):
            continue
        with atomic_write(target) as temporary:
            np.savez(
                temporary,
                semantic=tokenise_voice(listener, voice),
                starts=voice.starts,
                listener=np.array(mark),
            )
        written += 1
    return written


def _is_current(target: Path, mark: str, voice: VoiceAudio) -> bool:
    if not target.exists():
        return False
    with np.load(target, allow_pickle=False) as file:
        return str(file["listener"]) == mark and np.array_equal(file["starts"], voice.starts)


def tokenise_voice(listener: Listener, voice: VoiceAudio) -> np.ndarray:
    """Return all utterances' units, each heard by itself: (N / 480,) uint16."""
    pieces = zip(voice.starts, voice.starts[1:], strict=False)
    return np.concatenate([listener.tokens(voice.audio[start:end]) for start, end in pieces])


def unit_report(work: Path, folder: Path, real_eval: Path | None = None) -> dict[str, float]:
    """Measure the units on held-out voices, and the speaker in them on recordings never seen."""
    listener = Listener(folder)
    voices = list(iter_voices(work, "heldout"))
    units = [tokenise_voice(listener, voice) for voice in voices]
    phones = [voice.phones for voice in voices]
    joined, labels = np.concatenate(units), np.concatenate(phones)
    known = labels != UNKNOWN
    report = {
        "held_out_voices": len(voices),
        "held_out_frames": len(joined),
        "clusters": listener.quantizer.output_size,
        "phone_nmi": normalised_information(joined[known], labels[known]),
        "purity": purity(joined[known], labels[known]),
        "speaker_nmi": _speaker_information(units),
    }
    if real_eval is not None:
        speakers: dict[str, list[np.ndarray]] = {}
        for recording in find_recordings(real_eval):
            if recording.as_recorded:
                audio = [
                    np.round(piece * 32767).astype(np.int16) for piece in read_recording(recording)
                ]
                speakers[recording.name] = [listener.tokens(piece) for piece in audio]
        report["real_speakers"] = len(speakers)
        report["real_speaker_nmi"] = _speaker_information(
            [np.concatenate(heard) for heard in speakers.values()]
        )
    atomic_write_text(work / "hubert" / "report.json", json.dumps(report, indent=1) + "\n")
    return report


def _speaker_information(units: list[np.ndarray]) -> float:
    speakers = np.repeat(np.arange(len(units)), [len(row) for row in units])
    return normalised_information(np.concatenate(units), speakers)
