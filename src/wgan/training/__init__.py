"""The engine: the step, the state, the loop, and the recipes."""

from wgan.training.augment import Augment
from wgan.training.engine import Engine
from wgan.training.optimisers import Adam, RMSprop
from wgan.training.recipes import RECIPES, TrainingSettings, recipe
from wgan.training.recorder import LoggingIntervals
from wgan.training.resume import ChangedSettingsError
from wgan.training.trainer import Trainer

__all__ = [
    "RECIPES",
    "Adam",
    "Augment",
    "ChangedSettingsError",
    "Engine",
    "LoggingIntervals",
    "RMSprop",
    "Trainer",
    "TrainingSettings",
    "recipe",
]
