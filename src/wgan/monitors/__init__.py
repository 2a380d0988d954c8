"""Where a run can be watched; monitors receive plain values and know nothing of training."""

from collections.abc import Callable
from pathlib import Path

from wgan.monitors.console import Console
from wgan.monitors.monitor import Guarded, Monitor
from wgan.monitors.tensorboard import TensorBoard

MONITORS: dict[str, Callable[[Path], Monitor]] = {"tensorboard": TensorBoard}
"""The monitors one can ask for by name, each made from the run's folder."""

__all__ = ["MONITORS", "Console", "Guarded", "Monitor", "TensorBoard"]
