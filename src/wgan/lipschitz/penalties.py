r"""Penalties on the critic's gradient with respect to its input, one class a paper.

They differ in two things only: *where* the gradient is taken and *what* it is charged. All act per sample,
over all of a sample's dimensions at once, in full precision, and have a finite derivative where the
gradient vanishes; samples may have any shape (N, \*shape).
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from wgan.core.randomness import local_rows
from wgan.errors import InputError
from wgan.lipschitz.constraint import Constraint, refuse_negative, refuse_unless_positive
from wgan.lipschitz.piecewise import PiecewiseLinear
from wgan.lipschitz.scores import mixing_module, score


class InputGradientPenalty(Constraint):
    """A charge on grad_x f(x) at chosen points: fill :meth:`points` and :meth:`charge`."""

    @abstractmethod
    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        r"""Where the gradient is taken: samples (k N, \*shape), k batches of N, drawn with ``rng``."""

    @abstractmethod
    def charge(self, gradients: Tensor) -> Tensor:
        """What the gradients (N, d), one row a sample, cost: a scalar."""

    @final
    def wrap(self, critic: nn.Module) -> nn.Module:
        """Return the critic as it is, once it is sure that its samples stand alone.

        Raises:
            InputError: The critic mixes the samples of a batch.
        """
        refuse_mixing(critic, self)
        return critic

    @final
    def penalty(
        self,
        critic: nn.Module,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """Charge the critic's input gradients at the points. See :meth:`Constraint.penalty`."""
        refuse_mixing(critic, self)
        points = self.points(real, fake, rng)
        if labels is not None and len(points) > len(labels):
            labels = torch.cat([labels] * (len(points) // len(labels)))
        return self.charge(input_gradients(critic, points, labels))


@dataclass(frozen=True)
class GradientPenalty(InputGradientPenalty):
    """Two-sided gradient penalty: weight E (||grad f(x')||_2 - target)^2, x' between real and fake.

    Source: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville 2017, "Improved Training of Wasserstein GANs",
    eq. 3 and algorithm 1.

    Attributes:
        weight: lambda, > 0; 10 in the paper, 0.1 for its toys.
        target: The slope asked for, >= 0.
    """

    weight: float = 10.0
    target: float = 1.0

    def __post_init__(self) -> None:
        refuse_unless_positive(self, "weight")
        refuse_negative(self, "target")

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Between real and fake."""
        return interpolate(real, fake, rng)

    def charge(self, gradients: Tensor) -> Tensor:
        """Return weight E (slope - target)^2."""
        return self.weight * (norm(gradients) - self.target).square().mean()


@dataclass(frozen=True)
class LipschitzPenalty(InputGradientPenalty):
    """One-sided penalty: weight E max(0, ||grad f(x')||_2 - target)^2; a critic may be flat.

    Source: Petzka, Fischer, Lukovnikov 2018, "On the regularization of Wasserstein GANs", eq. 8 (WGAN-LP).

    Attributes:
        weight: lambda, > 0.
        target: The slope allowed, >= 0.
    """

    weight: float = 10.0
    target: float = 1.0

    def __post_init__(self) -> None:
        refuse_unless_positive(self, "weight")
        refuse_negative(self, "target")

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Between real and fake."""
        return interpolate(real, fake, rng)

    def charge(self, gradients: Tensor) -> Tensor:
        """Return weight E max(0, slope - target)^2."""
        return self.weight * (norm(gradients) - self.target).clamp_min(0).square().mean()


@dataclass(frozen=True)
class MaxGradientPenalty(InputGradientPenalty):
    """MaxGP: weight max ||grad f(x')||_2^2, charging the slope that sets the Lipschitz constant.

    Source: Zhou, Liang, Song, Yu, Wang, Zhang, Yu, Zhang 2019, "Lipschitz Generative Adversarial Nets",
    section 4; here the maximum is over one batch.

    Attributes:
        weight: lambda, > 0.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        refuse_unless_positive(self, "weight")

    @property
    def of_whole_batches(self) -> bool:
        """The maximum is."""
        return True

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Between real and fake."""
        return interpolate(real, fake, rng)

    def charge(self, gradients: Tensor) -> Tensor:
        """Return weight max slope^2."""
        return self.weight * gradients.square().sum(1).max()


@dataclass(frozen=True)
class DRAGAN(InputGradientPenalty):
    """Gradient penalty around the data: weight E (||grad f(x + d)||_2 - target)^2, d ~ N(0, s^2 I).

    s is ``noise`` times the standard deviation of the batch, so that it means the same at every scale.

    Source: Kodali, Abernethy, Hays, Kira 2017, "On Convergence and Stability of GANs", section 2.3,
    algorithm 1.

    Attributes:
        weight: lambda, > 0.
        target: k, the slope asked for, >= 0.
        noise: Standard deviation of the perturbation in units of the batch's, > 0.
    """

    weight: float = 10.0
    target: float = 1.0
    noise: float = 0.5

    def __post_init__(self) -> None:
        refuse_unless_positive(self, "weight")
        refuse_negative(self, "target")
        refuse_unless_positive(self, "noise")

    @property
    def of_whole_batches(self) -> bool:
        """The standard deviation is."""
        return True

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Around real."""
        unit = torch.randn(real.shape, generator=rng, device=real.device, dtype=real.dtype)
        return real + self.noise * real.std(correction=0) * unit

    def charge(self, gradients: Tensor) -> Tensor:
        """Return weight E (slope - target)^2."""
        return self.weight * (norm(gradients) - self.target).square().mean()


@dataclass(frozen=True)
class R1(InputGradientPenalty):
    """Zero-centred penalty on real samples: gamma/2 E ||grad f(x)||_2^2.

    Source: Mescheder, Geiger, Nowozin 2018, "Which Training Methods for GANs do actually Converge?", eq. 9.

    Attributes:
        gamma: > 0.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        refuse_unless_positive(self, "gamma")

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """At real."""
        return real

    def charge(self, gradients: Tensor) -> Tensor:
        """Return gamma/2 E slope^2."""
        return self.gamma / 2 * gradients.square().sum(1).mean()


@dataclass(frozen=True)
class R2(InputGradientPenalty):
    """Zero-centred penalty on fake samples: gamma/2 E ||grad f(G(z))||_2^2.

    Source: Mescheder, Geiger, Nowozin 2018, "Which Training Methods for GANs do actually Converge?", eq. 10.

    Attributes:
        gamma: > 0.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        refuse_unless_positive(self, "gamma")

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """At fake."""
        return fake

    def charge(self, gradients: Tensor) -> Tensor:
        """Return gamma/2 E slope^2."""
        return self.gamma / 2 * gradients.square().sum(1).mean()


@dataclass(frozen=True)
class R1R2(InputGradientPenalty):
    """R1 and R2 at once, in one pass: gamma/2 (E ||grad f(x)||_2^2 + E ||grad f(G(z))||_2^2).

    Source: Huang, Gokaslan, Kuleshov, Tompkin 2024, "The GAN is dead; long live the GAN!", section 2.3; each
    of them Mescheder, Geiger, Nowozin 2018, eqs. 9 and 10.

    Attributes:
        gamma: > 0.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        refuse_unless_positive(self, "gamma")

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """At real and at fake, as many of both."""
        if real.shape != fake.shape:
            raise InputError(
                f"R1R2 weighs real and fake alike, and {tuple(real.shape)} and {tuple(fake.shape)} differ; "
                "pass as many fakes as reals, of the same shape."
            )
        return torch.cat([real, fake])

    def charge(self, gradients: Tensor) -> Tensor:
        """Return gamma/2 times the sum of both means of slope^2."""
        return self.gamma * gradients.square().sum(1).mean()


def interpolate(real: Tensor, fake: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """Points between real and fake: e x + (1 - e) G(z), one e ~ U(0, 1) a sample.

    Raises:
        InputError: The two batches have different shapes.
    """
    if real.shape != fake.shape:
        raise InputError(
            f"Real samples of shape {tuple(real.shape)} and fake ones of {tuple(fake.shape)} have no points "
            "between them; pass as many fakes as reals, of the same shape."
        )
    one_each = (1,) * (real.dim() - 1)
    epsilon = local_rows(
        lambda count: torch.rand((count, *one_each), generator=rng, device=real.device, dtype=real.dtype),
        len(real),
        rng,
    )
    return epsilon * real + (1 - epsilon) * fake


def input_gradients(critic: nn.Module, points: Tensor, labels: Tensor | None = None) -> Tensor:
    r"""Return grad_x f(x) at each point, differentiable again with respect to the critic's weights.

    Computed in the precision of the critic's weights and never under autocast: a gradient norm rounded to
    bfloat16 has an error of the size of the penalty itself.

    Args:
        critic: Scores samples independently of one another.
        points: (N, \*shape); detached from whatever made them.
        labels: int64 (N,) or None.

    Returns:
        (N, d), a sample's gradient flattened.

    Raises:
        InputError: The critic's weights are in half precision.
    """
    precision = next((p.dtype for p in critic.parameters() if p.is_floating_point()), torch.float32)
    if precision not in (torch.float32, torch.float64):
        raise InputError(
            f"The critic's weights are {precision}, too coarse for a penalty on gradients; "
            'keep them in float32 and train with precision="bfloat16" for speed.'
        )
    points = points.detach().to(precision).requires_grad_()
    linear = PiecewiseLinear()
    with torch.enable_grad(), torch.autocast(points.device.type, enabled=False):
        with linear:
            scores = score(critic, points, labels)
        return linear.gradient(scores, points).flatten(1)


def norm(gradients: Tensor) -> Tensor:
    """Euclidean norm of each row of (N, d), with derivative zero, not NaN, at a zero row."""
    squares = gradients.square().sum(1)
    flat = squares == 0
    # The root is taken away from zero on both branches: where() alone would still multiply 0 by infinity.
    return torch.where(flat, 0, torch.where(flat, 1, squares).sqrt())


def refuse_mixing(critic: nn.Module, constraint: Constraint) -> None:
    """Raise InputError if the critic mixes the samples of a batch: its penalty would not be per sample."""
    module = mixing_module(critic)
    if module is not None:
        raise InputError(
            f"{type(constraint).__name__} needs a critic without batch normalisation: the penalty is per "
            f"sample, and {module} mixes samples. Use norm='layer' or another constraint."
        )
