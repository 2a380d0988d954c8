"""Wasserstein generative networks: train, watch, evaluate, ship.

The names below are loaded when they are first used, so that ``import wgan`` is instant.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wgan.certificates import Certificate, certify
    from wgan.critics import load_critic
    from wgan.data import Dataset, load
    from wgan.diagnosis import Finding, History, diagnose
    from wgan.errors import DivergenceError, InputError, MissingExtraError, StorageError, WganError
    from wgan.evaluation import Evaluation, evaluate
    from wgan.lipschitz import (
        DRAGAN,
        R1,
        R1R2,
        R2,
        Chain,
        Constraint,
        GradientPenalty,
        LipschitzPenalty,
        MaxGradientPenalty,
        Orthogonal,
        SpectralNormalisation,
        WeightClipping,
    )
    from wgan.monitors import Monitor
    from wgan.sampling import Sampler
    from wgan.training import (
        EMA,
        RECIPES,
        Adam,
        Batch,
        Objective,
        Observer,
        RMSprop,
        State,
        Trainer,
        TrainingSettings,
        critic_step,
        generator_step,
        recipe,
        train,
    )
    from wgan.wasserstein import Bracket, audit, wasserstein1

_HOMES = {
    "certificates": ("Certificate", "certify"),
    "critics": ("load_critic",),
    "data": ("Dataset", "load"),
    "diagnosis": ("Finding", "History", "diagnose"),
    "errors": ("DivergenceError", "InputError", "MissingExtraError", "StorageError", "WganError"),
    "evaluation": ("Evaluation", "evaluate"),
    "lipschitz": (
        *("DRAGAN", "R1", "R1R2", "R2", "Chain", "Constraint", "GradientPenalty", "LipschitzPenalty"),
        *("MaxGradientPenalty", "Orthogonal", "SpectralNormalisation", "WeightClipping"),
    ),
    "monitors": ("Monitor",),
    "sampling": ("Sampler",),
    "training": (
        *("EMA", "RECIPES", "Adam", "Batch", "Objective", "Observer", "RMSprop", "State", "Trainer"),
        *("TrainingSettings", "critic_step", "generator_step", "recipe", "train"),
    ),
    "wasserstein": ("Bracket", "audit", "wasserstein1"),
}
"""The package in which each name is defined."""
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = (
    *("artifact", "certificates", "core", "critics", "data", "demo", "deploy", "diagnosis", "evaluation"),
    *("generation", "image_requests", "images", "latents", "lipschitz", "losses", "metrics", "monitors"),
    *("networks", "probing", "recovery", "report", "runs", "sampling", "serving", "training", "wasserstein"),
)

__all__ = [
    "DRAGAN",
    "EMA",
    "R1",
    "R1R2",
    "R2",
    "RECIPES",
    "Adam",
    "Batch",
    "Bracket",
    "Certificate",
    "Chain",
    "Constraint",
    "Dataset",
    "DivergenceError",
    "Evaluation",
    "Finding",
    "GradientPenalty",
    "History",
    "InputError",
    "LipschitzPenalty",
    "MaxGradientPenalty",
    "MissingExtraError",
    "Monitor",
    "Objective",
    "Observer",
    "Orthogonal",
    "RMSprop",
    "Sampler",
    "SpectralNormalisation",
    "State",
    "StorageError",
    "Trainer",
    "TrainingSettings",
    "WeightClipping",
    "WganError",
    "__version__",
    "audit",
    "certify",
    "critic_step",
    "diagnose",
    "evaluate",
    "generator_step",
    "load",
    "load_critic",
    "recipe",
    "train",
    "wasserstein1",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"wgan.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"wgan.{name}")
    if name == "__version__":
        return version("wgan")
    raise AttributeError(f"module 'wgan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, *_MODULES])
