r"""1-Lipschitz functions with prescribed values at given points: McShane's extension.

The potentials of the exact transport between two finite sets are the best critic of these sets, but are
known at the samples only. These functions extend them to all points.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from wgan.errors import InputError


@final
class McShaneExtension(nn.Module):
    r"""The smallest, or the largest, 1-Lipschitz function with values v_i at points p_i.

        f(x) = max_i (v_i - |x - p_i|),   the smallest of the 1-Lipschitz f with f(p_i) >= v_i,
        f(x) = min_i (v_i + |x - p_i|),   the largest of those with f(p_i) <= v_i,

    Both are 1-Lipschitz whatever the values are, and equal v_i at p_i if some 1-Lipschitz function does
    (McShane 1934, "Extension of range of functions", theorem 1). The benchmark of Korotin, Kolesov, Burnaev
    2022 consists of such finite minima of cones (its eq. 9).

    Args:
        points: p, (n, d), n >= 1, finite.
        values: v, (n,), finite.
        minimum: Whether to take the minimum instead of the maximum.

    Raises:
        InputError: The shapes do not fit, or there are no points.
    """

    points: Tensor
    values: Tensor

    def __init__(self, points: Tensor, values: Tensor, *, minimum: bool = False) -> None:
        super().__init__()
        if points.ndim != 2 or not len(points) or values.shape != points.shape[:1]:
            raise InputError(
                "An extension needs points (n, d) and their values (n,), n >= 1, not "
                f"{tuple(points.shape)} and {tuple(values.shape)}."
            )
        self.arguments = {"shape": (points.shape[1],), "minimum": minimum}
        self.sign = -1.0 if minimum else 1.0
        # In float32 the slope between two near points would exceed one.
        self.register_buffer("points", points.double())
        self.register_buffer("values", values.double())

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (N, d) to scores (N,), in the samples' type if that is floating-point, else in float64."""
        # By differences: by products of large numbers, the slope between near points would exceed one.
        distances = torch.cdist(samples.double(), self.points, compute_mode="donot_use_mm_for_euclid_dist")
        cones = self.sign * self.values - distances
        scores = self.sign * cones.amax(1)
        return scores.to(samples.dtype) if samples.is_floating_point() else scores
