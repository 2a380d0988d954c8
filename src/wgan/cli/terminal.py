"""What commands that train print, and where else a run is watched."""

from collections.abc import Sequence
from pathlib import Path

from wgan.core.devices import processes
from wgan.data import Dataset
from wgan.errors import unknown
from wgan.monitors import MONITORS, Console, Monitor


def print_status(text: str) -> None:
    """Print a line to standard error: once, of several processes."""
    if processes()[0] > 0:
        return
    from rich.console import Console as Terminal

    Terminal(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def print_skipped(dataset: Dataset) -> None:
    """Print the names of the images that could not be read, if any."""
    if dataset.skipped:
        shown = ", ".join(dataset.skipped[:5]) + (", ..." if len(dataset.skipped) > 5 else "")
        print_status(f"Skipped {len(dataset.skipped)} unreadable image(s): {shown}")


def monitors_of(names: Sequence[str], folder: Path) -> list[Monitor]:
    """The console, and the monitors of these names.

    Raises:
        InputError: There is no monitor of a name.
    """
    for name in names:
        if name not in MONITORS:
            raise unknown("monitor", name, MONITORS)
    return [Console(), *(MONITORS[name](folder) for name in dict.fromkeys(names))]
