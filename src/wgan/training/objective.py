"""What the two networks minimise, each as one function of a forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wgan.lipschitz import Chain, Constraint, score, score_pair
from wgan.losses import ClassificationWeights, Loss
from wgan.networks import generate
from wgan.training.augment import Augmenter
from wgan.training.auxiliary_loss import AuxiliaryLoss
from wgan.training.precision import Precision

Numbers = dict[str, Tensor]
Terms = Callable[..., Numbers]
"""``terms(network, **inputs)``: the terms whose sum the network minimises."""
TermsEvaluation = Callable[..., Numbers]
"""How terms are evaluated: ``evaluate(terms, network, **inputs)``."""


class Batch(NamedTuple):
    """Real samples and their labels.

    Attributes:
        samples: (N, *shape).
        labels: int64 (N,) or float (N, k); None in a run without labels.
    """

    samples: Tensor
    labels: Tensor | None = None


@final
@dataclass(frozen=True)
class Objective:
    """What the generator and the critic minimise.

    Attributes:
        loss: The loss of both.
        constraint: Adds its penalty to the critic's loss, and projects its weights after the step.
        classification: Weights of the classification loss, for a critic with an auxiliary classifier.
        auxiliary_loss: A second term of the generator's loss, such as a student's distance to its teacher.
        precision: Of the forward passes; the penalty and its gradient are computed in float32 always.
    """

    loss: Loss
    constraint: Constraint = Chain()
    classification: ClassificationWeights | None = None
    auxiliary_loss: AuxiliaryLoss | None = None
    precision: Precision = "float32"


def critic_terms(
    critic: nn.Module,
    *,
    objective: Objective,
    real: Tensor,
    fake: Tensor,
    labels: Tensor | None,
    rng: torch.Generator,
    penalty_scale: float,
) -> Numbers:
    """The terms that the critic minimises: its loss, ``penalty``, ``critic_classification``."""
    real_scores, fake_scores = score_pair(critic, real, fake, labels)
    loss = objective.loss.critic(real_scores, fake_scores)
    terms = {"critic_loss": loss, "penalty": loss.new_zeros(())}
    if penalty_scale > 0:
        terms["penalty"] = penalty_scale * objective.constraint.penalty(critic, real, fake, labels, rng)
    if objective.classification is not None:
        terms["critic_classification"] = objective.classification.critic * classification_loss(
            critic, real, labels
        )
    return terms


def generator_terms(
    generator: nn.Module,
    *,
    critic: nn.Module,
    objective: Objective,
    latents: Tensor,
    real: Batch | None,
    augmenter: Augmenter | None,
    rng: torch.Generator | None,
) -> Numbers:
    """The terms that the generator minimises: its loss, ``generator_classification``, ``auxiliary_loss``."""
    labels = None if real is None else real.labels
    paired = real.samples if real is not None and objective.loss.paired else None
    fake = generate(generator, latents, labels)
    auxiliary = None if objective.auxiliary_loss is None else objective.auxiliary_loss(latents, labels, fake)
    if augmenter is not None:
        fake = augmenter(fake, rng)
        paired = None if paired is None else augmenter(paired, rng)
    if paired is not None:
        real_scores, fake_scores = score_pair(critic, paired, fake, labels)
    else:
        real_scores = fake_scores = score(critic, fake, labels)
    terms = {"generator_loss": objective.loss.generator(real_scores, fake_scores)}
    if objective.classification is not None:
        terms["generator_classification"] = objective.classification.generator * classification_loss(
            critic, fake, labels
        )
    if auxiliary is not None:
        terms["auxiliary_loss"] = auxiliary
    return terms


def evaluate_eagerly(
    terms: Terms,
    network: nn.Module,
    **inputs: Any,  # noqa: ANN401 - whatever the terms take
) -> Numbers:
    """Evaluate terms as they are written: eagerly, in one process."""
    return terms(network, **inputs)


def classification_loss(critic: nn.Module, samples: Tensor, labels: Tensor | None) -> Tensor:
    """Cross-entropy of the labels (N,) under the critic's auxiliary classifier, its method ``logits``."""
    assert labels is not None
    logits: Tensor = critic.logits(samples)  # type: ignore[operator]
    return cross_entropy(logits.float(), labels)


def total(terms: Numbers) -> Tensor:
    """The sum of the terms, a scalar."""
    first, *others = terms.values()
    return sum(others, first)
