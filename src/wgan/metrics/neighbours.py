"""Metrics from nearest neighbours of two sets: precision, recall, density, coverage, memorisation.

Distances are Euclidean and computed in chunks, so that 10,000 against 10,000 samples need about 150 MiB.
"""

import math
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from wgan.core.arrays import ArrayOrTensor
from wgan.errors import InputError
from wgan.metrics.checks import feature_matrices, row_chunks
from wgan.metrics.estimates import MetricValue

NEIGHBOURS = {"pr": 3, "dc": 5}
"""The neighbour that a ball reaches to, by metric: the choices of both papers."""

PARTS = 10
"""Disjoint parts whose spread gives the standard error of a metric of neighbours."""

MIN_PART = 20
"""Least number of samples: fewer in a part give no standard error, and fewer in a set a warning."""

_ROUND_OFF = 1e-13
# The boundary belongs to a closed ball and not to an open one, whatever the round-off.
_CLOSED, _OPEN = 1 + 1e-9, 1 - 1e-9


def precision_recall(
    real: ArrayOrTensor, fake: ArrayOrTensor, *, neighbours: int = NEIGHBOURS["pr"]
) -> tuple[MetricValue, MetricValue]:
    """Precision: the share of fakes within the real manifold; recall: the share of reals within the fake one.

    A set's manifold is the union of closed balls, one around each sample, that reach its k-th neighbour.

    Source: Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models",
    equations 1 and 2.

    Args:
        real: (N, d).
        fake: (M, d).
        neighbours: k, in [1, min(N, M)).

    Raises:
        InputError: k is out of its range, or see :func:`~wgan.metrics.checks.feature_matrices`.
    """

    def shares(x: Tensor, y: Tensor) -> Tensor:
        reach_x, reach_y = (
            _CLOSED * _reach(name, points, neighbours) for name, points in (("real", x), ("fake", y))
        )
        precise, recalled = 0.0, torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for rows, distance in _distance_chunks(y, x):
            precise += (distance <= reach_x).any(1).sum().item()
            recalled |= (distance <= reach_y[rows, None]).any(0)
        return torch.tensor([precise / len(y), recalled.double().mean().item()], dtype=torch.float64)

    return _with_errors(shares, *feature_matrices(real=real, fake=fake))


def density_coverage(
    real: ArrayOrTensor, fake: ArrayOrTensor, *, neighbours: int = NEIGHBOURS["dc"]
) -> tuple[MetricValue, MetricValue]:
    """Density: mean number of real balls around a fake, over k; coverage: share of real balls with a fake.

    The open ball around each real sample reaches to its k-th neighbour. For equal distributions the mean of
    the density is 1; that of the coverage is nearly 1 - 2^-k, and 1 for equal sets only.

    Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equations 4
    and 5.

    Args:
        real: (N, d).
        fake: (M, d).
        neighbours: k, in [1, min(N, M)).

    Raises:
        InputError: k is out of its range, or see :func:`~wgan.metrics.checks.feature_matrices`.
    """

    def shares(x: Tensor, y: Tensor) -> Tensor:
        reach = _OPEN * _reach("real", x, neighbours)
        hits, covered = 0.0, torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _, distance in _distance_chunks(y, x):
            inside = distance < reach
            hits += inside.sum().item()
            covered |= inside.any(0)
        density = hits / (neighbours * len(y))
        return torch.tensor([density, covered.double().mean().item()], dtype=torch.float64)

    return _with_errors(shares, *feature_matrices(real=real, fake=fake))


def memorisation(training: ArrayOrTensor, fake: ArrayOrTensor, held_out: ArrayOrTensor) -> MetricValue:
    """Share of fakes that are nearer to the training set than held-out samples are.

        max over t of F(t) - G(t)

    F and G are the distributions of the distance to the nearest training sample, of fakes and of held-out
    samples. If a share a of the fakes are copies, the value is about a or more, wherever the others lie. The
    mean rank of Meehan et al. does not have this property, as distant samples hide copies in it; this is the
    one-sided Kolmogorov-Smirnov statistic instead. For fresh samples it is 0 for infinite sets, and
    :func:`memorisation_floor` for finite ones; a generator that is only too smooth also has a higher value.
    The standard error is conditional on the maximising t.

    Source: Meehan, Chaudhuri and Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative
    Models", section 2, for comparing distances to the training set with those of held-out samples.

    Args:
        training: (N, d), ideally all training samples: only copies of these are found.
        fake: (M, d).
        held_out: (H, d), from the distribution of the training set, but not in it.

    Raises:
        InputError: See :func:`~wgan.metrics.checks.feature_matrices`.
    """
    x, y, z = feature_matrices(real=training, fake=fake, **{"held-out": held_out})
    near, usual = (_nearest(points, x).sort().values for points in (y, z))
    thresholds = torch.cat([near, usual])
    f, g = (
        torch.searchsorted(distribution, thresholds, right=True).double() / len(distribution)
        for distribution in (near, usual)
    )
    best = (f - g).argmax()
    error = (f * (1 - f) / len(near) + g * (1 - g) / len(usual)).sqrt()
    return MetricValue(max(0.0, (f - g)[best].item()), error[best].item())


def memorisation_floor(fakes: int, held_out: int) -> MetricValue:
    r"""Mean and standard deviation of memorisation for fresh samples.

    If both distributions are equal, their largest difference is for large counts distributed as
    s = sqrt(1/M + 1/H) times the maximum of a Brownian bridge, P(maximum > x) = exp(-2 x^2), with the mean
    sqrt(pi / 8) and the variance 1/2 - pi/8.

    Source: Smirnov 1939; Billingsley 1968, "Convergence of Probability Measures", equation 11.40.

    Args:
        fakes: M, the number of fakes, >= 1.
        held_out: H, the number of held-out samples, >= 1.
    """
    scale = math.sqrt(1 / fakes + 1 / held_out)
    return MetricValue(math.sqrt(math.pi / 8) * scale, math.sqrt(1 / 2 - math.pi / 8) * scale)


def _distance_chunks(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of x and their squared distances to all of y, chunk by chunk."""
    # Centred, as the squares of a distant cloud would cancel its small distances.
    centre = y.mean(0)
    x, y = x - centre, y - centre
    size_x, size_y = x.square().sum(1), y.square().sum(1)
    for rows in row_chunks(len(x), len(y)):
        size = size_x[rows, None]
        squared = (x[rows] @ y.T).mul_(-2).add_(size).add_(size_y)
        # The distance of a copy is exactly 0, without round-off.
        yield rows, squared.masked_fill_(squared < _ROUND_OFF * size, 0.0)


def _reach(name: str, x: Tensor, neighbours: int) -> Tensor:
    """The squared distance of each sample to its k-th neighbour in the same set."""
    if neighbours < 1:
        raise InputError(f"neighbours must be at least 1, not {neighbours!r}.")
    if neighbours >= len(x):
        raise InputError(
            f"Each of {len(x)} {name} samples has {len(x) - 1} others and no neighbour number {neighbours}; "
            f"give at least {neighbours + 1}."
        )
    reaches = []
    for rows, distance in _distance_chunks(x, x):
        distance[:, rows].fill_diagonal_(float("inf"))
        reaches.append(distance.topk(neighbours, dim=1, largest=False).values[:, -1])
    return torch.cat(reaches)


def _nearest(x: Tensor, y: Tensor) -> Tensor:
    """The squared distance of each of x to the nearest of y."""
    return torch.cat([distance.amin(1) for _, distance in _distance_chunks(x, y)])


def _with_errors(
    shares: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor
) -> tuple[MetricValue, MetricValue]:
    """Both shares, each with the standard error from its spread over disjoint parts.

    Neighbours are farther in a part, which changes the mean of its shares; their variance is still that of
    the whole times the number of parts, and only it is used.
    """
    first, second = shares(x, y).tolist()
    if min(len(x), len(y)) < MIN_PART:
        warnings.warn(
            f"The neighbours of {len(x)} real and {len(y)} fake samples are so distant that balls around "
            f"them mean little; take at least {MIN_PART} of each.",
            UserWarning,
            stacklevel=3,
        )
    if min(len(x), len(y)) < PARTS * MIN_PART:
        return MetricValue(first, None), MetricValue(second, None)
    # Every tenth sample, so that each part of a set sorted by class has all classes.
    parts = torch.stack([shares(x[i::PARTS], y[i::PARTS]) for i in range(PARTS)])
    errors = (parts.std(0) / PARTS**0.5).tolist()
    return MetricValue(first, errors[0]), MetricValue(second, errors[1])
