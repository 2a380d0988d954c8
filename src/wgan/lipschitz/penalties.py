r"""Penalties on the critic's gradient with respect to its input, one class per paper.

They differ in the points where the gradient is taken and in the cost of the gradient. All act per sample, on
the gradient with respect to all of a sample's dimensions, in full precision, and have a finite derivative
where the gradient vanishes. Samples may have any shape (N, \*shape).

The weight (the papers' lambda or gamma) is inside: ``penalty()`` returns weight * ..., to be added to the
critic's loss as it is.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from wgan.core.randomness import local_rows
from wgan.errors import InputError
from wgan.lipschitz.constraint import Constraint, check_settings
from wgan.lipschitz.piecewise import PiecewiseLinear
from wgan.lipschitz.scores import mixing_module, score


class InputGradientPenalty(Constraint):
    """A cost of grad_x f(x) at chosen points: fill :meth:`points` and :meth:`cost`."""

    @abstractmethod
    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        r"""Points at which the gradient is taken: (k N, \*shape), k batches of N, drawn with ``rng``."""

    @abstractmethod
    def cost(self, gradients: Tensor) -> Tensor:
        """The penalty, a scalar, of the gradients (N, d), one row per sample; the weight included."""

    @final
    def wrap(self, critic: nn.Module) -> nn.Module:
        """Return the critic unchanged.

        Raises:
            InputError: The critic mixes the samples of a batch.
        """
        _check_samples_independent(critic, self)
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
        """Return weight * cost of the input gradients; add it to the loss as it is.

        See :meth:`Constraint.penalty`.
        """
        _check_samples_independent(critic, self)
        points = self.points(real, fake, rng)
        if labels is not None and len(points) > len(labels):
            labels = torch.cat([labels] * (len(points) // len(labels)))
        return self.cost(input_gradients(critic, points, labels))


@dataclass(frozen=True)
class GradientPenalty(InputGradientPenalty):
    """WGAN-GP's two-sided gradient penalty: weight E (||grad f(x')||_2 - target)^2, x' between real and fake.

    ``penalty()`` returns weight * ..., add it to the loss as it is.

    Source: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville 2017, "Improved Training of Wasserstein GANs",
    eq. 3 and algorithm 1.

    Attributes:
        weight: The paper's lambda, often called ``lambda_gp``, > 0; 10 in the paper, 0.1 for its toys.
        target: The gradient norm that costs nothing, >= 0; 1 in the paper.
    """

    weight: float = 10.0
    target: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, positive=["weight"], non_negative=["target"])

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Random points between real and fake."""
        return random_interpolates(real, fake, rng)

    def cost(self, gradients: Tensor) -> Tensor:
        """Return weight E (norm - target)^2."""
        return self.weight * (row_norms(gradients) - self.target).square().mean()


@dataclass(frozen=True)
class LipschitzPenalty(InputGradientPenalty):
    """WGAN-LP's one-sided penalty: weight E max(0, ||grad f(x')||_2 - target)^2; small gradients are free.

    ``penalty()`` returns weight * ..., add it to the loss as it is.

    Source: Petzka, Fischer, Lukovnikov 2018, "On the regularization of Wasserstein GANs", eq. 8.

    Attributes:
        weight: The paper's lambda, > 0.
        target: The largest gradient norm that costs nothing, >= 0.
    """

    weight: float = 10.0
    target: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, positive=["weight"], non_negative=["target"])

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Random points between real and fake."""
        return random_interpolates(real, fake, rng)

    def cost(self, gradients: Tensor) -> Tensor:
        """Return weight E max(0, norm - target)^2."""
        return self.weight * (row_norms(gradients) - self.target).clamp_min(0).square().mean()


@dataclass(frozen=True)
class MaxGradientPenalty(InputGradientPenalty):
    """MaxGP: weight max ||grad f(x')||_2^2, the maximum being over one batch.

    ``penalty()`` returns weight * ..., add it to the loss as it is.

    Source: Zhou, Liang, Song, Yu, Wang, Zhang, Yu, Zhang 2019, "Lipschitz Generative Adversarial Nets",
    section 4.

    Attributes:
        weight: The paper's lambda, > 0.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, positive=["weight"])

    @property
    def needs_whole_batch(self) -> bool:
        """True, because of the maximum."""
        return True

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Random points between real and fake."""
        return random_interpolates(real, fake, rng)

    def cost(self, gradients: Tensor) -> Tensor:
        """Return weight max norm^2."""
        return self.weight * gradients.square().sum(1).max()


@dataclass(frozen=True)
class DRAGAN(InputGradientPenalty):
    """Gradient penalty around the data: weight E (||grad f(x + d)||_2 - target)^2, d ~ N(0, s^2 I).

    s is ``noise`` times the standard deviation of the batch. ``penalty()`` returns weight * ..., add it to
    the loss as it is.

    Source: Kodali, Abernethy, Hays, Kira 2017, "On Convergence and Stability of GANs", section 2.3,
    algorithm 1.

    Attributes:
        weight: The paper's lambda, > 0.
        target: The paper's k, the gradient norm that costs nothing, >= 0.
        noise: Standard deviation of the perturbation in units of the batch's, > 0.
    """

    weight: float = 10.0
    target: float = 1.0
    noise: float = 0.5

    def __post_init__(self) -> None:
        check_settings(self, positive=["weight", "noise"], non_negative=["target"])

    @property
    def needs_whole_batch(self) -> bool:
        """True, because of the standard deviation."""
        return True

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Real samples plus noise."""
        unit = torch.randn(real.shape, generator=rng, device=real.device, dtype=real.dtype)
        return real + self.noise * real.std(correction=0) * unit

    def cost(self, gradients: Tensor) -> Tensor:
        """Return weight E (norm - target)^2."""
        return self.weight * (row_norms(gradients) - self.target).square().mean()


@dataclass(frozen=True)
class R1(InputGradientPenalty):
    """Zero-centred penalty on real samples: gamma/2 E ||grad f(x)||_2^2.

    ``penalty()`` returns gamma/2 * ..., add it to the loss as it is.

    Source: Mescheder, Geiger, Nowozin 2018, "Which Training Methods for GANs do actually Converge?", eq. 9.

    Attributes:
        gamma: The paper's gamma, often called ``r1_gamma``, > 0.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, positive=["gamma"])

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Real samples."""
        return real

    def cost(self, gradients: Tensor) -> Tensor:
        """Return gamma/2 E norm^2."""
        return self.gamma / 2 * gradients.square().sum(1).mean()


@dataclass(frozen=True)
class R2(InputGradientPenalty):
    """Zero-centred penalty on fake samples: gamma/2 E ||grad f(G(z))||_2^2.

    ``penalty()`` returns gamma/2 * ..., add it to the loss as it is.

    Source: Mescheder, Geiger, Nowozin 2018, "Which Training Methods for GANs do actually Converge?", eq. 10.

    Attributes:
        gamma: The paper's gamma, > 0.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, positive=["gamma"])

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Fake samples."""
        return fake

    def cost(self, gradients: Tensor) -> Tensor:
        """Return gamma/2 E norm^2."""
        return self.gamma / 2 * gradients.square().sum(1).mean()


@dataclass(frozen=True)
class R1R2(InputGradientPenalty):
    """R1 and R2 in one pass: gamma/2 (E ||grad f(x)||_2^2 + E ||grad f(G(z))||_2^2).

    ``penalty()`` returns gamma/2 * ..., add it to the loss as it is.

    Source: Huang, Gokaslan, Kuleshov, Tompkin 2024, "The GAN is dead; long live the GAN!", section 2.3; each
    of them Mescheder, Geiger, Nowozin 2018, eqs. 9 and 10.

    Attributes:
        gamma: The papers' gamma, > 0.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, positive=["gamma"])

    def points(self, real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
        """Real and fake samples, the same number of both."""
        _check_same_shape(real, fake)
        return torch.cat([real, fake])

    def cost(self, gradients: Tensor) -> Tensor:
        """Return gamma/2 times the sum of both means of norm^2."""
        return self.gamma * gradients.square().sum(1).mean()


def random_interpolates(real: Tensor, fake: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """Random points between real and fake samples: e x + (1 - e) G(z), one e ~ U(0, 1) per sample.

    Raises:
        InputError: The two batches have different shapes.
    """
    _check_same_shape(real, fake)
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
        critic: A critic that scores samples independently of one another.
        points: (N, \*shape); detached from their graph.
        labels: int64 (N,) or None.

    Returns:
        (N, d), each sample's gradient flattened.

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


def row_norms(gradients: Tensor) -> Tensor:
    """Euclidean norm of each row of (N, d), with derivative zero, not NaN, at a zero row."""
    squares = gradients.square().sum(1)
    flat = squares == 0
    # The root avoids zero on both branches: where() alone would still multiply 0 by infinity.
    return torch.where(flat, 0, torch.where(flat, 1, squares).sqrt())


def _check_same_shape(real: Tensor, fake: Tensor) -> None:
    if real.shape != fake.shape:
        raise InputError(
            f"The penalty pairs real and fake samples, and their shapes {tuple(real.shape)} and "
            f"{tuple(fake.shape)} differ; pass as many fakes as reals, of the same shape."
        )


def _check_samples_independent(critic: nn.Module, constraint: Constraint) -> None:
    module = mixing_module(critic)
    if module is not None:
        raise InputError(
            f"{type(constraint).__name__} needs a critic without batch normalisation: the penalty is per "
            f"sample, and {module} mixes samples. Use norm='layer' or another constraint."
        )
