"""Gradients by layer, the size of the last update, the distribution of the weights."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wgan.training.objective import Numbers
from wgan.training.observe.probe_batch import golden
from wgan.training.state import trainable

SAMPLED = 8192
"""Weights that are sampled from a critic that has more, the same ones at every log point."""
TINY = 1e-30


def gradient_norm(network: nn.Module) -> Tensor:
    """The Euclidean norm of all gradients that the network's last step took, a scalar; 0 without any."""
    return _norm([p.grad for p in network.parameters() if p.requires_grad and p.grad is not None])


def plain_numbers(numbers: Mapping[str, Tensor]) -> dict[str, float | None]:
    """Scalars as numbers, None where they are not finite; the device is waited for once."""
    if not numbers:
        return {}
    device = next(iter(numbers.values())).device
    values = torch.stack([number.detach().to(device, torch.float64) for number in numbers.values()]).tolist()
    return {name: value if isfinite(value) else None for name, value in zip(numbers, values, strict=True)}


def layer_gradients(name: str, layers: dict[str, list[Tensor]]) -> Numbers:
    """``name/<layer>``: the norm of the gradient that each layer's parameters took in their last step.

    Decay or growth with depth is what Gulrajani et al. 2017, figure 1b, show of weight clipping.
    """
    return {
        f"{name}/{path}": _norm([weight.grad for weight in weights if weight.grad is not None])
        for path, weights in layers.items()
    }


def weight_layers(network: nn.Module) -> dict[str, list[Tensor]]:
    """The parameters that learn, by the path of their layer, in the network's order.

    A layer has at least one parameter of two dimensions: dense or convolutional, and no norm, whose gain
    would only blur how the size changes with depth. A root that is a layer itself goes by its class.
    """
    layers: dict[str, list[Tensor]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            path = re.sub(r"(^|\.)parametrizations\..*", "", name.rpartition(".")[0])
            layers.setdefault(path or type(network).__name__, []).append(weight)
    return {path: weights for path, weights in layers.items() if any(w.dim() > 1 for w in weights)}


@final
class Weights:
    """A network's weights, at most :data:`SAMPLED` of them."""

    def __init__(self, network: nn.Module) -> None:
        self._weights = [weight.detach() for weight in network.parameters()]
        total = sum(weight.numel() for weight in self._weights)
        index = torch.arange(total) if total <= SAMPLED else (golden(SAMPLED) * total).long()
        self._index = index.to(self._weights[0].device)

    def look(self) -> Tensor:
        """Their values at this moment, (N,)."""
        return torch.cat([weight.flatten() for weight in self._weights])[self._index]


@final
class Update:
    """What the last step of an optimiser, and the projection after it, did to the weights."""

    def __init__(self, optimiser: Optimizer) -> None:
        self._weights = [weight.detach() for weight in trainable(optimiser)]
        self._before: list[Tensor] = []

    def keep(self, *_: Any) -> None:  # noqa: ANN401 - what an optimiser tells its hooks
        """Copy the weights as they are before a step."""
        if self._before:
            torch._foreach_copy_(self._before, self._weights)
        else:
            self._before = [weight.clone() for weight in self._weights]

    def ratio(self) -> Tensor:
        """|w' - w| / |w| over all weights, a scalar."""
        moved = torch._foreach_sub(self._weights, self._before)
        return _norm(moved) / _norm(self._before).clamp_min(TINY)


@contextmanager
def following(optimiser: Optimizer) -> Iterator[Update]:
    """Keep what the last step inside the block changes; steps outside it cost nothing."""
    update = Update(optimiser)
    handle = optimiser.register_step_pre_hook(update.keep)
    try:
        yield update
    finally:
        handle.remove()


def _norm(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    norms = torch._foreach_norm(tensors) if tensors else (torch.zeros(1),)
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total
