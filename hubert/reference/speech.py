"""Finds the speech in a recording with silero-vad, a small network that knows speech in any
language.

The network runs over pieces of 15 s side by side, each with a second of lead-in, about 700 times
faster than real time on one core."""

from collections.abc import Iterable, Iterator

import numpy as np

from bark.audio.read import resampled
from bark.audio.samples import check_rate

RATE = 16_000  # Hz, of the network
STEP = 512  # samples of one decision, 32 ms
PIECE = 480  # decisions of one piece, 15.4 s
LEAD = 32  # decisions before a piece that only prepare the network, 1 s
BATCH = 32  # pieces at once: 8 minutes, 32 MB
SURE = 0.5  # probability from which it is speech; it ends 0.15 below
CERTAIN = 0.98  # any speaker reaches it; the onset of a buzz stays below


class SpeechDetector:
    """The network, loaded once; not to be shared between threads."""

    def __init__(self) -> None:
        import torch

        threads = torch.get_num_threads()
        try:
            from silero_vad import get_speech_timestamps_from_probs, load_silero_vad

            self.network = load_silero_vad()
        finally:
            torch.set_num_threads(threads)  # importing silero_vad sets it to one
        self.segment = get_speech_timestamps_from_probs

    def probabilities(self, blocks: Iterable[np.ndarray], sample_rate: int) -> np.ndarray:
        """Return the probability of speech in each 32 ms of a stream of mono blocks: (P,)."""
        check_rate(sample_rate)
        heard = resampled(blocks, sample_rate, RATE)
        found = [self._run(pieces) for pieces in _batches(heard)]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def spans(self, probabilities: np.ndarray, shortest_pause: float = 0.1) -> np.ndarray:
        """Return where speech begins and ends: (R, 2) seconds; pauses are at least so long."""
        if probabilities.max(initial=0.0) < CERTAIN:
            return np.zeros((0, 2))
        found = self.segment(
            probabilities.tolist(),
            sampling_rate=RATE,
            threshold=SURE,
            min_silence_duration_ms=round(1000 * shortest_pause),
            audio_length_samples=len(probabilities) * STEP,
        )
        spans = [(span["start"] / RATE, span["end"] / RATE) for span in found]
        return np.array(spans, np.float64).reshape(-1, 2)

    def _run(self, stretch: np.ndarray) -> np.ndarray:
        """Return the probabilities of lead-in and samples (LEAD * STEP + N,): (N / STEP,)."""
        count = (len(stretch) // STEP) - LEAD
        width = min(PIECE, count)
        pieces = -(-count // width)
        lacking = (pieces * width - count) * STEP
        padded = np.pad(stretch[: (LEAD + count) * STEP], (0, lacking))
        window = (LEAD + width) * STEP
        batch = np.lib.stride_tricks.sliding_window_view(padded, window)[:: width * STEP]
        import torch

        with torch.inference_mode():
            found = self.network.audio_forward(torch.from_numpy(batch.copy()), RATE)
        return found[:, LEAD:].numpy().reshape(-1)[:count]


def _batches(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Gather blocks into stretches of whole pieces, each behind the lead-in it needs; the last is
    padded to whole steps."""
    whole = BATCH * PIECE * STEP
    lead = np.zeros(LEAD * STEP, np.float32)
    held: list[np.ndarray] = []
    length = 0
    for block in blocks:
        held.append(block)
        length += len(block)
        while length >= whole:
            joined = np.concatenate(held)
            yield np.concatenate([lead, joined[:whole]])
            lead = joined[whole - LEAD * STEP : whole].copy()
            held = [joined[whole:].copy()]
            length -= whole
    if length:
        rest = np.concatenate([lead, *held])
        yield np.pad(rest, (0, -length % STEP))
