"""Where a run can be watched; monitors receive plain values and know nothing of training."""

from collections.abc import Callable
from pathlib import Path

from wgan.monitors.console import Console
from wgan.monitors.guard import Audience
from wgan.monitors.mlflow import MLflow
from wgan.monitors.monitor import Histogram, Monitor
from wgan.monitors.tensorboard import TensorBoard
from wgan.monitors.wandb import Wandb

MONITORS: dict[str, Callable[[Path], Monitor]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": MLflow,
}
"""The monitors one can ask for by name, each made from the run's folder."""

__all__ = ["MONITORS", "Audience", "Console", "Histogram", "MLflow", "Monitor", "TensorBoard", "Wandb"]
