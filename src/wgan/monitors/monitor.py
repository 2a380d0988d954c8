"""What a monitor is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from PIL.Image import Image

Values = Mapping[str, float | None]
"""Numbers by name; None where a number is not finite."""


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

            def pictures(self, step, image):
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
    def pictures(self, step: int, image: Image) -> None:
        """What the generator makes of the fixed latents."""

    @abstractmethod
    def finish(self, outcome: str) -> None:
        """The run ended: ``finished``, ``stopped`` to be treated, ``interrupted`` or ``failed``."""

    def artifact(self, files: Mapping[str, Path]) -> None:  # noqa: B027 - most monitors have no use for it
        """What a finished run leaves, just before ``finish``; only for monitors that keep files.

        Args:
            files: By their paths in the run's folder: the configuration and the trained generator. Copied
                under these names they are a folder that :meth:`wgan.Sampler.load` reads.
        """
