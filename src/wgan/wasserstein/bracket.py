r"""A lower and an upper bound of W1 with a stated confidence.

Both use the Kantorovich-Rubinstein duality: the mean gap of a function that is provably K-Lipschitz bounds W1
from below, and the cost of any coupling of samples bounds it from above on average. The margins account for
the randomness of sampling.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.stats import norm

from wgan.core.arrays import DoubleArray
from wgan.errors import InputError
from wgan.wasserstein.exact import wasserstein1

LARGEST_COUPLING = 4096
"""Largest number of samples coupled at once (geometric mean of both sides); more are coupled in batches."""


@final
@dataclass(frozen=True)
class Bracket:
    """Bounds of W1 between the distributions behind two sample sets of independent samples.

    Attributes:
        lower: Lower bound of W1, >= 0; it holds for any number of samples.
        upper: Upper bound of W1; its margin is asymptotic.
        estimate: The certified critic's mean gap on held-out samples / its certificate, without a margin:
            an unbiased estimate of a lower bound.
        certificate: The proven bound of the critic's Lipschitz constant.
        confidence: Probability that both bounds hold, in (0, 1); each may fail with half of the rest.
        n_p: Number of samples of the first set.
        n_q: Number of samples of the second set.
        gap_fitted: The gap / certificate on the samples that the critic was fitted on. If it is far above
            ``estimate``, the critic overfits, and more samples would raise the lower bound.
        critic: The fitted critic: "network", or "potentials" of an exact transport.

    Example:
        >>> import wgan
        >>> wgan.Bracket(lower=1.8, upper=2.2, estimate=1.9, certificate=1.0, confidence=0.99,
        ...              n_p=500, n_q=500, gap_fitted=2.0, critic="network").lower
        1.8
    """

    lower: float
    upper: float
    estimate: float
    certificate: float
    confidence: float
    n_p: int
    n_q: int
    gap_fitted: float
    critic: str


def check_confidence(confidence: float) -> None:
    """Raise InputError for a confidence outside (0, 1)."""
    if not 0 < confidence < 1:
        raise InputError(f"A confidence must lie strictly between 0 and 1, not {confidence!r}.")


def lower_bound(
    scores_p: DoubleArray,
    scores_q: DoubleArray,
    *,
    certificate: float,
    limits: tuple[float, float],
    error: float,
) -> float:
    r"""Return a lower bound of W1(P, Q) that fails with probability at most ``error``.

    W1 >= (E_P f - E_Q f) / K for every K-Lipschitz f, and f clipped to [a, b] is still K-Lipschitz. The
    differences X_i of clipped scores - of one sample of the smaller set and of its share of the larger - are
    independent, of one expectation, and in [a - b, b - a]; scaled to [0, 1], their expectation is at least

        (sum l_i X_i - ln(1/error) - sum (X_i - m_i)^2 (-ln(1 - l_i) - l_i)) / sum l_i

    with probability 1 - error, for any m_i and l_i in (0, 1) that depend on X_1 ... X_{i-1} only
    (Waudby-Smith, Ramdas 2024, "Estimating means of bounded random variables by betting", theorem 2, one
    side, with its predictable plug-in for a known n). The margin is nearly sqrt(2 Var ln(1/error) / n). The
    only assumption is that samples are independent, and the limits chosen without them.

    Args:
        scores_p: f of samples of P, (n,), n >= 2, on which neither f nor the limits were fitted.
        scores_q: f of samples of Q, (m,), m >= 2, likewise.
        certificate: K, > 0.
        limits: a < b, chosen independently of these samples.
        error: Probability that the bound fails, in (0, 1).
    """
    p, q = (np.clip(np.asarray(scores, np.float64), *limits) for scores in (scores_p, scores_q))
    count = min(len(p), len(q))
    width = limits[1] - limits[0]
    scaled = (_part_means(p, count) - _part_means(q, count) + width) / (2 * width)
    return float(max(0.0, width * (2 * _mean_lower_bound(scaled, error) - 1) / certificate))


def upper_bound(x: DoubleArray, y: DoubleArray, *, error: float) -> float:
    r"""Return an upper bound of W1(P, Q) that fails with a probability of about ``error``.

    E W1(P_n, Q_n) >= W1(P, Q) by Jensen's inequality, W1 being convex: the exact W1 of samples is too large
    on average, in many dimensions by a lot. Its fluctuation around that average is normal for large n, with
    variance Var f(X) / n + Var g(Y) / m for the optimal potentials f, g (del Barrio, Gonzalez-Sanz, Loubes
    2024, "Central limit theorems for general transportation costs", theorem 2.1): the margin is the normal
    quantile times that standard error. It is asymptotic, unlike the lower bound's.

    Args:
        x: (n, d), n >= 2.
        y: (m, d), m >= 2.
        error: Probability that the bound fails, in (0, 1).
    """
    batches = math.ceil(math.sqrt(len(x) * len(y)) / LARGEST_COUPLING)
    batches = max(1, min(batches, len(x) // 2, len(y) // 2))  # a variance needs two samples
    values, variances = [], []
    for part_x, part_y in zip(np.array_split(x, batches), np.array_split(y, batches), strict=True):
        transport = wasserstein1(part_x, part_y)
        f, g = transport.potentials
        values.append(transport.value)
        variances.append(f.var(ddof=1) / len(f) + g.var(ddof=1) / len(g))
    standard_error = math.sqrt(sum(variances)) / batches
    return float(np.mean(values) + norm.ppf(1 - error) * standard_error)


def _part_means(values: DoubleArray, count: int) -> DoubleArray:
    """The means of ``count`` parts of the values, of sizes as equal as possible."""
    starts = np.arange(count) * len(values) // count
    return np.add.reduceat(values, starts) / np.diff([*starts, len(values)])


def _mean_lower_bound(values: DoubleArray, error: float) -> float:
    """Lower bound of the mean of independent variables in [0, 1]: see :func:`lower_bound`."""
    count, log = len(values), math.log(1 / error)
    counts = np.arange(1, count + 1)
    means = np.cumsum([0.5, *values])[:-1] / counts  # m_i, of the preceding values
    squares = np.square(values - means)
    variances = np.cumsum([0.25, *squares])[:-1] / counts
    rates = np.sqrt(2 * log / (count * variances))
    bets = rates / (1 + rates)  # nearly optimal for small rates, and below 1 for large ones
    spent = log + (squares * (-np.log1p(-bets) - bets)).sum()
    return float(((bets * values).sum() - spent) / bets.sum())
