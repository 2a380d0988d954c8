"""What nearest neighbours tell of two sets of features: precision, recall, density, coverage, memorisation.

Distances are Euclidean and made a block at a time, so that 10,000 against 10,000 needs about 150 MiB.
"""

import math
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from wgan.errors import InputError
from wgan.metrics.checks import Samples, matrices, row_blocks
from wgan.metrics.estimates import Value

NEIGHBOURS = {"pr": 3, "dc": 5}
"""Which neighbour a ball reaches to, by the metric: what both papers take."""

BLOCKS = 10
"""Disjoint parts whose spread gives the standard error of a metric of neighbours."""

SMALLEST_BLOCK = 20
"""Samples under which neighbours tell nothing: fewer in a part give no standard error, in a set a warning."""

_ROUND_OFF = 1e-13
# Round-off decides nothing on the rim of a ball: it belongs to a closed one and not to an open one.
_CLOSED, _OPEN = 1 + 1e-9, 1 - 1e-9


def precision_recall(
    real: Samples, fake: Samples, *, neighbours: int = NEIGHBOURS["pr"]
) -> tuple[Value, Value]:
    """Precision: the share of fakes within the real manifold; recall: the share of reals within the fake one.

    A set's manifold is the union of closed balls, one about each sample, that reach its k-th neighbour.

    Source: Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models",
    equations 1 and 2.

    Args:
        real: (N, d).
        fake: (M, d).
        neighbours: k, in [1, min(N, M)).

    Raises:
        InputError: k is out of its range, or see :func:`~wgan.metrics.checks.matrices`.
    """

    def shares(x: Tensor, y: Tensor) -> Tensor:
        reach_x, reach_y = (
            _CLOSED * _reach(name, points, neighbours) for name, points in (("real", x), ("fake", y))
        )
        precise, recalled = 0.0, torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for rows, distance in _blocks(y, x):
            precise += (distance <= reach_x).any(1).sum().item()
            recalled |= (distance <= reach_y[rows, None]).any(0)
        return torch.tensor([precise / len(y), recalled.double().mean().item()], dtype=torch.float64)

    return _with_errors(shares, *matrices(real=real, fake=fake))


def density_coverage(
    real: Samples, fake: Samples, *, neighbours: int = NEIGHBOURS["dc"]
) -> tuple[Value, Value]:
    """Density: how many real balls hold a fake, over k; coverage: the share of real balls that hold any fake.

    A ball about each real reaches to, and excludes, its k-th neighbour. For equal distributions the mean of
    the density is 1; that of the coverage is nearly 1 - 2^-k, and 1 for equal sets only.

    Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equations 4
    and 5.

    Args:
        real: (N, d).
        fake: (M, d).
        neighbours: k, in [1, min(N, M)).

    Raises:
        InputError: k is out of its range, or see :func:`~wgan.metrics.checks.matrices`.
    """

    def shares(x: Tensor, y: Tensor) -> Tensor:
        reach = _OPEN * _reach("real", x, neighbours)
        hits, covered = 0.0, torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _, distance in _blocks(y, x):
            inside = distance < reach
            hits += inside.sum().item()
            covered |= inside.any(0)
        density = hits / (neighbours * len(y))
        return torch.tensor([density, covered.double().mean().item()], dtype=torch.float64)

    return _with_errors(shares, *matrices(real=real, fake=fake))


def memorisation(training: Samples, fake: Samples, held_out: Samples) -> Value:
    """The share of fakes that are nearer to the training set than samples never seen in training are.

        max over t of F(t) - G(t)

    F and G are the distributions of the distance to the nearest training sample, of fakes and of held-out
    samples. If a share a of the fakes are copies, the value is about a or more, wherever the others lie: this
    is why it is the largest difference (the one-sided statistic of Kolmogorov and Smirnov) and not the mean
    rank of Meehan et al., in which far samples hide copies. Fresh samples have 0 for infinite sets, and for
    finite ones what :func:`memorisation_floor` says; a generator that is merely too smooth also counts as
    near. The standard error takes the best t as given.

    Source: Meehan, Chaudhuri and Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative
    Models", section 2, for comparing distances to the training set with those of held-out samples.

    Args:
        training: (N, d), best all that the generator was trained on: only copies of these are found.
        fake: (M, d).
        held_out: (H, d), from the distribution of the training set, and not in it.

    Raises:
        InputError: See :func:`~wgan.metrics.checks.matrices`.
    """
    x, y, z = matrices(real=training, fake=fake, **{"held-out": held_out})
    near, usual = (_nearest(points, x).sort().values for points in (y, z))
    thresholds = torch.cat([near, usual])
    f, g = (
        torch.searchsorted(distribution, thresholds, right=True).double() / len(distribution)
        for distribution in (near, usual)
    )
    best = (f - g).argmax()
    error = (f * (1 - f) / len(near) + g * (1 - g) / len(usual)).sqrt()
    return Value(max(0.0, (f - g)[best].item()), error[best].item())


def memorisation_floor(fakes: int, held_out: int) -> Value:
    r"""What memorisation is on average for fresh samples, and how far it scatters.

    Both distributions being one, whatever it is, their largest difference is for large counts distributed as
    s = sqrt(1/M + 1/H) times the maximum of a Brownian bridge, P(maximum > x) = exp(-2 x^2), with the mean
    sqrt(pi / 8) and the variance 1/2 - pi/8.

    Source: Smirnov 1939; Billingsley 1968, "Convergence of Probability Measures", equation 11.40.

    Args:
        fakes: M, >= 1.
        held_out: H, >= 1.
    """
    scale = math.sqrt(1 / fakes + 1 / held_out)
    return Value(math.sqrt(math.pi / 8) * scale, math.sqrt(1 / 2 - math.pi / 8) * scale)


def _blocks(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of x and their squared distances to all of y, a block at a time."""
    # About the mean, lest the squares of a far-off cloud swallow its small distances.
    centre = y.mean(0)
    x, y = x - centre, y - centre
    size_x, size_y = x.square().sum(1), y.square().sum(1)
    for rows in row_blocks(len(x), len(y)):
        size = size_x[rows, None]
        squared = (x[rows] @ y.T).mul_(-2).add_(size).add_(size_y)
        # A copy is at 0, and not at what round-off leaves of the difference.
        yield rows, squared.masked_fill_(squared < _ROUND_OFF * size, 0.0)


def _reach(name: str, x: Tensor, neighbours: int) -> Tensor:
    """The squared distance of each sample to its k-th neighbour in the same set."""
    if neighbours < 1:
        raise InputError(f"A ball reaches to a neighbour from number 1 on, not to number {neighbours!r}.")
    if neighbours >= len(x):
        raise InputError(
            f"Each of {len(x)} {name} samples has {len(x) - 1} others and no neighbour number {neighbours}; "
            f"give at least {neighbours + 1}."
        )
    found = []
    for rows, distance in _blocks(x, x):
        distance[:, rows].fill_diagonal_(float("inf"))
        found.append(distance.topk(neighbours, dim=1, largest=False).values[:, -1])
    return torch.cat(found)


def _nearest(x: Tensor, y: Tensor) -> Tensor:
    """The squared distance of each of x to the nearest of y."""
    return torch.cat([distance.amin(1) for _, distance in _blocks(x, y)])


def _with_errors(shares: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> tuple[Value, Value]:
    """Both shares, each with the standard error that its spread over disjoint parts gives.

    The shares of a part are on another level, for neighbours are farther in it; their variance is still
    that of the whole times the number of parts, which is all that is used of them.
    """
    first, second = shares(x, y).tolist()
    if min(len(x), len(y)) < SMALLEST_BLOCK:
        warnings.warn(
            f"The neighbours of {len(x)} real and {len(y)} fake samples lie so far off that balls about them "
            f"tell little; take at least {SMALLEST_BLOCK} of each.",
            UserWarning,
            stacklevel=3,
        )
    if min(len(x), len(y)) < BLOCKS * SMALLEST_BLOCK:
        return Value(first, None), Value(second, None)
    # Every tenth sample, so that a set that is sorted by class has all its classes in each part.
    parts = torch.stack([shares(x[i::BLOCKS], y[i::BLOCKS]) for i in range(BLOCKS)])
    errors = (parts.std(0) / BLOCKS**0.5).tolist()
    return Value(first, errors[0]), Value(second, errors[1])
