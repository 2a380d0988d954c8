"""What a monitor is, and the guard that keeps a broken one from harming a run."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, final

from PIL.Image import Image

Values = Mapping[str, float | None]
"""Numbers by name; None where a number is not finite."""


class Monitor(ABC):
    """A place where a run is watched. Write your own by filling these four."""

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
        """The run ended: ``finished``, ``interrupted`` or ``failed``."""


@final
class Guarded(Monitor):
    """Another monitor, dropped with one warning at its first failure: watching must never stop a run."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor: Monitor | None = monitor

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Pass on."""
        self._attempt(lambda monitor: monitor.start(config, step))

    def log(self, step: int, values: Values) -> None:
        """Pass on."""
        self._attempt(lambda monitor: monitor.log(step, values))

    def pictures(self, step: int, image: Image) -> None:
        """Pass on."""
        self._attempt(lambda monitor: monitor.pictures(step, image))

    def finish(self, outcome: str) -> None:
        """Pass on."""
        self._attempt(lambda monitor: monitor.finish(outcome))

    def _attempt(self, call: Callable[[Monitor], None]) -> None:
        if self._monitor is None:
            return
        try:
            call(self._monitor)
        except Exception as error:
            name, self._monitor = type(self._monitor).__name__, None
            warnings.warn(
                f"The monitor {name} failed and is off for the rest of the run: {error}", stacklevel=3
            )
