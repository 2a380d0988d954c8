"""Wasserstein generative networks: train, watch, evaluate, ship.

The names below are loaded when they are first used, so that ``import wgan`` is instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wgan.critics import load_critic
    from wgan.diagnosis import Finding, History, diagnose
    from wgan.errors import DivergenceError, InputError, MissingExtraError, StorageError, WganError
    from wgan.evaluation import Evaluation, evaluate
    from wgan.monitors import Monitor
    from wgan.sampling import Sampler
    from wgan.training import Trainer
    from wgan.wasserstein.auditing import audit
    from wgan.wasserstein.bracket import Bracket

_HOMES = {
    "Bracket": "wgan.wasserstein",
    "DivergenceError": "wgan.errors",
    "Evaluation": "wgan.evaluation",
    "Finding": "wgan.diagnosis",
    "History": "wgan.diagnosis",
    "InputError": "wgan.errors",
    "MissingExtraError": "wgan.errors",
    "Monitor": "wgan.monitors",
    "Sampler": "wgan.sampling",
    "StorageError": "wgan.errors",
    "Trainer": "wgan.training",
    "WganError": "wgan.errors",
    "audit": "wgan.wasserstein",
    "diagnose": "wgan.diagnosis",
    "evaluate": "wgan.evaluation",
    "load_critic": "wgan.critics",
}
_MODULES = (
    *("artifact", "certificates", "core", "critics", "data", "demo", "deploy", "diagnosis", "evaluation"),
    *("generation", "image_requests", "images", "latents", "lipschitz", "losses", "metrics", "monitors"),
    *("networks", "probing", "recovery", "report", "runs", "sampling", "serving", "training", "wasserstein"),
)

__all__ = [
    "Bracket",
    "DivergenceError",
    "Evaluation",
    "Finding",
    "History",
    "InputError",
    "MissingExtraError",
    "Monitor",
    "Sampler",
    "StorageError",
    "Trainer",
    "WganError",
    "audit",
    "diagnose",
    "evaluate",
    "load_critic",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"wgan.{name}")
    raise AttributeError(f"module 'wgan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, *_MODULES])
