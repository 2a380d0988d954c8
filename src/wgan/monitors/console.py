"""The console monitor: a live display on a terminal, plain lines elsewhere."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

from PIL.Image import Image
from rich.columns import Columns
from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wgan.monitors.display_names import DISPLAY_NAMES, display_name
from wgan.monitors.monitor import Monitor, Values

LINES = 25
"""Approximate number of plain lines that a run prints."""


@final
class Console(Monitor):
    """Shows the losses, the gap on training and held-out data, gradient penalty and norms, and the speed.

    Args:
        terminal: Where to print; by default standard error, so that standard output stays clean.
    """

    synchronous: ClassVar[bool] = True

    def __init__(self, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or Terminal(stderr=True, highlight=False)
        self._live: Live | None = None

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Start the display."""
        self._steps = int(config["steps"])
        self._loss = config.get("loss", "wasserstein")
        self._last_line = step
        if 0 < step < self._steps:
            self._terminal.print(f"Resuming after step {step:,} of {self._steps:,}.")
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
        """Show the metrics."""
        texts = [
            f"{display_name(key, loss=self._loss)} {_format(values[key])}"
            for key in DISPLAY_NAMES
            if key in values
        ]
        if self._live is not None:
            self._progress.update(self._task, completed=step)
            self._live.update(Group(self._progress, Columns(texts, padding=(0, 2))))
        elif step - self._last_line >= self._steps / LINES or step == self._steps:
            self._last_line = step
            self._terminal.print(f"step {step:,}/{self._steps:,}  {'  '.join(texts)}", soft_wrap=True)

    def images(self, step: int, image: Image) -> None:
        """Do nothing: a terminal shows no images."""

    def finish(self, outcome: str) -> None:
        """End the display."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _format(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
