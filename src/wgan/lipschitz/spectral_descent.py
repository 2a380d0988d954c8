"""Steps that turn all directions of orthonormal weights alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import nn

from wgan.lipschitz.orthogonal import orthonormalise

_WHITENINGS = 5  # a direction 1 / 7 as strong as the strongest is as good as level with it
_RETRACTIONS = 3  # from a step of a tenth of the weight to float32's rounding of orthonormal


@final
class SpectralDescent(torch.optim.Optimizer):
    r"""Steepest descent in the spectral norm, with momentum, among matrices with orthonormal rows or columns.

        M <- m M + (1 - m) G,    W <- orth(W - lr orth(m M + (1 - m) G))

    Of all steps of one spectral norm, that along the orthonormal factor of the gradient descends the fastest
    (Bernstein, Newhouse 2024, "Old Optimizer, New Norm: An Anthology", section "Shampoo"); the momentum is
    that of Muon (Jordan et al. 2024). Adam gives each *number* a step of one size, and the few directions
    that a gradient is strong in keep the rest waiting.

    Args:
        weights: Matrices (\*, m, n) with orthonormal rows (columns, if there are more rows), any numbers of
            batch dimensions; the parameters *behind* :func:`~wgan.lipschitz.orthogonal.orthonormal_weight`.
        lr: The spectral norm of a step, > 0: weights are of norm one.
        momentum: m, in [0, 1).
    """

    def __init__(self, weights: Iterable[nn.Parameter], *, lr: float = 0.1, momentum: float = 0.9) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, **{name: group[name] for name in ("lr", "momentum")})

    def _move(self, weight: nn.Parameter, grad: torch.Tensor, *, lr: float, momentum: float) -> None:
        mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
        mean.lerp_(grad, 1 - momentum)
        direction = orthonormalise(grad.lerp(mean, momentum), _WHITENINGS)
        weight.copy_(orthonormalise(weight - lr * direction, _RETRACTIONS))
