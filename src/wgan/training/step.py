"""The algorithm, whole: one step of the critic, one of the generator, and the average that is shipped.

Source: Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", algorithm 1, with the hooks of a
:class:`wgan.lipschitz.Constraint` where later papers differ. Nothing here logs, prints, saves or moves
data; what is returned is detached and stays on the device.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from wgan.lipschitz import Constraint, score, score_pair
from wgan.losses import ClassificationWeights, Loss
from wgan.networks import generate
from wgan.training.augment import Augmenter
from wgan.training.auxiliary_loss import AuxiliaryLoss
from wgan.training.precision import Precision, computing_in

Numbers = dict[str, Tensor]
Objective = Callable[..., Numbers]
"""``objective(network, **given)``: the terms of what a network minimises, whose sum it is."""
Through = Callable[..., Numbers]
"""How an objective is evaluated: ``through(objective, network, **given)``."""


def here(
    objective: Objective,
    network: nn.Module,
    **given: Any,  # noqa: ANN401 - whatever the objective takes
) -> Numbers:
    """Evaluate an objective as it is: by one process, eagerly."""
    return objective(network, **given)


def critic_step(
    critic: nn.Module,
    generator: nn.Module,
    optimiser: Optimizer,
    loss: Loss,
    constraint: Constraint,
    *,
    real: Tensor,
    latents: Tensor,
    rng: torch.Generator,
    labels: Tensor | None = None,
    classification: ClassificationWeights | None = None,
    augmenter: Augmenter | None = None,
    penalty_scale: float = 1.0,
    precision: Precision = "float32",
    through: Through = here,
) -> Numbers:
    """Bring the critic nearer to its optimum for the generator as it is.

    Args:
        critic: Takes the step; already wrapped by the constraint.
        generator: Makes the fakes; gets no gradient.
        optimiser: Of the critic's parameters.
        loss: What the critic minimises.
        constraint: Its penalty is added, its projection applied.
        real: (N, *shape).
        latents: (N, latent_dim), drawn for this step alone.
        rng: For the penalty.
        labels: Of the real samples, and asked of the fakes: int64 (N,), float (N, k), or None.
        classification: For a critic with an auxiliary classifier.
        augmenter: Transforms real and fake before all else: the critic, and its penalty, know no others.
        penalty_scale: Factor on the penalty; 0 leaves it out, k in every k-th step is a lazy penalty.
        precision: What both networks compute in; the penalty and its gradient have float32 always.
        through: How the objective is evaluated.

    Returns:
        Scalars: ``critic_loss`` without what follows, ``penalty``, ``critic_classification`` with a
        classifier, the augmenter's ``augmentation`` strength.
    """
    with torch.no_grad():
        with computing_in(precision, latents.device):
            fake = generate(generator, latents, labels)
        if augmenter is not None:
            real, fake = augmenter(real, rng), augmenter(fake, rng)
    optimiser.zero_grad(set_to_none=True)
    with computing_in(precision, latents.device):
        terms = through(
            critic_objective,
            critic,
            real=real,
            fake=fake,
            loss=loss,
            constraint=constraint,
            rng=rng,
            labels=labels,
            classification=classification,
            penalty_scale=penalty_scale,
        )
    # Outside: a derivative has the precision of its operation anyway, and the penalty's has to keep float32.
    total(terms).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    constraint.project(critic)
    if augmenter is not None:
        terms["augmentation"] = augmenter.strength.clone()
    return {name: term.detach() for name, term in terms.items()}


def critic_objective(
    critic: nn.Module,
    *,
    real: Tensor,
    fake: Tensor,
    loss: Loss,
    constraint: Constraint,
    rng: torch.Generator,
    labels: Tensor | None,
    classification: ClassificationWeights | None,
    penalty_scale: float,
) -> Numbers:
    """All that the critic minimises, its penalty included: see :func:`critic_step`."""
    real_scores, fake_scores = score_pair(critic, real, fake, labels)
    objective = loss.critic(real_scores, fake_scores)
    terms = {"critic_loss": objective, "penalty": objective.new_zeros(())}
    if penalty_scale > 0:
        terms["penalty"] = penalty_scale * constraint.penalty(critic, real, fake, labels, rng)
    if classification is not None:
        terms["critic_classification"] = classification.critic * classification_loss(critic, real, labels)
    return terms


def generator_step(
    critic: nn.Module,
    generator: nn.Module,
    optimiser: Optimizer,
    loss: Loss,
    *,
    latents: Tensor,
    real: Tensor | None = None,
    labels: Tensor | None = None,
    classification: ClassificationWeights | None = None,
    augmenter: Augmenter | None = None,
    auxiliary_loss: AuxiliaryLoss | None = None,
    rng: torch.Generator | None = None,
    precision: Precision = "float32",
    through: Through = here,
) -> Numbers:
    """Bring the generator nearer to the data as the critic sees it.

    Args:
        critic: Scores; gets no gradient.
        generator: Takes the step.
        optimiser: Of the generator's parameters.
        loss: What the generator minimises.
        latents: (N, latent_dim), drawn for this step alone: never those of a critic's step.
        real: (N, *shape), for a paired loss.
        labels: Asked of the fakes, and those of the real samples: int64 (N,), float (N, k), or None.
        classification: For a critic with an auxiliary classifier.
        augmenter: Transforms real and fake before the critic, as in its own step.
        auxiliary_loss: What else the generator aims at.
        rng: For the augmenter.
        precision: What both networks compute in.
        through: How the objective is evaluated.

    Returns:
        Scalars: ``generator_loss`` without what follows, ``generator_classification`` with a classifier, and
        ``guide`` with a guide.
    """
    optimiser.zero_grad(set_to_none=True)
    with computing_in(precision, latents.device):
        terms = through(
            generator_objective,
            generator,
            critic=critic,
            loss=loss,
            latents=latents,
            real=real,
            labels=labels,
            classification=classification,
            augmenter=augmenter,
            auxiliary_loss=auxiliary_loss,
            rng=rng,
        )
    # Asked for the generator's gradients only, autograd never computes those of the critic's weights.
    total(terms).backward(inputs=learning(optimiser))  # type: ignore[no-untyped-call]
    optimiser.step()
    return {name: term.detach() for name, term in terms.items()}


def generator_objective(
    generator: nn.Module,
    *,
    critic: nn.Module,
    loss: Loss,
    latents: Tensor,
    real: Tensor | None,
    labels: Tensor | None,
    classification: ClassificationWeights | None,
    augmenter: Augmenter | None,
    auxiliary_loss: AuxiliaryLoss | None,
    rng: torch.Generator | None,
) -> Numbers:
    """All that the generator minimises: see :func:`generator_step`."""
    fake = generate(generator, latents, labels)
    guided = None if auxiliary_loss is None else auxiliary_loss(latents, labels, fake)
    if augmenter is not None:
        fake = augmenter(fake, rng)
        real = None if real is None else augmenter(real, rng)
    if loss.paired and real is not None:
        real_scores, fake_scores = score_pair(critic, real, fake, labels)
    else:
        real_scores = fake_scores = score(critic, fake, labels)
    terms = {"generator_loss": loss.generator(real_scores, fake_scores)}
    if classification is not None:
        terms["generator_classification"] = classification.generator * classification_loss(
            critic, fake, labels
        )
    if guided is not None:
        terms["auxiliary_loss"] = guided
    return terms


def total(terms: Numbers) -> Tensor:
    """The sum of the terms, a scalar."""
    first, *others = terms.values()
    return sum(others, first)


def classification_loss(critic: nn.Module, samples: Tensor, labels: Tensor | None) -> Tensor:
    """Cross-entropy of the labels (N,) under the critic's auxiliary classifier, its method ``logits``."""
    assert labels is not None
    logits: Tensor = critic.logits(samples)  # type: ignore[operator]
    return cross_entropy(logits.float(), labels)


@torch.no_grad()
def adapt_step(
    critic: nn.Module,
    generator: nn.Module,
    augmenter: Augmenter,
    *,
    seen: Tensor,
    unseen: Tensor,
    latents: Tensor,
    images: int,
    rng: torch.Generator,
    labels: tuple[Tensor | None, Tensor | None] = (None, None),
) -> None:
    """Bring the augmentation's strength nearer to its target; no network learns anything.

    Args:
        critic: Scores.
        generator: Makes the fakes.
        augmenter: Takes the step.
        seen: (N, *shape), from training.
        unseen: (M, *shape), held out.
        latents: (N, latent_dim), drawn for this step alone.
        images: Real images that were learnt from since the last such step.
        rng: For the transforms.
        labels: Of the seen samples, and asked of the fakes; of the unseen ones.
    """
    fake = generate(generator, latents, labels[0])
    batches = ((seen, labels[0]), (unseen, labels[1]), (fake, labels[0]))
    by_heart, new, made = (score(critic, augmenter(samples, rng), of).mean() for samples, of in batches)
    augmenter.adapt(by_heart, new, made, images)


@torch.no_grad()
def average_step(average: list[Tensor], current: list[Tensor], *, decay: float) -> None:
    """Move the averaged generator's tensors: average <- decay * average + (1 - decay) * current.

    Source: Yazici et al. 2019, "The unusual effectiveness of averaging in GAN training", eq. 1.

    Args:
        average: What :func:`wgan.training.state.averageable` finds in the averaged generator: weights, and
            the running statistics that belong to them.
        current: The same of the generator under training.
        decay: In [0, 1].
    """
    torch._foreach_lerp_(average, current, 1 - decay)


def learning(optimiser: Optimizer) -> list[Tensor]:
    """The parameters that the optimiser moves: its own list, quicker had than by walking the network."""
    return [p for group in optimiser.param_groups for p in group["params"] if p.requires_grad]
