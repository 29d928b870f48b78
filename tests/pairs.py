"""Small training material for the tests of the quantizer's training: made data sets, and folders of audio and tokens."""

from pathlib import Path

import numpy as np

from bark.audio.write import save_audio
from training.engine.splits import split_by_hash
from training.quantizer.dataset import PAIRS, PreparedDataset, pair_file, write_pair

DIM, VOCABULARY = 8, 12


def make_dataset(
    folder: Path,
    count: int = 24,
    *,
    seed: int = 0,
    noise: float = 0.3,
    frames: int = 30,
    splits: str = "hash",
) -> PreparedDataset:
    """Write pairs whose token can be read off its frame: a vector for each token, with noise."""
    generator = np.random.default_rng(seed)
    vectors = np.random.default_rng(99).normal(size=(VOCABULARY, DIM))
    entries = []
    names = dict.fromkeys([f"pair-{number}" for number in range(count)], 1)
    dealt = split_by_hash(names, {"test": 0.2, "validation": 0.2}, "train")
    for number in range(count):
        name = f"pair-{number}"
        length = frames + int(generator.integers(-5, 6))
        tokens = generator.integers(0, VOCABULARY, length)
        features = vectors[tokens] + noise * generator.normal(size=(length, DIM))
        split = dealt[name] if splits == "hash" else splits.split(",")[number]
        entries.append(
            write_pair(
                folder / PAIRS / pair_file(name), features, tokens, {"name": name, "split": split}
            )
        )
    dataset = PreparedDataset(
        folder,
        {"hubert": "made", "layer": 1},
        DIM,
        VOCABULARY,
        tuple(sorted(entries, key=lambda e: e.name)),
    )
    dataset.save()
    return dataset


def frames_of(waveform: np.ndarray) -> np.ndarray:
    """Stand in for HuBERT: (N,) at 16 kHz → (N // 320, DIM), the loudness of eight parts of each frame."""
    frames = waveform[: len(waveform) // 320 * 320].reshape(-1, DIM, 40)
    return np.abs(frames).mean(axis=2).astype(np.float32)


def write_material(
    folder: Path, names: list[str], *, wav: str = "wav", semantic: str = "semantic"
) -> None:
    """Write half a second of noise and 25 tokens for each name."""
    for number, name in enumerate(names):
        generator = np.random.default_rng(number)
        (folder / wav).mkdir(parents=True, exist_ok=True)
        (folder / semantic).mkdir(parents=True, exist_ok=True)
        save_audio(
            folder / wav / f"{name}.wav",
            0.1 * generator.normal(size=12_000).astype(np.float32),
            24_000,
        )
        np.save(folder / semantic / f"{name}.npy", generator.integers(0, VOCABULARY, 25))
