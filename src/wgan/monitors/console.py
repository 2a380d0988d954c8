"""The terminal: a live display where there is one, plain lines otherwise."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

from PIL.Image import Image
from rich.columns import Columns
from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wgan.monitors.monitor import Monitor, Values

SHOWN = {
    "gap": "gap, training",
    "gap_held_out": "gap, held out",
    "penalty": "penalty",
    "critic_gradient": "gradient, critic",
    "generator_gradient": "gradient, generator",
    "images_per_second": "images/s",
}

LINES = 25
"""About how many plain lines a run prints."""


@final
class Console(Monitor):
    """Shows the gap on training and held-out data, penalty, gradient norms, images/s and time left.

    Args:
        terminal: Where to; standard error by default, so that standard output stays clean.
    """

    synchronous: ClassVar[bool] = True

    def __init__(self, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or Terminal(stderr=True, highlight=False)
        self._live: Live | None = None

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Begin the display."""
        self._steps = int(config["steps"])
        self._last_line = step
        if 0 < step < self._steps:
            self._terminal.print(f"Going on after step {step:,} of {self._steps:,}.")
        if self._terminal.is_terminal:
            self._progress = Progress(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeRemainingColumn(),
                console=self._terminal,
            )
            self._task = self._progress.add_task("", total=self._steps, completed=step)
            self._live = Live(self._progress, console=self._terminal)
            self._live.start()

    def log(self, step: int, values: Values) -> None:
        """Show the numbers."""
        if self._live is not None:
            self._progress.update(self._task, completed=step)
            self._live.update(Group(self._progress, Columns(_numbers(values), padding=(0, 2))))
        elif step - self._last_line >= self._steps / LINES or step == self._steps:
            self._last_line = step
            self._terminal.print(
                f"step {step:,}/{self._steps:,}  {'  '.join(_numbers(values))}", soft_wrap=True
            )

    def images(self, step: int, image: Image) -> None:
        """Images are not for terminals."""

    def finish(self, outcome: str) -> None:
        """End the display."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _numbers(values: Values) -> list[str]:
    return [f"{name} {_number(values[key])}" for key, name in SHOWN.items() if key in values]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
