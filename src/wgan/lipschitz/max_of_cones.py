r"""The largest, or the smallest, of many 1-Lipschitz networks: 1-Lipschitz without paying for their number.

Side by side, m networks of norm one make a map of norm sqrt(m), and an orthogonal layer that shares its input
among them gives each only 1 / sqrt(m) of it. Their maximum, however, is as steep as the steepest of them: a
network whose layers are bounded from the L2 norm to the maximum norm is 1-Lipschitz too, and can be universal
(Anil, Lucas, Grosse 2019, "Sorting Out Lipschitz Function Approximation", section 4.3 and theorem 3). So each
member learns the critic where it is the one that counts, and none has to be right everywhere.
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

_AT_ONCE = 512
"""Samples, on a CPU: what a layer gives is then small enough to stay in the cache. Twice as fast."""


@final
class MemberLinear(nn.Module):
    """A dense layer of each of several networks, all of one size, with orthonormal rows or columns.

    Args:
        members: How many networks, >= 1.
        features_in: Of each, >= 1.
        features_out: Of each, >= 1.
    """

    def __init__(self, members: int, features_in: int, features_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, features_out, features_in))
        limit = 1 / math.sqrt(features_in)
        self.bias = nn.Parameter(torch.empty(members, 1, features_out).uniform_(-limit, limit))
        with torch.no_grad():
            for weight in self.weight:
                nn.init.orthogonal_(weight)
        orthonormal_weight(self, iterations=1)  # the auditor's steps end at orthonormal weights

    def forward(self, features: Tensor) -> Tensor:
        """Features (members, N, in) to (members, N, out)."""
        return torch.baddbmm(self.bias, features, self.weight.mT)


@final
class MaxOfConesCritic(nn.Module):
    r"""The smooth maximum, or minimum, of many networks of full sorts and orthonormal dense layers.

        f(x) = s t log sum_i exp(s f_i(x) / t),   s = 1 for the maximum and -1 for the minimum.

    Its gradient is a convex combination of those of the f_i, each of norm at most 1, at any temperature t: a
    large one gives every member something to learn, a small one lets each member alone where it counts.
    :func:`~wgan.lipschitz.certify` proves the bound; :class:`~wgan.lipschitz.SpectralDescent` keeps the
    weights orthonormal.

    Args:
        dim: d, >= 1.
        members: How many networks, >= 1.
        hidden: Widths of the hidden layers of each.
        smallest: The minimum instead of the maximum.

    Attributes:
        temperature: t, > 0, in units of the scores.

    Raises:
        InputError: A size is not a positive whole number.
    """

    def __init__(
        self, dim: int, *, members: int = 32, hidden: Sequence[int] = (64,), smallest: bool = False
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
            "smallest": smallest,
        }
        self.members = members
        self.sign = -1.0 if smallest else 1.0
        self.temperature = 0.01
        widths = [dim, *hidden]
        layers = [
            layer for ends in pairwise(widths) for layer in (MemberLinear(members, *ends), GroupSort(dim=-1))
        ]
        self.layers = nn.Sequential(*layers, MemberLinear(members, widths[-1], 1))

    @torch.no_grad()
    def begin_at(self, tips: Tensor) -> None:
        r"""Let each member be a cone, f_i(x) = -s |x - tip_i|, as nearly as sorting can tell a length.

        Some best critic is an extremum of cones at points of one side: the maximum at those of the side that
        it scores higher, the minimum at the others (Villani 2009, "Optimal Transport: Old and New",
        definition 5.2 and theorem 5.10; see :class:`~wgan.lipschitz.McShaneExtension`). What a random
        orthonormal layer makes of a vector is nearly normal; sorted, it is nearly the vector's length times
        the normal scores, scaled to length one, whatever the direction.

        Args:
            tips: One a member, (members, d).

        Raises:
            InputError: There are not as many tips as members, or a member has no two features to sort.
        """
        dim = self.arguments["shape"][0]
        first, last = self.layers[0], self.layers[-1]
        assert isinstance(first, MemberLinear)
        assert isinstance(last, MemberLinear)
        width = last.weight.shape[-1]
        if tips.shape != (self.members, dim) or first is last or width < 2:
            raise InputError(
                f"{self.members} members need as many tips of {dim} numbers, not {tuple(tips.shape)}, and at "
                "least two features to sort."
            )
        for layer in self.layers:
            if isinstance(layer, MemberLinear):
                layer.bias.zero_()
        first.bias.copy_(-tips.to(first.bias)[:, None] @ first.weight.mT)
        scores = torch.special.ndtri((torch.arange(width, dtype=torch.float64) + 0.5) / width)
        last.get_parameter("parametrizations.weight.original").copy_(-self.sign * scores / scores.norm())

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (N, d) to scores (N,)."""
        parts = torch.split(samples, _AT_ONCE) if samples.device.type == "cpu" else (samples,)
        with parametrize.cached():  # each weight is made orthonormal once, not once a part
            return torch.cat([self._extremum(part) for part in parts])

    def _extremum(self, samples: Tensor) -> Tensor:
        scores: Tensor = self.layers(samples.expand(self.members, *samples.shape)).squeeze(-1)
        scale = self.sign * self.temperature
        return scale * torch.logsumexp(scores / scale, 0)
