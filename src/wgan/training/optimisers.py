"""Optimisers and learning-rate schedules, as settings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Literal

import torch
from torch import nn

from wgan.errors import InputError

Decay = Literal["constant", "linear", "cosine"]

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: (1.0 + cos(pi * done)) / 2,
}
"""The factor on the learning rate, given the share of the steps that is done, in [0, 1)."""


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba 2015)."""

    lr: float = 1e-4
    """Learning rate, > 0."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Decay of the first and second moment, in [0, 1)."""
    eps: float = 1e-8
    """Added to the root of the second moment, > 0."""

    def __post_init__(self) -> None:
        _check_rate(self.lr)
        if not (isinstance(self.betas, Sequence) and len(self.betas) == 2 and all(map(is_share, self.betas))):
            raise InputError(f"Adam needs two betas in [0, 1), not {self.betas!r}.")
        if not _is_positive(self.eps):
            raise InputError(f"Adam needs eps > 0, not {self.eps!r}.")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        first, second = (float(beta) for beta in self.betas)  # torch refuses whole numbers here
        return torch.optim.Adam(parameters, lr=self.lr, betas=(first, second), eps=self.eps, fused=True)


@dataclass(frozen=True)
class RMSprop:
    """RMSprop (Hinton's lecture 6e), without momentum, as Arjovsky et al. 2017 use it."""

    lr: float = 5e-5
    """Learning rate, > 0."""
    alpha: float = 0.99
    """Decay of the mean square, in [0, 1)."""
    eps: float = 1e-8
    """Added to the root of the mean square, > 0."""

    def __post_init__(self) -> None:
        _check_rate(self.lr)
        if not is_share(self.alpha):
            raise InputError(f"RMSprop needs alpha in [0, 1), not {self.alpha!r}.")
        if not _is_positive(self.eps):
            raise InputError(f"RMSprop needs eps > 0, not {self.eps!r}.")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return torch.optim.RMSprop(parameters, lr=self.lr, alpha=self.alpha, eps=self.eps, foreach=True)


Optimiser = Adam | RMSprop


def _check_rate(rate: float) -> None:
    if not _is_positive(rate):
        raise InputError(f"A learning rate must be a finite number > 0, not {rate!r}.")


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < float("inf")


def is_share(value: object) -> bool:
    """Whether this is a number in [0, 1)."""
    return isinstance(value, int | float) and 0 <= value < 1
