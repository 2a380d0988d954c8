"""The engine: the settings and recipes, the step, the state, the loop."""

from wgan.training.augment import Augment
from wgan.training.ema import EMA
from wgan.training.engine import Engine
from wgan.training.objective import Batch, Objective
from wgan.training.observe import Observer
from wgan.training.optimisers import Adam, RMSprop
from wgan.training.recipes import RECIPES, Recipe, recipe
from wgan.training.resume import ChangedSettingsError
from wgan.training.settings import LoggingIntervals, TrainingSettings
from wgan.training.state import State
from wgan.training.step import critic_step, generator_step
from wgan.training.trainer import Trainer, train

__all__ = [
    "EMA",
    "RECIPES",
    "Adam",
    "Augment",
    "Batch",
    "ChangedSettingsError",
    "Engine",
    "LoggingIntervals",
    "Objective",
    "Observer",
    "RMSprop",
    "Recipe",
    "State",
    "Trainer",
    "TrainingSettings",
    "critic_step",
    "generator_step",
    "recipe",
    "train",
]
