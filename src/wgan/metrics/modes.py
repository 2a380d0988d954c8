"""Which modes or labels a generator reaches, and how evenly."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from wgan.errors import InputError
from wgan.metrics.checks import Samples, matrices
from wgan.metrics.estimates import Value

WITHIN = 3.0
"""Standard deviations from the nearest mode up to which a sample is of high quality."""


@final
@dataclass(frozen=True, eq=False)
class Modes:
    """A distribution with known modes: the equal mixture of isotropic Gaussians.

    Attributes:
        centres: (k, d).
        std: In each coordinate, > 0.
    """

    centres: Tensor
    std: float

    def __post_init__(self) -> None:
        if self.centres.ndim != 2 or len(self.centres) == 0 or not self.std > 0:
            raise InputError(
                f"Modes need centres (k, d) and a std above 0, not {tuple(self.centres.shape)} and "
                f"{self.std}."
            )

    def nearest(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """For each sample (N, d) its nearest mode, int64 (N,), and whether it is of high quality, bool (N,).

        Raises:
            InputError: The samples are not of the modes' width, or see `matrices`.
        """
        (x,) = matrices(fake=samples)
        if x.shape[1] != self.centres.shape[1]:
            raise InputError(
                f"Samples of width {x.shape[1]} have no distance to modes of width {self.centres.shape[1]}; "
                "known modes need the samples as they are (extractor 'pixels')."
            )
        distance, mode = torch.cdist(x, self.centres.to(x)).min(1)
        return mode, distance <= WITHIN * self.std


def high_quality(fake: Samples, modes: Modes) -> Value:
    """The share of fakes within 3 std of a mode; of the distribution itself 98.9 % are, in two dimensions.

    Source: Srivastava et al. 2017, "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational
    Learning", section 4.1.
    """
    _, good = modes.nearest(fake)
    share = good.double().mean().item()
    return Value(share, (share * (1 - share) / len(good)) ** 0.5)


def reached(labels: Tensor) -> Value:
    """How many modes or labels at least one sample has, of int64 (N,) in [0, k), N >= 1.

    For known modes only samples of high quality are to be counted. The standard error is the jackknife's:
    without one sample the count falls by one if that sample is the only one of its label.

    Source: as for :func:`high_quality`.
    """
    counts = torch.bincount(labels)
    single = int((counts == 1).sum())
    spread = (single * (1 - single / len(labels))) ** 0.5 if len(labels) else 0.0
    return Value(float((counts > 0).sum()), spread)


def effective(labels: Tensor) -> Value:
    """The effective number of modes or labels: exp of the entropy of their distribution.

    Without a threshold: a label that only the mistakes of a classifier reach counts for little, one that is
    rare for less than one that is not. The standard error is the delta method's.

    Source: Hill 1973, "Diversity and Evenness: A Unifying Notation and Its Consequences", the number of order
    1.

    Args:
        labels: int64 (N,) in [0, k); no label is no mode.
    """
    if not len(labels):
        return Value(0.0, 0.0)
    distribution = torch.bincount(labels).double() / len(labels)
    logs = torch.where(distribution > 0, distribution, 1.0).log()
    number = (-(distribution @ logs)).exp().item()
    return Value(number, number * (_variance(logs, distribution) / len(labels)).sqrt().item())


def label_divergence(labels: Tensor, reference: Tensor) -> Value:
    """KL(p || q) = sum_k p_k log(p_k / q_k), in nats, of two label distributions as counted.

    With the fakes' labels first this is the reverse KL, which papers report for StackedMNIST; with the
    reals' first the KL proper, which a missing label makes large. A label of p that q lacks counts as half
    a sample of q, so that it costs log(2 M p_k) and not infinity. Counting makes the mean positive even for
    equal distributions, by about (k - 1) (1/N + 1/M) / 2; the floor shows it. The standard error is the delta
    method's: var_p(log p/q) / N + var_q(p/q) / M, squared.

    Source: Srivastava et al. 2017 (VEEGAN), section 4.2; Lin et al. 2018, "PacGAN: The Power of Two Samples
    in Generative Adversarial Networks", section 4.1.

    Args:
        labels: int64 (N,) >= 0, of p.
        reference: int64 (M,) >= 0, of q.

    Raises:
        InputError: There are no labels on a side, or negative ones.
    """
    for given in (labels, reference):
        if given.ndim != 1 or len(given) == 0 or given.is_floating_point() or given.min() < 0:
            raise InputError(f"Labels must be integers (N,) counted from 0, not {_describe(given)}.")
    count = int(max(labels.max(), reference.max())) + 1
    p = torch.bincount(labels, minlength=count).double() / len(labels)
    q = torch.bincount(reference, minlength=count).clamp(min=0.5).double() / len(reference)
    ratio = p / q
    log_ratio = torch.where(p > 0, ratio, 1.0).log()
    variance = _variance(log_ratio, p) / len(labels) + _variance(ratio, q / q.sum()) / len(reference)
    return Value(max(0.0, (p @ log_ratio).item()), variance.sqrt().item())


def _variance(values: Tensor, distribution: Tensor) -> Tensor:
    return distribution @ (values - distribution @ values).square()


def _describe(given: Tensor) -> str:
    kind = str(given.dtype).removeprefix("torch.")
    return f"{kind} of shape {tuple(given.shape)}" + (
        f" from {given.min().item():g}" if given.numel() else ""
    )
