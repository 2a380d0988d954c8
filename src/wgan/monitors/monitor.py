"""What a monitor is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from PIL.Image import Image

Values = Mapping[str, float | None]
"""Numbers by name; None where a number is not finite."""


@final
@dataclass(frozen=True)
class Histogram:
    """How many values lie in each of some bins of equal width.

    Attributes:
        low: The lower edge of the first bin.
        high: The upper edge of the last one, >= low.
        counts: One a bin.
    """

    low: float
    high: float
    counts: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Of all values, as well as the bins can tell; the middle where there is none."""
        shares = ((2 * index + 1) * count for index, count in enumerate(self.counts))
        whole = 2 * len(self.counts) * sum(self.counts)
        share = sum(shares) / whole if whole else 0.5
        return (1 - share) * self.low + share * self.high

    @property
    def edges(self) -> list[float]:
        """The edges of the bins, rising; around a single value they are a little apart."""
        low, high = self.low, self.high
        if high == low:
            room = max(abs(low), 1.0) * 1e-3
            low, high = low - room, high + room
        width = (high - low) / len(self.counts)
        return [low + width * index for index in range(len(self.counts))] + [high]


class Monitor(ABC):
    """A place where a run is watched. Write your own by filling four methods.

    .. code-block:: python

        import wgan


        class Smallest(wgan.Monitor):
            '''Remembers the smallest gap on held-out data.'''

            def start(self, config, step):
                self.gap = float("inf")

            def log(self, step, values):
                if values["gap_held_out"] is not None:
                    self.gap = min(self.gap, values["gap_held_out"])

            def images(self, step, image):
                pass

            def finish(self, outcome):
                print(f"{outcome}; smallest gap {self.gap:.3g}")

    and hand it to the trainer: ``wgan.Trainer(..., monitors=[Smallest()])``.

    The calls come in order, from ``start`` to ``finish``, one at a time, on a thread that is the monitor's
    own: one that waits for a slow server keeps nobody else waiting. Whatever a method raises becomes one
    warning, and the monitor is left alone for the rest of the run.

    Attributes:
        synchronous: Whether the training makes the calls itself and waits for each: only for what is quick
            and has to happen at once, as on the terminal.
    """

    synchronous: ClassVar[bool] = False

    @abstractmethod
    def start(self, config: Mapping[str, Any], step: int) -> None:
        """The run starts, or goes on, after ``step`` steps with this configuration (its ``config.json``)."""

    @abstractmethod
    def log(self, step: int, values: Values) -> None:
        """Numbers at a log point: those of ``metrics.jsonl`` and of ``timing.jsonl``."""

    @abstractmethod
    def images(self, step: int, image: Image) -> None:
        """What the generator makes of the fixed latents."""

    @abstractmethod
    def finish(self, outcome: str) -> None:
        """The run ended: ``finished``, ``stopped`` to be treated, ``interrupted`` or ``failed``."""

    def histograms(self, step: int, histograms: Mapping[str, Histogram]) -> None:  # noqa: B027
        """Whole distributions at a log point, for monitors that show some: those of ``histograms.jsonl``."""

    def artifact(self, files: Mapping[str, Path]) -> None:  # noqa: B027 - most monitors have no use for it
        """What a finished run leaves, just before ``finish``; only for monitors that keep files.

        Args:
            files: By their paths in the run's folder: the configuration and the trained generator. Copied
                under these names they are a folder that :meth:`wgan.Sampler.load` reads.
        """
