r"""Exact distances: between samples by linear programming, between known distributions in closed form.

The 1-Wasserstein distance with Euclidean cost, in its two forms (Kantorovich-Rubinstein),

    W1(P, Q) = min over couplings of E |X - Y| = max over 1-Lipschitz f of E_P f - E_Q f,

is what a critic estimates from below. Between two finite sets it is a linear programme, solved exactly here,
without entropic regularisation or subsampling. Samples may have any shape and are flattened. Everything is
computed in float64.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import ot
import torch
from scipy.sparse import coo_array, csr_array
from scipy.spatial.distance import cdist
from scipy.special import rel_entr
from torch import Tensor

from wgan.core.arrays import ArrayOrTensor, DoubleArray
from wgan.errors import InputError

Indices = npt.NDArray[np.intp]

LARGEST_PLAN = 10**8
"""Most pairs of points that :func:`wasserstein1` takes: three matrices of float64 are 2.4 GB then."""

_MOST_PIVOTS = 10**9


@final
@dataclass(frozen=True, eq=False)
class Transport:
    """An optimal coupling of two weighted sets, with dual potentials; ``float()`` is its value.

    Attributes:
        value: W1, the cost of the plan: sum_ij plan_ij |x_i - y_j|.
        plan: Mass from each x_i to each y_j, a sparse (n, m) matrix with at most n + m - 1 positive entries.
            Rows sum to the weights of x, columns to those of y.
        potentials: f on x (n,) and g on y (m,): f(x_i) + g(y_j) <= |x_i - y_j|, with equality where the plan
            has mass, both up to rounding. So weights_x . f + weights_y . g is the value, which proves
            optimality.
    """

    value: float
    plan: csr_array
    potentials: tuple[DoubleArray, DoubleArray]

    def __float__(self) -> float:
        return self.value


def wasserstein1(
    x: ArrayOrTensor,
    y: ArrayOrTensor,
    *,
    weights_x: ArrayOrTensor | None = None,
    weights_y: ArrayOrTensor | None = None,
) -> Transport:
    r"""Compute the exact W1 = min sum_ij plan_ij |x_i - y_j| of two sets, with plan and potentials.

    In one dimension by sorting, in O(n log n), with the monotone coupling (Santambrogio 2015, "Optimal
    Transport for Applied Mathematicians", proposition 2.17); otherwise by POT's network simplex (Bonneel et
    al. 2011, "Displacement Interpolation Using Lagrangian Mass Transport", section 4.1). As an estimate of
    the distance between the distributions behind the samples it is too large on average, in many dimensions
    by a lot.

    Args:
        x: (n, \*shape), or (n,) for numbers; an array or a tensor.
        y: (m, \*shape).
        weights_x: (n,), >= 0, summing to one; by default 1/n each.
        weights_y: (m,), likewise.

    Raises:
        InputError: The sets have different sample shapes, are empty or not finite; weights are no
            probabilities; or n m is above :data:`LARGEST_PLAN` in more than one dimension.

    Example:
        >>> import wgan
        >>> transport = wgan.wasserstein1([[0.0, 0.0], [1.0, 0.0]], [[0.0, 3.0], [1.0, 3.0]])
        >>> float(transport)
        3.0
        >>> transport.plan.toarray().tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    points_x, points_y = _pair(x, y)
    mass_x = _weights("weights_x", weights_x, len(points_x))
    mass_y = _weights("weights_y", weights_y, len(points_y))
    # Division by a power of two is exact, and keeps the squares of very large or small numbers in range.
    scale = _power_of_two(max(np.abs(points_x).max(), np.abs(points_y).max()))
    points_x, points_y = points_x / scale, points_y / scale
    if points_x.shape[1] == 1:
        plan, (f, g) = _one_dimensional(points_x[:, 0], points_y[:, 0], mass_x, mass_y)
    else:
        plan, (f, g) = _network_simplex(points_x, points_y, mass_x, mass_y)
    lengths = np.linalg.norm(points_x[plan.row] - points_y[plan.col], axis=1)
    value = scale * math.fsum(plan.data * lengths)
    return Transport(value=value, plan=plan.tocsr(), potentials=(scale * f, scale * g))


def wasserstein1_gaussian_1d(mean_p: float, std_p: float, mean_q: float, std_q: float) -> float:
    r"""W1 of two one-dimensional Gaussians: the mean of a folded normal.

    The monotone coupling sends mean_p + std_p Z to mean_q + std_q Z, so with m = mean_p - mean_q and
    s = |std_p - std_q|

        W1 = E|m + s Z| = s sqrt(2/pi) exp(-m^2 / (2 s^2)) + m erf(m / (s sqrt 2)),

    and |m| where the standard deviations are equal (Leone, Nelson, Nottingham 1961, "The Folded Normal
    Distribution", eq. 1.2).

    Args:
        mean_p: Mean of the first Gaussian.
        std_p: Standard deviation of the first, >= 0.
        mean_q: Mean of the second.
        std_q: Standard deviation of the second, >= 0.

    Raises:
        InputError: A number is not finite or a standard deviation is negative.
    """
    numbers = (mean_p, std_p, mean_q, std_q)
    if not all(map(math.isfinite, numbers)) or std_p < 0 or std_q < 0:
        raise InputError(f"Two Gaussians have finite means and standard deviations >= 0, not {numbers}.")
    shift, spread = mean_p - mean_q, abs(std_p - std_q)
    if abs(shift) >= 40 * spread:  # the remainder is below e^-800, and its exponent may be out of range
        return abs(shift)
    ratio = shift / (spread * math.sqrt(2))
    return spread * math.sqrt(2 / math.pi) * math.exp(-(ratio**2)) + shift * math.erf(ratio)


def jensen_shannon(p: ArrayOrTensor, q: ArrayOrTensor) -> float:
    r"""The Jensen-Shannon divergence in nats, in [0, log 2], of two distributions on the same finite support.

        JS(p, q) = KL(p || (p + q)/2) / 2 + KL(q || (p + q)/2) / 2

    It is log 2 for any two distributions with disjoint supports, however near: its gradient is zero there.

    Source: Lin 1991, "Divergence Measures Based on the Shannon Entropy", eq. 3.1; Arjovsky, Chintala,
    Bottou 2017, "Wasserstein GAN", example 1.

    Args:
        p: Probabilities of any shape, summing to one.
        q: Probabilities of the same support, in the same order.

    Raises:
        InputError: They differ in shape, or one is not a probability vector.
    """
    shape_p, shape_q = np.shape(_to_array("p", p)), np.shape(_to_array("q", q))
    if shape_p != shape_q:
        raise InputError(
            f"p of shape {shape_p} and q of shape {shape_q} are not on one support; list both distributions' "
            "probabilities at the same points."
        )
    mass_p = _weights("p", np.ravel(_to_array("p", p)), math.prod(shape_p))
    mass_q = _weights("q", np.ravel(_to_array("q", q)), math.prod(shape_q))
    middle = (mass_p + mass_q) / 2
    divergence = float((rel_entr(mass_p, middle) + rel_entr(mass_q, middle)).sum()) / 2
    return min(max(divergence, 0.0), math.log(2))


def _network_simplex(
    x: DoubleArray, y: DoubleArray, mass_x: DoubleArray, mass_y: DoubleArray
) -> tuple[coo_array, tuple[DoubleArray, DoubleArray]]:
    if len(x) * len(y) > LARGEST_PLAN:
        raise InputError(
            f"An exact plan of {len(x)} x {len(y)} points does not fit in memory; pass at most "
            f"{math.isqrt(LARGEST_PLAN)} of each, or average over batches."
        )
    # Points without mass are left out: the solver does not determine their potentials.
    rows, columns = np.flatnonzero(mass_x), np.flatnonzero(mass_y)
    cost = cdist(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its warnings are also in the log, and become an error below
        dense, log = ot.emd(
            mass_x[rows],
            mass_y[columns],
            cost if len(rows) == len(x) and len(columns) == len(y) else cost[np.ix_(rows, columns)],
            numItermax=_MOST_PIVOTS,
            log=True,
        )
    if log["warning"] is not None:
        raise InputError(f"No exact plan of {len(x)} x {len(y)} points was found: {log['warning']}")
    i, j = np.nonzero(dense)
    plan = coo_array((dense[i, j], (rows[i], columns[j])), shape=cost.shape)
    # The solver's potentials are feasible up to its tolerance; two c-transforms make them so up to rounding.
    g = (cost[rows] - log["u"][:, None]).min(axis=0)
    f = (cost - g).min(axis=1)
    return plan, (f, g)


def _one_dimensional(
    x: DoubleArray, y: DoubleArray, mass_x: DoubleArray, mass_y: DoubleArray
) -> tuple[coo_array, tuple[DoubleArray, DoubleArray]]:
    order_x, order_y = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    levels_x, levels_y = _cumulative_masses(mass_x[order_x]), _cumulative_masses(mass_y[order_y])
    i, j, mass = _monotone_coupling(levels_x, levels_y)
    plan = coo_array((mass, (order_x[i], order_y[j])), shape=(len(x), len(y)))
    # The slope of the optimal f between two neighbouring points is the sign of G - F there, the two
    # distributions' distribution functions: E_P f - E_Q f = int f' (G - F) is then int |F - G| = W1.
    points = np.concatenate([x, y])
    order = np.argsort(points, kind="stable")
    steps = np.diff(points[order])
    below_x = np.concatenate([[0.0], levels_x])[np.searchsorted(x[order_x], points[order], side="right")]
    below_y = np.concatenate([[0.0], levels_y])[np.searchsorted(y[order_y], points[order], side="right")]
    rise = np.sign(below_y - below_x)[:-1] * steps
    f = np.empty_like(points)
    f[order] = np.concatenate([[0.0], np.cumsum(rise)])
    return plan, (f[: len(x)], -f[len(x) :])


def _monotone_coupling(levels_x: DoubleArray, levels_y: DoubleArray) -> tuple[Indices, Indices, DoubleArray]:
    """The pairs (i, j, mass) of the monotone coupling of sorted points with these cumulative masses."""
    levels = np.union1d(levels_x, levels_y)
    mass = np.diff(levels, prepend=0.0)
    levels, mass = levels[mass > 0], mass[mass > 0]
    return np.searchsorted(levels_x, levels), np.searchsorted(levels_y, levels), mass


def _cumulative_masses(mass: DoubleArray) -> DoubleArray:
    if np.all(mass == mass[0]):
        return _uniform_masses(len(mass))
    levels = np.minimum(np.cumsum(mass), 1.0)
    levels[np.flatnonzero(mass)[-1] :] = 1.0
    return levels


def _uniform_masses(count: int) -> DoubleArray:
    # Quotients round alike where k/n = l/m; cumulative sums do not, and would add pairs of tiny mass.
    levels: DoubleArray = np.arange(1, count + 1) / count
    return levels


def _pair(x: ArrayOrTensor, y: ArrayOrTensor) -> tuple[DoubleArray, DoubleArray]:
    points_x, points_y = _to_array("x", x), _to_array("y", y)
    for name, points in (("x", points_x), ("y", points_y)):
        if points.ndim == 0 or points.size == 0:
            raise InputError(f"{name} of shape {points.shape} holds no points; pass an array (n, *shape).")
    if points_x.shape[1:] != points_y.shape[1:]:
        raise InputError(
            f"x holds samples of shape {points_x.shape[1:]} and y of {points_y.shape[1:]}; a distance needs "
            "the same shape on both sides."
        )
    return points_x.reshape(len(points_x), -1), points_y.reshape(len(points_y), -1)


def _weights(name: str, weights: ArrayOrTensor | None, count: int) -> DoubleArray:
    if weights is None:
        return np.full(count, 1 / count)
    mass = _to_array(name, weights)
    if mass.shape != (count,):
        raise InputError(f"{name} has shape {mass.shape}; one weight for each of {count} points is needed.")
    if count == 0 or mass.min() < 0 or abs(mass.sum() - 1) > 1e-6:
        raise InputError(
            f"{name} must be >= 0 and sum to one, and they are from {mass.min(initial=0):g} up and sum to "
            f"{mass.sum():g}; divide by their sum."
        )
    normalised: DoubleArray = mass / mass.sum()
    return normalised


def _to_array(name: str, values: ArrayOrTensor) -> DoubleArray:
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu().to(torch.float64).numpy()
        raw: npt.NDArray[Any] = np.asarray(values)
        numbers = raw.astype(np.float64) if raw.dtype.kind in "fiub" else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is None:
        raise InputError(f"{name} is not an array of real numbers; pass a float array or tensor.")
    if not np.isfinite(numbers).all():
        raise InputError(f"{name} holds NaN or infinity; a distance needs finite numbers.")
    return numbers


def _power_of_two(size: float) -> float:
    return math.ldexp(1.0, math.frexp(size)[1] - 1) if size > 0 else 1.0
