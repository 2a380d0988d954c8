"""Steepest descent in the spectral norm among orthonormal matrices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import nn

from wgan.lipschitz.orthogonal import orthonormalise

_DIRECTION_ITERATIONS = 5  # enough to level a direction 1 / 7 as strong as the strongest
_RETRACTION_ITERATIONS = 3  # from a step of a tenth of the weight to orthonormal up to float32 rounding


@final
class SpectralDescent(torch.optim.Optimizer):
    r"""Steepest descent in the spectral norm, with momentum, among matrices with orthonormal rows or columns.

        M <- m M + (1 - m) G,    W <- orth(W - lr orth(m M + (1 - m) G))

    Among all steps of one spectral norm, the one along the orthonormal factor of the gradient descends
    fastest (Bernstein, Newhouse 2024, "Old Optimizer, New Norm: An Anthology", section "Shampoo"); the
    momentum is that of Muon (Jordan et al. 2024). Adam normalises each *entry* of the gradient instead, so
    that the few directions in which the gradient is strong slow down the others.

    Args:
        weights: Matrices (\*, m, n) with orthonormal rows (columns, if there are more rows), with any batch
            dimensions; the parameters *behind* :func:`~wgan.lipschitz.orthogonal.orthonormal_weight`.
        lr: Spectral norm of a step, > 0; the weights have norm one.
        momentum: m, in [0, 1).
    """

    def __init__(self, weights: Iterable[nn.Parameter], *, lr: float = 0.1, momentum: float = 0.9) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, lr=group["lr"], momentum=group["momentum"])

    def _update(self, weight: nn.Parameter, grad: torch.Tensor, *, lr: float, momentum: float) -> None:
        mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
        mean.lerp_(grad, 1 - momentum)
        direction = orthonormalise(grad.lerp(mean, momentum), _DIRECTION_ITERATIONS)
        weight.copy_(orthonormalise(weight - lr * direction, _RETRACTION_ITERATIONS))
