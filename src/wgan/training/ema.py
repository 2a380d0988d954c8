"""The exponential moving average of a generator, which is what is evaluated and shipped."""

from __future__ import annotations

from copy import deepcopy
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

from wgan.errors import InputError


@final
class EMA:
    """The exponential moving average of a network's weights and running statistics.

    Source: Yazici et al. 2019, "The unusual effectiveness of averaging in GAN training", eq. 1. The decay
    rises with the number of updates, min(decay, n / (n + 10)): a full decay from the first update on would
    remember the initial weights for 1 / (1 - decay) updates.

    Example:
        >>> generator = torch.nn.Linear(2, 2)
        >>> ema = EMA(generator, decay=0.99)
        >>> ema.update()  # after each step of the generator's optimiser
        >>> samples = ema.module(torch.zeros(1, 2))

    Args:
        network: Whose average it is; updated in place by its optimiser.
        decay: In [0, 1).

    Attributes:
        module: The average, in evaluation mode and without gradients.
        updates: How many updates there were.

    Raises:
        InputError: The decay is out of its range.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"decay must be in [0, 1), not {decay!r}.")
        self.decay, self.updates = decay, 0
        self.module = deepcopy(network).eval().requires_grad_(False)
        self._averages, self._currents = floating_tensors(self.module), floating_tensors(network)
        self._spectral = _spectral_norms(self.module)

    @torch.no_grad()
    def update(self, *, updates: int | None = None) -> None:
        """Move the average towards the network: average <- d average + (1 - d) weights.

        Args:
            updates: How many updates this makes in all, for an average that is resumed; None: one more.
        """
        self.updates = self.updates + 1 if updates is None else updates
        weight = 1 - min(self.decay, self.updates / (self.updates + 10))
        torch._foreach_lerp_(self._averages, self._currents, weight)
        # An average of singular vectors is none: one power iteration brings them to the averaged weights.
        for parametrization in self._spectral:
            parametrization.train()
            parametrization()
            parametrization.eval()


def floating_tensors(network: nn.Module) -> list[Tensor]:
    """The tensors of a network that can be averaged: weights and running statistics, but no counters."""
    return [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]


def _spectral_norms(network: nn.Module) -> list[parametrize.ParametrizationList]:
    """The spectrally normalised weights of a network."""
    return [
        module
        for module in network.modules()
        if isinstance(module, parametrize.ParametrizationList)
        and any(isinstance(step, _SpectralNorm) for step in module)
    ]
