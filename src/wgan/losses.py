"""The losses of the critic and the generator, as pure functions of score vectors.

Scores are float tensors of shape (N,). Each function returns a scalar to be *minimised*. Penalties that keep
the critic Lipschitz are not part of a loss: see :mod:`wgan.lipschitz`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import torch.nn.functional as F
from torch import Tensor

from wgan.errors import InputError

ScoreLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """The losses of the critic and the generator, each a function ``(real, fake) -> scalar``.

    Attributes:
        name: Name in a configuration.
        critic: The critic's loss of real and fake scores, both (N,).
        generator: The generator's loss of the same; only a ``paired`` loss uses the real scores.
        paired: Whether the generator's loss compares each fake with a real sample. The training step then
            scores real samples in the generator's step too; otherwise it passes the fakes in both places.
    """

    name: str
    critic: ScoreLoss
    generator: ScoreLoss
    paired: bool = False


def gap(real: Tensor, fake: Tensor) -> Tensor:
    """Mean score of real minus mean score of fake samples: E f(x) - E f(G(z)), a scalar.

    For a critic of Lipschitz constant K it is at most K W1(real, fake), by the Kantorovich-Rubinstein dual
    (Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", eq. 2).
    """
    return real.mean() - fake.mean()


def _negative_gap(real: Tensor, fake: Tensor) -> Tensor:
    return -gap(real, fake)


def _negative_score(real: Tensor, fake: Tensor) -> Tensor:
    return -fake.mean()


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    # -log D(x) - log(1 - D(G(z))) with D = sigmoid(score), in its numerically stable form.
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _minimax_generator(real: Tensor, fake: Tensor) -> Tensor:
    return -F.softplus(fake).mean()


def _non_saturating_generator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def _hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(fake - real).mean()


def _relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(real - fake).mean()


@dataclass(frozen=True)
class ClassificationWeights:
    """Weights of the auxiliary classifier's cross-entropy in the losses of the critic and the generator.

    Source: Odena, Olah, Shlens 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", eqs. 2-3,
    with the weights of the code of Gulrajani et al. 2017 (CIFAR-10).

    Attributes:
        critic: Weight of the cross-entropy of real samples in the critic's loss, >= 0.
        generator: Weight of the cross-entropy of fakes in the generator's loss, >= 0.

    Raises:
        InputError: A weight is out of its range.
    """

    critic: float = 1.0
    generator: float = 0.1

    def __post_init__(self) -> None:
        for name, weight in (("critic", self.critic), ("generator", self.generator)):
            if not isinstance(weight, int | float) or not 0 <= weight < inf:
                raise InputError(
                    f"The auxiliary classifier's weight for the {name} must be a finite number >= 0, "
                    f"not {weight!r}."
                )


wasserstein = Loss("wasserstein", _negative_gap, _negative_score)
"""Critic: -(E f(x) - E f(G(z))); generator: -E f(G(z)) (Arjovsky et al. 2017, eqs. 2-3, algorithm 1)."""

minimax = Loss("minimax", _cross_entropy, _minimax_generator)
"""The original GAN loss, whose generator loss saturates (Goodfellow et al. 2014, eq. 1)."""

non_saturating = Loss("non-saturating", _cross_entropy, _non_saturating_generator)
"""The original GAN loss with the non-saturating generator loss (Goodfellow et al. 2014, section 3)."""

hinge = Loss("hinge", _hinge_critic, _negative_score)
"""Hinge loss of the critic (Lim, Ye 2017, "Geometric GAN"; Miyato et al. 2018, eqs. 16-17)."""

relativistic = Loss("relativistic", _relativistic_critic, _relativistic_generator, paired=True)
"""Paired relativistic loss (Jolicoeur-Martineau 2018; Huang et al. 2024, "The GAN is dead", eq. 2)."""

LOSSES = {loss.name: loss for loss in (wasserstein, non_saturating, minimax, hinge, relativistic)}
