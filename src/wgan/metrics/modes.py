"""Coverage of known modes or labels by a generator, and its evenness."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from wgan.core.arrays import ArrayOrTensor
from wgan.errors import InputError
from wgan.metrics.checks import feature_matrices
from wgan.metrics.estimates import MetricValue

WITHIN = 3.0
"""Largest distance of a high-quality sample from its nearest mode, in standard deviations."""


@final
@dataclass(frozen=True, eq=False)
class Modes:
    """The modes of an equal mixture of isotropic Gaussians.

    Attributes:
        centres: (k, d).
        std: Standard deviation in each coordinate, > 0.
    """

    centres: Tensor
    std: float

    def __post_init__(self) -> None:
        if self.centres.ndim != 2 or len(self.centres) == 0 or not self.std > 0:
            raise InputError(
                f"Modes need centres (k, d) and a std above 0, not {tuple(self.centres.shape)} and "
                f"{self.std}."
            )

    def nearest(self, samples: ArrayOrTensor) -> tuple[Tensor, Tensor]:
        """Return each sample's nearest mode, int64 (N,), and whether it is of high quality, bool (N,).

        Raises:
            InputError: The samples are not of the modes' width, or see `feature_matrices`.
        """
        (x,) = feature_matrices(fake=samples)
        if x.shape[1] != self.centres.shape[1]:
            raise InputError(
                f"Samples of width {x.shape[1]} have no distance to modes of width {self.centres.shape[1]}; "
                "known modes need the samples as they are (extractor 'pixels')."
            )
        distance, mode = torch.cdist(x, self.centres.to(x)).min(1)
        return mode, distance <= WITHIN * self.std


def high_quality_share(fake: ArrayOrTensor, modes: Modes) -> MetricValue:
    """Share of fakes within 3 std of a mode; 98.9 % for the distribution itself, in two dimensions.

    Source: Srivastava et al. 2017, "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational
    Learning", section 4.1.
    """
    _, good = modes.nearest(fake)
    share = good.double().mean().item()
    return MetricValue(share, (share * (1 - share) / len(good)) ** 0.5)


def count_modes(labels: Tensor) -> MetricValue:
    """Count the modes or labels that have at least one sample, given labels int64 (N,) in [0, k), N >= 1.

    For known modes pass the labels of high-quality samples only. The standard error is the jackknife's:
    without one sample the count falls by one if that sample is the only one of its label.

    Source: as for :func:`high_quality_share`.
    """
    counts = torch.bincount(labels)
    single = int((counts == 1).sum())
    spread = (single * (1 - single / len(labels))) ** 0.5 if len(labels) else 0.0
    return MetricValue(float((counts > 0).sum()), spread)


def effective_modes(labels: Tensor) -> MetricValue:
    """Effective number of modes or labels: exp of the entropy of their distribution.

    It has no threshold: a rare label, such as one that only a classifier's mistakes produce, counts for
    little. The standard error is the delta method's.

    Source: Hill 1973, "Diversity and Evenness: A Unifying Notation and Its Consequences", the number of order
    1.

    Args:
        labels: int64 (N,) in [0, k); N = 0 gives 0.
    """
    if not len(labels):
        return MetricValue(0.0, 0.0)
    distribution = torch.bincount(labels).double() / len(labels)
    logs = torch.where(distribution > 0, distribution, 1.0).log()
    number = (-(distribution @ logs)).exp().item()
    return MetricValue(number, number * (_variance(logs, distribution) / len(labels)).sqrt().item())


def label_divergence(labels: Tensor, reference: Tensor) -> MetricValue:
    """KL(p || q) = sum_k p_k log(p_k / q_k), in nats, of two empirical label distributions.

    With the fakes' labels first this is the reverse KL, which papers report for StackedMNIST; with the
    reals' first it is the forward KL, which a missing label makes large. A label of p that q lacks counts as
    half a sample of q, so that it costs log(2 M p_k) and not infinity. The mean is positive even for equal
    distributions, by about (k - 1) (1/N + 1/M) / 2; the floor shows it. The standard error is the delta
    method's: the root of var_p(log p/q) / N + var_q(p/q) / M.

    Source: Srivastava et al. 2017 (VEEGAN), section 4.2; Lin et al. 2018, "PacGAN: The Power of Two Samples
    in Generative Adversarial Networks", section 4.1.

    Args:
        labels: Labels of samples of p, int64 (N,) >= 0.
        reference: Labels of samples of q, int64 (M,) >= 0.

    Raises:
        InputError: One set has no labels, or negative ones.
    """
    for array in (labels, reference):
        if array.ndim != 1 or len(array) == 0 or array.is_floating_point() or array.min() < 0:
            raise InputError(f"Labels must be integers (N,) counted from 0, not {_describe(array)}.")
    count = int(max(labels.max(), reference.max())) + 1
    p = torch.bincount(labels, minlength=count).double() / len(labels)
    q = torch.bincount(reference, minlength=count).clamp(min=0.5).double() / len(reference)
    ratio = p / q
    log_ratio = torch.where(p > 0, ratio, 1.0).log()
    variance = _variance(log_ratio, p) / len(labels) + _variance(ratio, q / q.sum()) / len(reference)
    return MetricValue(max(0.0, (p @ log_ratio).item()), variance.sqrt().item())


def _variance(values: Tensor, distribution: Tensor) -> Tensor:
    return distribution @ (values - distribution @ values).square()


def _describe(array: Tensor) -> str:
    lowest = f" from {array.min().item():g}" if array.numel() else ""
    return f"{str(array.dtype).removeprefix('torch.')} of shape {tuple(array.shape)}{lowest}"
