"""The algorithm, whole: one step of the critic, one of the generator, and the average that is shipped.

Source: Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", algorithm 1, with the hooks of a
:class:`wgan.lipschitz.Constraint` where later papers differ. Nothing here logs, prints, saves or moves
data; what is returned is detached and stays on the device.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from wgan.lipschitz import Constraint, score, score_pair
from wgan.losses import AuxiliaryWeights, Loss
from wgan.networks import generate

Numbers = dict[str, Tensor]


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
    auxiliary: AuxiliaryWeights | None = None,
    penalty_scale: float = 1.0,
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
        auxiliary: For a critic with an auxiliary classifier.
        penalty_scale: Factor on the penalty; 0 leaves it out, k in every k-th step is a lazy penalty.

    Returns:
        Scalars: ``critic_loss`` without what follows, ``penalty``, ``critic_auxiliary`` with a classifier.
    """
    with torch.no_grad():
        fake = generate(generator, latents, labels)
    real_scores, fake_scores = score_pair(critic, real, fake, labels)
    objective = loss.critic(real_scores, fake_scores)
    terms = {"penalty": objective.new_zeros(())}
    if penalty_scale > 0:
        terms["penalty"] = penalty_scale * constraint.penalty(critic, real, fake, labels, rng)
    if auxiliary is not None:
        terms["critic_auxiliary"] = auxiliary.critic * misguess(critic, real, labels)
    optimiser.zero_grad(set_to_none=True)
    sum(terms.values(), objective).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    constraint.project(critic)
    return {"critic_loss": objective.detach()} | {name: term.detach() for name, term in terms.items()}


def generator_step(
    critic: nn.Module,
    generator: nn.Module,
    optimiser: Optimizer,
    loss: Loss,
    *,
    latents: Tensor,
    real: Tensor | None = None,
    labels: Tensor | None = None,
    auxiliary: AuxiliaryWeights | None = None,
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
        auxiliary: For a critic with an auxiliary classifier.

    Returns:
        Scalars: ``generator_loss`` without what follows, and ``generator_auxiliary`` with a classifier.
    """
    fake = generate(generator, latents, labels)
    if loss.paired and real is not None:
        real_scores, fake_scores = score_pair(critic, real, fake, labels)
    else:
        real_scores = fake_scores = score(critic, fake, labels)
    objective = loss.generator(real_scores, fake_scores)
    terms: Numbers = {}
    if auxiliary is not None:
        terms["generator_auxiliary"] = auxiliary.generator * misguess(critic, fake, labels)
    optimiser.zero_grad(set_to_none=True)
    # Asked for the generator's gradients only, autograd never computes those of the critic's weights.
    total = sum(terms.values(), objective)
    total.backward(inputs=learning(optimiser))  # type: ignore[no-untyped-call]
    optimiser.step()
    return {"generator_loss": objective.detach()} | {name: term.detach() for name, term in terms.items()}


def misguess(critic: nn.Module, samples: Tensor, labels: Tensor | None) -> Tensor:
    """Cross-entropy of the labels (N,) under the critic's auxiliary classifier, its method ``logits``."""
    assert labels is not None
    logits: Tensor = critic.logits(samples)  # type: ignore[operator]
    return cross_entropy(logits.float(), labels)


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
