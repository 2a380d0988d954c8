"""Optimisers and learning-rate schedules, as settings."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import cos, pi
from typing import Any, Literal

import torch
from torch import Tensor, nn

from wgan.errors import InputError, check_whole
from wgan.networks.initialisation import fan_in
from wgan.networks.layers import WeightLayer

Decay = Literal["constant", "linear", "cosine"]

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: (1.0 + cos(pi * done)) / 2,
}
"""Factor on the learning rate as a function of the share of steps done, in [0, 1)."""


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba 2015)."""

    lr: float = 1e-4
    """Learning rate, > 0."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Decay rates of the first and second moment, each in [0, 1)."""
    eps: float = 1e-8
    """Added to the root of the second moment, > 0."""
    size: int | None = None
    """Largest network that has this rate, >= 1; a network of twice the size has half of it. The size is the
    sum of the fan-ins of all dense and convolutional layers. None: every network has this rate."""

    def __post_init__(self) -> None:
        _check_rate(self.lr)
        if not (isinstance(self.betas, Sequence) and len(self.betas) == 2 and all(map(is_share, self.betas))):
            raise InputError(f"Adam needs two betas in [0, 1), not {self.betas!r}.")
        if not _is_positive(self.eps):
            raise InputError(f"Adam needs eps > 0, not {self.eps!r}.")
        if self.size is not None:
            check_whole(size=(self.size, 1))

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of a network's parameters."""
        first, second = (float(beta) for beta in self.betas)  # torch refuses whole numbers here
        weights, rate, on_gpu = _for_capture(network, self.rate(network))
        return torch.optim.Adam(
            weights, lr=rate, betas=(first, second), eps=self.eps, fused=True, capturable=on_gpu
        )

    def rate(self, network: nn.Module) -> float:
        """The learning rate of a network, before it decays."""
        return self.lr if self.size is None else self.lr * self.size / max(self.size, size_of(network))


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

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of a network's parameters."""
        weights, rate, on_gpu = _for_capture(network, self.rate(network))
        return torch.optim.RMSprop(
            weights, lr=rate, alpha=self.alpha, eps=self.eps, foreach=True, capturable=on_gpu
        )

    def rate(self, network: nn.Module) -> float:
        """The learning rate of a network, before it decays."""
        return self.lr


Optimiser = Adam | RMSprop
"""The optimisers that the command line offers; Python also takes any of torch's, see :func:`as_optimiser`."""


@dataclass(frozen=True)
class TorchOptimiser:
    """Any optimiser of torch's interface, by what makes it.

    Attributes:
        make: Called with the parameters of a network: a class, a partial, a function.
        name: The class that it makes.
        lr: The learning rate before it decays; of all parameters, whatever rates their groups are made with.
        settings: The class's other settings.
    """

    make: Callable[[Any], torch.optim.Optimizer]
    name: str
    lr: float
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        _check_rate(self.lr)

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of a network's parameters."""
        return self.make(network.parameters())

    def rate(self, network: nn.Module) -> float:
        """The learning rate of a network, before it decays."""
        return self.lr

    def plain(self) -> dict[str, Any]:
        """The class and its settings, as JSON."""
        plain = {name: value for name, value in self.settings.items() if not isinstance(value, Tensor)}
        return {"is": self.name, "lr": self.lr, **plain}


def as_optimiser(name: str, value: object) -> Optimiser | TorchOptimiser:
    """The settings of an optimiser, from anything that says which one.

    Args:
        name: Of the argument, for the message.
        value: ``Adam(...)`` or ``RMSprop(...)`` of this module; a class of torch's, such as
            ``torch.optim.AdamW``; a function of parameters, such as ``partial(torch.optim.SGD, lr=0.1)``; or
            an optimiser, of which the class and the settings are taken.

    Raises:
        InputError: It is none of these, or has no learning rate.
    """
    if isinstance(value, Adam | RMSprop | TorchOptimiser):
        return value
    make: Any = value
    if isinstance(value, torch.optim.Optimizer):
        known = inspect.signature(type(value)).parameters
        make = partial(type(value), **{key: value.defaults[key] for key in value.defaults if key in known})
    try:
        made = make([nn.Parameter(torch.zeros(1))])
        assert isinstance(made, torch.optim.Optimizer)
        settings = dict(made.defaults)
        rate = float(settings.pop("lr"))
    except Exception as error:  # whatever something that is no optimiser raises
        raise InputError(
            f"{name} must be wgan's Adam(...) or RMSprop(...), or an optimiser of torch's, its class or a "
            f"function of parameters that makes one, not {value!r}."
        ) from error
    return TorchOptimiser(make, f"{type(made).__module__}.{type(made).__qualname__}", rate, settings)


def size_of(network: nn.Module) -> float:
    """The sum of the fan-ins of all dense and convolutional layers.

    Adam changes every weight by about its rate, whatever the gradient. A layer's outputs then change by the
    rate times its fan-in, and the network's output by the rate times the sum of fan-ins: wide and deep
    networks diverge at a rate that suits small ones.

    Source: Yang et al. 2021, "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter
    Transfer", table 3 (Adam's rate of a hidden layer falls as 1 / width); the sum over layers is ours.
    """
    return sum(fan_in(module) for module in network.modules() if isinstance(module, WeightLayer))


def _for_capture(network: nn.Module, rate: float) -> tuple[list[nn.Parameter], float | Tensor, bool]:
    """The parameters, the rate as captured steps can read it, and whether they are on a GPU."""
    weights = list(network.parameters())
    on_gpu = weights[0].device.type == "cuda"
    if on_gpu:  # some steps are not captured: those that are observed, and all of the eager engine
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
    return weights, torch.tensor(rate, device=weights[0].device) if on_gpu else rate, on_gpu


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _check_rate(rate: float) -> None:
    if not _is_positive(rate):
        raise InputError(f"A learning rate must be a finite number > 0, not {rate!r}.")


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < float("inf")


def is_share(value: object) -> bool:
    """Whether this is a number in [0, 1)."""
    return isinstance(value, int | float) and 0 <= value < 1
