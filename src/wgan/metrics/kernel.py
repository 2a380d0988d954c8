"""The kernel distance (KID) between two sets of features."""

import torch
from torch import Tensor

from wgan.core.arrays import ArrayOrTensor
from wgan.metrics.checks import feature_matrices, row_chunks
from wgan.metrics.estimates import MetricValue


def kernel_distance(real: ArrayOrTensor, fake: ArrayOrTensor) -> MetricValue:
    r"""KID: the unbiased MMD^2 with the kernel k(x, y) = (x.y / d + 1)^3.

        sum_{i != j} k(x_i, x_j) / N(N-1) + sum_{i != j} k(y_i, y_j) / M(M-1) - 2 sum_ij k(x_i, y_j) / NM

    Its mean is the squared distance of the distributions at any count, so it may be negative for similar
    ones. All pairs are used, rather than pairs within random subsets of 1,000 as in papers: the same mean
    with less spread. The standard error is that of the delete-one jackknife, computed from the row sums; it
    is right where the distributions differ, and up to sqrt(2) too large where they are the same.

    Source: Binkowski et al. 2018, "Demystifying MMD GANs", section 4 and appendix C; Gretton et al. 2012,
    "A Kernel Two-Sample Test", equation 3.

    Args:
        real: (N, d).
        fake: (M, d).

    Raises:
        InputError: See :func:`~wgan.metrics.checks.feature_matrices`.
    """
    x, y = feature_matrices(real=real, fake=fake)
    within_x, within_y = _within_sums(x), _within_sums(y)
    rows, columns = _sums(x, y)
    n, m, cross = len(x), len(y), rows.sum()
    mean_x, mean_y = within_x.sum() / (n * (n - 1)), within_y.sum() / (m * (m - 1))
    value = (mean_x + mean_y - 2 * cross / (n * m)).item()
    if min(n, m) < 3:
        return MetricValue(value, None)
    # The value without each sample in turn, up to a constant.
    without_x = _leave_one_out_means(within_x) - 2 * (cross - rows) / ((n - 1) * m)
    without_y = _leave_one_out_means(within_y) - 2 * (cross - columns) / ((m - 1) * n)
    return MetricValue(value, (_jackknife(without_x) + _jackknife(without_y)).sqrt().item())


def _sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of k(x_i, y_j) over j, and over i."""
    rows, columns = [], torch.zeros_like(y[:, 0])
    for chunk in row_chunks(len(x), len(y)):
        kernel = (x[chunk] @ y.T).div_(x.shape[1]).add_(1).pow_(3)
        rows.append(kernel.sum(1))
        columns += kernel.sum(0)
    return torch.cat(rows), columns


def _within_sums(x: Tensor) -> Tensor:
    """Sums of k(x_i, x_j) over j != i."""
    return _sums(x, x)[0] - (x.square().sum(1) / x.shape[1] + 1) ** 3


def _leave_one_out_means(within: Tensor) -> Tensor:
    """The mean over pairs without each sample in turn."""
    n = len(within)
    return (within.sum() - 2 * within) / ((n - 1) * (n - 2))


def _jackknife(without: Tensor) -> Tensor:
    n = len(without)
    return (n - 1) / n * (without - without.mean()).square().sum()
