"""What a server counts, in a registry of its own, for ``/metrics``."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


class Metrics:
    """Counters and histograms of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "bark_requests",
            "Requests answered",
            ("method", "path", "status"),
            registry=self.registry,
        )
        self.audio = Counter("bark_audio_seconds", "Seconds of speech made", registry=self.registry)
        self.work = Counter("bark_work_seconds", "Seconds spent on speech", registry=self.registry)
        self.factor = Histogram(
            "bark_real_time_factor",
            "Seconds of work for a second of speech, for each turn of the model",
            buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 0.75, 1, 1.5, 2, 4, 8),
            registry=self.registry,
        )
        self.batch = Histogram(
            "bark_batch_size", "Requests spoken side by side", buckets=(1, 2, 4, 8, 16),
            registry=self.registry,
        )  # fmt: skip
        self.waiting = self._seconds("bark_waiting_seconds", "From a request to its first turn")
        self.first_sound = self._seconds("bark_first_sound_seconds", "To its first audio")

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Tell how many requests are unfinished whenever it is asked."""
        Gauge("bark_queue_length", "Unfinished requests", registry=self.registry).set_function(
            length
        )

    def spoke(self, audio: float, work: float, batch: int) -> None:
        """Count one turn of the model, in seconds."""
        self.audio.inc(audio)
        self.work.inc(work)
        self.batch.observe(batch)
        if audio:
            self.factor.observe(work / audio)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _seconds(self, name: str, meaning: str) -> Histogram:
        return Histogram(name, meaning, buckets=SECONDS, registry=self.registry)
