"""The known distribution of a toy source: what its samples are drawn from, exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class ToyDistribution:
    """A distribution one can draw from: a skeleton, thickened by an isotropic Gaussian.

    A draw is ``skeleton(u) + std * noise`` with u uniform in [0, 1) and noise standard normal. For a
    mixture of Gaussians the skeleton is one of the modes, each with equal weight; for a curve it is
    the point of the curve at u.

    Attributes:
        modes: the centres, float32 (k, d), or None where the skeleton is a curve.
        std: standard deviation of the noise in each coordinate, >= 0.
        skeleton: takes uniforms (n,) to points (n, d).
    """

    modes: Tensor | None
    std: float
    skeleton: Callable[[Tensor], Tensor]

    def place(self, uniform: Tensor, noise: Tensor) -> Tensor:
        """The samples (n, d) that these uniforms (n,) and standard normals (n, d) stand for."""
        return self.skeleton(uniform) + self.std * noise

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw n independent samples.

        Args:
            n: how many, >= 0.
            rng: where the randomness comes from; the samples are made on its device.

        Returns:
            float32 (n, d).
        """
        uniform = torch.rand(n, generator=rng, device=rng.device)
        centre = self.skeleton(uniform)
        return centre + self.std * torch.randn(centre.shape, generator=rng, device=rng.device)


def mode_index(uniform: Tensor, count: int) -> Tensor:
    """Which of `count` equally likely modes each uniform (n,) falls on: int64 (n,) in [0, count)."""
    return (uniform * count).long().clamp(max=count - 1)
