"""Metrics for Prometheus."""

from collections.abc import Callable
from typing import final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@final
class ServerMetrics:
    """Counters and histograms of one server.

    Args:
        waiting: Returns the number of queued samples.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "wgan_requests", "Answered requests.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "wgan_request_seconds",
            "From a request's head to the last byte of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._sizes = Histogram(
            "wgan_batch_samples", "Samples in one call of the model.", buckets=SIZES, registry=self._registry
        )
        Gauge("wgan_waiting_samples", "Samples that wait.", registry=self._registry).set_function(waiting)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is the path template, never text from a client."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_batch(self, size: int) -> None:
        """Count a call of the model."""
        self._sizes.observe(size)

    def export(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)
