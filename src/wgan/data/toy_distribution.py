"""The known distribution of a toy dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class ToyDistribution:
    """A skeleton of modes or of a curve, with isotropic Gaussian noise around it.

    A sample is ``skeleton(u) + std * noise`` with u uniform in [0, 1) and noise standard normal. The skeleton
    of a mixture of Gaussians is one of its equally likely modes, that of a curve the curve's point at u.

    Attributes:
        modes: The centres, float32 (k, d), or None where the skeleton is a curve.
        std: Standard deviation of the noise in each coordinate, >= 0.
        skeleton: Maps uniforms (n,) to points (n, d).
    """

    modes: Tensor | None
    std: float
    skeleton: Callable[[Tensor], Tensor]

    def transform(self, uniform: Tensor, noise: Tensor) -> Tensor:
        """The samples (n, d) of these uniforms (n,) and standard normals (n, d)."""
        return self.skeleton(uniform) + self.std * noise

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw n independent samples, float32 (n, d), on the device of `rng`."""
        uniform = torch.rand(n, generator=rng, device=rng.device)
        centre = self.skeleton(uniform)
        return centre + self.std * torch.randn(centre.shape, generator=rng, device=rng.device)


def mode_index(uniform: Tensor, count: int) -> Tensor:
    """The mode, int64 in [0, count), of `count` equally likely ones that each uniform (n,) falls on."""
    return (uniform * count).long().clamp(max=count - 1)
