r"""The maximum, or minimum, of many 1-Lipschitz networks: 1-Lipschitz however many there are.

m networks of norm one side by side form a map of norm sqrt(m), and an orthogonal layer that shares its input
among them gives each only 1 / sqrt(m) of it. The Lipschitz constant of their maximum, however, is the largest
of theirs: layers that are bounded from the L2 norm to the maximum norm make 1-Lipschitz networks that can be
universal (Anil, Lucas, Grosse 2019, "Sorting Out Lipschitz Function Approximation", section 4.3 and theorem
3). Each member has to fit the critic only where it is the largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from wgan.errors import InputError
from wgan.lipschitz.orthogonal import GroupSort, orthonormal_weight

_CPU_BATCH = 512
"""Samples at once on a CPU: activations then stay in the cache, which is twice as fast."""


@final
class MemberLinear(nn.Module):
    """A dense layer of each of several networks of one size, with orthonormal rows or columns.

    Args:
        members: Number of networks, >= 1.
        features_in: Input features of each, >= 1.
        features_out: Output features of each, >= 1.
    """

    def __init__(self, members: int, features_in: int, features_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, features_out, features_in))
        limit = 1 / math.sqrt(features_in)
        self.bias = nn.Parameter(torch.empty(members, 1, features_out).uniform_(-limit, limit))
        with torch.no_grad():
            for weight in self.weight:
                nn.init.orthogonal_(weight)
        orthonormal_weight(self, iterations=1)  # SpectralDescent keeps the weights orthonormal

    def forward(self, features: Tensor) -> Tensor:
        """Features (members, N, in) to (members, N, out)."""
        return torch.baddbmm(self.bias, features, self.weight.mT)


@final
class MaxOfConesCritic(nn.Module):
    r"""The smooth maximum, or minimum, of many networks of full sorts and orthonormal dense layers.

        f(x) = s t log sum_i exp(s f_i(x) / t),   s = 1 for the maximum and -1 for the minimum.

    Its gradient is a convex combination of those of the f_i, each of norm at most 1, at any temperature t. A
    high temperature gives every member a gradient to learn from; a low one makes f close to the maximum.
    :func:`~wgan.certificates.certify` proves the bound; :class:`~wgan.lipschitz.SpectralDescent` keeps the
    weights orthonormal.

    Args:
        dim: d, >= 1.
        members: Number of networks, >= 1.
        hidden: Widths of the hidden layers of each network.
        minimum: Whether to take the minimum instead of the maximum.

    Attributes:
        temperature: t, > 0, in units of the scores.

    Raises:
        InputError: A size is not a positive whole number.
    """

    def __init__(
        self, dim: int, *, members: int = 32, hidden: Sequence[int] = (64,), minimum: bool = False
    ) -> None:
        super().__init__()
        if not all(isinstance(size, int) and size >= 1 for size in (dim, members, *hidden)):
            raise InputError(
                f"dim, members and hidden must be whole numbers >= 1, not {dim!r}, {members!r}, {hidden!r}."
            )
        self.arguments: dict[str, Any] = {
            "shape": (dim,),
            "members": members,
            "hidden": tuple(hidden),
            "minimum": minimum,
        }
        self.members = members
        self.sign = -1.0 if minimum else 1.0
        self.temperature = 0.01
        widths = [dim, *hidden]
        layers = [
            layer for ends in pairwise(widths) for layer in (MemberLinear(members, *ends), GroupSort(dim=-1))
        ]
        self.layers = nn.Sequential(*layers, MemberLinear(members, widths[-1], 1))

    @torch.no_grad()
    def initialise_cones(self, apexes: Tensor) -> None:
        r"""Initialise each member as a cone, f_i(x) = -s |x - apex_i|, as nearly as sorting can.

        Some optimal critic is an extremum of cones with apexes on one side: the maximum of cones at samples
        of the set that it scores higher, or the minimum of cones at the others (Villani 2009, "Optimal
        Transport: Old and New", definition 5.2 and theorem 5.10; see
        :class:`~wgan.lipschitz.McShaneExtension`). A random orthonormal layer maps a vector to nearly normal
        features; sorted, these are nearly the vector's length times the normal scores of unit length,
        whatever its direction.

        Args:
            apexes: One per member, (members, d).

        Raises:
            InputError: There are not as many apexes as members, or a member has fewer than two features.
        """
        dim = self.arguments["shape"][0]
        first, last = self.layers[0], self.layers[-1]
        assert isinstance(first, MemberLinear)
        assert isinstance(last, MemberLinear)
        width = last.weight.shape[-1]
        if apexes.shape != (self.members, dim) or first is last or width < 2:
            raise InputError(
                f"{self.members} members need as many apexes of {dim} numbers, not {tuple(apexes.shape)}, "
                "and at least two features to sort."
            )
        for layer in self.layers:
            if isinstance(layer, MemberLinear):
                layer.bias.zero_()
        first.bias.copy_(-apexes.to(first.bias)[:, None] @ first.weight.mT)
        scores = torch.special.ndtri((torch.arange(width, dtype=torch.float64) + 0.5) / width)
        last.get_parameter("parametrizations.weight.original").copy_(-self.sign * scores / scores.norm())

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (N, d) to scores (N,)."""
        batches = torch.split(samples, _CPU_BATCH) if samples.device.type == "cpu" else (samples,)
        with parametrize.cached():  # weights are made orthonormal once, not once per batch
            return torch.cat([self._soft_extremum(batch) for batch in batches])

    def _soft_extremum(self, samples: Tensor) -> Tensor:
        scores: Tensor = self.layers(samples.expand(self.members, *samples.shape)).squeeze(-1)
        scale = self.sign * self.temperature
        return scale * torch.logsumexp(scores / scale, 0)
