"""Pairs of distributions whose W1 and optimal critic are known: the MinFunnel pairs.

Source: Korotin, Kolesov, Burnaev 2022, "Kantorovich Strikes Back! Wasserstein GANs are not Optimal
Transport?", section 4. u(x) = min_n (|x - a_n| + b_n) is 1-Lipschitz; P is uniform on a box, and Q is the
distribution of y, which lies on the ray of u through x, nearer to the funnel's bottom. All transport runs
along rays of u:

    W1(P, Q) = E |x - y| = E [u(x) - u(y)],   the optimal critic being -u.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SIDE = 2.5
DIMS = (2, 4, 8, 16, 32, 64, 128)
COUNTS = (4, 16, 64, 256)
SEED = 987

_BLOCK = 2048


@dataclass(frozen=True)
class Pair:
    """P = U([-2.5, 2.5]^d) and Q.

    Attributes:
        centres: a, (n, d) float64.
        offsets: b, (n,) float64.
        power: How strongly rays contract.
    """

    centres: Tensor
    offsets: Tensor
    power: int = 8

    @property
    def dim(self) -> int:
        """D."""
        return self.centres.shape[1]

    def draw_p(self, count: int, rng: torch.Generator) -> Tensor:
        """Samples of P, (count, d) float64."""
        return SIDE * (2 * torch.rand(count, self.dim, generator=rng, dtype=torch.float64) - 1)

    def draw_q(self, count: int, rng: torch.Generator) -> Tensor:
        """Samples of Q, (count, d) float64, independent of those of P."""
        return self.push(self.draw_p(count, rng))

    def value(self, x: Tensor) -> Tensor:
        """u, (N, d) to (N,)."""
        return torch.cat(
            [(_distances(part, self.centres) + self.offsets).amin(1) for part in x.split(_BLOCK)]
        )

    def slope(self, x: Tensor) -> Tensor:
        """The gradient of u, (N, d) to (N, d)."""
        return torch.cat([self._nearest(part)[2] for part in x.split(_BLOCK)])

    def push(self, x: Tensor) -> Tensor:
        """The optimal transport map, (N, d) to (N, d)."""
        return torch.cat([self._push(part) for part in x.split(_BLOCK)])

    def _nearest(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The funnel of a sample, its distance from the bottom, the direction away from it; all distances."""
        distances = _distances(x, self.centres)
        funnel = (distances + self.offsets).argmin(1)
        base = distances.gather(1, funnel[:, None])
        return funnel, base.squeeze(1), (x - self.centres[funnel]) / base, distances

    def _push(self, x: Tensor) -> Tensor:
        funnel, base, v, distances = self._nearest(x)
        box = ((SIDE * v.sign() - x) / v).abs().amin(1)
        # Where the ray of this funnel meets another: |x + r v - a_n| + b_n = u(x) + r, solved for r.
        rise = (base + self.offsets[funnel])[:, None] - self.offsets
        along = (x * v).sum(1, keepdim=True) - v @ self.centres.T
        meets = (distances.square() - rise.square()) / (2 * (rise - along))
        valid = (meets > 0) & (meets > -rise)
        valid.scatter_(1, funnel[:, None], False)
        reach = torch.minimum(box, torch.where(valid, meets, torch.inf).amin(1))
        full = base + reach
        return self.centres[funnel] + ((base / full) ** self.power * full)[:, None] * v


def make_pair(dim: int, count: int) -> Pair:
    """The pair of that dimension and number of funnels, bit for bit that of the published benchmark."""
    rng = torch.Generator().manual_seed(SEED)
    torch.randn(count, dim, generator=rng)
    torch.randn(count, generator=rng)
    centres = SIDE * (2 * torch.rand(count, dim, generator=rng) - 1)
    offsets = 0.1 * torch.randn(count, generator=rng)
    return Pair(centres.double(), offsets.double())


def _distances(x: Tensor, centres: Tensor) -> Tensor:
    # By differences: the expanded square loses half of the digits where a sample is near a centre.
    return torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist")
