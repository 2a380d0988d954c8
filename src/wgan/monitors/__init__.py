"""Monitors: callbacks that receive a run's metrics, images and outcome as plain values."""

from collections.abc import Callable
from pathlib import Path

from wgan.monitors.console import Console
from wgan.monitors.display_names import DISPLAY_NAMES, display_name
from wgan.monitors.guard import GuardedMonitors
from wgan.monitors.mlflow import MLflow
from wgan.monitors.monitor import Histogram, Monitor
from wgan.monitors.tensorboard import TensorBoard
from wgan.monitors.wandb import Wandb

MONITORS: dict[str, Callable[[Path], Monitor]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": MLflow,
}
"""Monitors that have a name on the command line, each constructed from the run's folder."""

__all__ = [
    "DISPLAY_NAMES",
    "MONITORS",
    "Console",
    "GuardedMonitors",
    "Histogram",
    "MLflow",
    "Monitor",
    "TensorBoard",
    "Wandb",
    "display_name",
]
