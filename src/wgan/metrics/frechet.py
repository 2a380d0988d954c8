"""The Frechet distance between the Gaussians of two sets of features."""

import warnings

import torch
from torch import Tensor

from wgan.core.arrays import ArrayOrTensor
from wgan.metrics.checks import feature_matrices
from wgan.metrics.estimates import MetricValue


def frechet_distance(real: ArrayOrTensor, fake: ArrayOrTensor) -> MetricValue:
    r"""FD = \|m1 - m2\|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), the squared W2 of the two fitted Gaussians.

    With any factors S1 = A^T A and S2 = B^T B the last trace is the sum of the singular values of A B^T,
    which are the roots of the eigenvalues of the symmetric S1^(1/2) S2 S1^(1/2). Here A and B are triangular
    factors of the centred samples, so that no square root of a rounded square is taken: the result is as
    accurate for covariances without full rank, and zero up to rounding for equal sets.

    The standard error is that of the infinitesimal jackknife. FD moves with the weight of a sample x by

        2 (m1 - m2).(x - m1) + |x - m1|^2 - (x - m1)^T T (x - m1),

    with T the optimal map from one Gaussian to the other, which the same singular vectors give, and likewise
    for a fake. It is the spread over repetitions at these n; the floor shows the bias at these n, which is
    positive.

    Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6; Dowson and Landau
    1982, "The Frechet Distance between Multivariate Normal Distributions"; Efron 1982, "The Jackknife, the
    Bootstrap and Other Resampling Plans", chapter 6; Rippl, Munk and Sturm 2016, "Limit Laws of the Empirical
    Wasserstein Distance: Gaussian Distributions", for T.

    Args:
        real: (N, d).
        fake: (M, d).

    Raises:
        InputError: See :func:`~wgan.metrics.checks.feature_matrices`.

    Warns:
        UserWarning: N or M is below d.
    """
    x, y = feature_matrices(real=real, fake=fake)
    _warn_below_width(len(x), len(y), x.shape[1])
    shift = x.mean(0) - y.mean(0)
    x, y = x - x.mean(0), y - y.mean(0)
    (q, a), (p, b) = torch.linalg.qr(x / (len(x) - 1) ** 0.5), torch.linalg.qr(y / (len(y) - 1) ** 0.5)
    u, roots, vt = torch.linalg.svd(a @ b.T, full_matrices=False)
    value = shift @ shift + a.square().sum() + b.square().sum() - 2 * roots.sum()
    by_real = 2 * x @ shift + x.square().sum(1) - (len(x) - 1) * (q @ u).square() @ roots
    by_fake = -2 * y @ shift + y.square().sum(1) - (len(y) - 1) * (p @ vt.T).square() @ roots
    error = (_mean_variance(by_real) + _mean_variance(by_fake)).sqrt()
    return MetricValue(max(0.0, value.item()), error.item())


def _mean_variance(values: Tensor) -> Tensor:
    return values.var() / len(values)


def _warn_below_width(n_real: int, n_fake: int, width: int) -> None:
    if min(n_real, n_fake) < width:
        warnings.warn(
            f"A Frechet distance of {n_real} real and {n_fake} fake samples in {width} dimensions is mostly "
            f"bias: fewer than {width} samples have no full covariance. Compare it with its floor, real "
            "against real at the same count, or take more samples or an extractor of smaller width.",
            UserWarning,
            stacklevel=3,
        )
