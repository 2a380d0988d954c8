r"""1-Lipschitz functions with given values at given points: cones, and the lowest or highest of them.

Of two finite sets, the potentials of the exact transport are the best critic there is, known at the samples
only. These functions know them everywhere.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from wgan.errors import InputError


@final
class McShaneExtension(nn.Module):
    r"""The smallest, or the largest, function of slope 1 that keeps to values given at points.

        f(x) = max_i (v_i - |x - p_i|),   the smallest of the 1-Lipschitz f with f(p_i) >= v_i,
        f(x) = min_i (v_i + |x - p_i|),   the largest of those with f(p_i) <= v_i,

    both 1-Lipschitz whatever the values are, and both v_i at p_i where some 1-Lipschitz function is
    (McShane 1934, "Extension of range of functions", theorem 1). A finite minimum of cones is what the
    benchmark of Korotin, Kolesov, Burnaev 2022 is made of (its eq. 9).

    Args:
        points: p, (n, d), n >= 1, finite.
        values: v, (n,), finite.
        smallest: The minimum instead of the maximum.

    Raises:
        InputError: The shapes do not fit, or there are no points.
    """

    points: Tensor
    values: Tensor

    def __init__(self, points: Tensor, values: Tensor, *, smallest: bool = False) -> None:
        super().__init__()
        if points.ndim != 2 or not len(points) or values.shape != points.shape[:1]:
            raise InputError(
                "An extension needs points (n, d) and their values (n,), n >= 1, not "
                f"{tuple(points.shape)} and {tuple(values.shape)}."
            )
        self.arguments = {"shape": (points.shape[1],), "smallest": smallest}
        self.sign = -1.0 if smallest else 1.0
        # Float32 would make slopes above one between points that are near.
        self.register_buffer("points", points.double())
        self.register_buffer("values", values.double())

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (N, d) to scores (N,), of their type if that is a floating-point one, else float64."""
        # By differences: products of numbers far from zero leave slopes above one between near points.
        away = torch.cdist(samples.double(), self.points, compute_mode="donot_use_mm_for_euclid_dist")
        cones = self.sign * self.values - away
        scores = self.sign * cones.amax(1)
        return scores.to(samples.dtype) if samples.is_floating_point() else scores
