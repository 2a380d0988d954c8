"""The interface of monitors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from PIL.Image import Image

Values = Mapping[str, float | None]
"""Metrics by their keys; None for one that is not finite."""


@final
@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins of equal width.

    Attributes:
        low: The lower edge of the first bin.
        high: The upper edge of the last one, >= low.
        counts: Number of values in each bin.
    """

    low: float
    high: float
    counts: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean of the values, estimated from the bins; the middle of the range without values."""
        shares = ((2 * index + 1) * count for index, count in enumerate(self.counts))
        whole = 2 * len(self.counts) * sum(self.counts)
        share = sum(shares) / whole if whole else 0.5
        return (1 - share) * self.low + share * self.high

    @property
    def edges(self) -> list[float]:
        """Edges of the bins, rising; a range of zero width is widened a little."""
        low, high = self.low, self.high
        if high == low:
            room = max(abs(low), 1.0) * 1e-3
            low, high = low - room, high + room
        width = (high - low) / len(self.counts)
        return [low + width * index for index in range(len(self.counts))] + [high]


class Monitor(ABC):
    """A callback object that follows a run. Implement four methods to write your own.

    .. code-block:: python

        import wgan


        class Smallest(wgan.Monitor):
            '''Records the smallest gap on held-out data.'''

            def start(self, config, step):
                self.gap = float("inf")

            def log(self, step, values):
                if values["gap_held_out"] is not None:
                    self.gap = min(self.gap, values["gap_held_out"])

            def images(self, step, image):
                pass

            def finish(self, outcome):
                print(f"{outcome}; smallest gap {self.gap:.3g}")

    and pass it to the trainer: ``wgan.Trainer(..., monitors=[Smallest()])``.

    Calls come in order, from ``start`` to ``finish``, one at a time, on a thread of the monitor's own, so
    that a slow server delays neither training nor other monitors. An exception becomes one warning, and the
    monitor is switched off for the rest of the run.

    Attributes:
        synchronous: Whether the training thread makes the calls and waits for each. Only for monitors that
            are quick and have to react at once, such as the console.
    """

    synchronous: ClassVar[bool] = False

    @abstractmethod
    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Called when the run starts or resumes after ``step`` steps; ``config`` is its ``config.json``."""

    @abstractmethod
    def log(self, step: int, values: Values) -> None:
        """Called at each log point with the metrics of ``metrics.jsonl`` and ``timing.jsonl``."""

    @abstractmethod
    def images(self, step: int, image: Image) -> None:
        """Called with the samples of the fixed latents, as one image."""

    @abstractmethod
    def finish(self, outcome: str) -> None:
        """Called at the end: ``finished``, ``stopped`` for a remedy, ``interrupted`` or ``failed``."""

    def histograms(self, step: int, histograms: Mapping[str, Histogram]) -> None:  # noqa: B027
        """Called at each log point with the distributions of ``histograms.jsonl``; optional."""

    def artifact(self, files: Mapping[str, Path]) -> None:  # noqa: B027
        """Called before ``finish`` with the files of a finished run, for monitors that store files; optional.

        Args:
            files: The configuration and the trained generator, by their paths in the run's folder. Copied
                under these names, they form a folder that :meth:`wgan.Sampler.load` reads.
        """
