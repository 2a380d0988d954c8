"""The algorithm, whole: one step of the critic, one of the generator, and the average that is shipped.

Source: Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", algorithm 1, with the hooks of a
:class:`wgan.lipschitz.Constraint` where later papers differ. Nothing here logs, prints, saves or moves
data; what is returned is detached and stays on the device.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wgan.lipschitz import Constraint, score, score_pair
from wgan.losses import Loss

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
        penalty_scale: Factor on the penalty; 0 leaves it out, k in every k-th step is a lazy penalty.

    Returns:
        Scalars: ``critic_loss`` without the penalty, ``penalty``, ``critic_gradient`` (norm over all
        parameters).
    """
    with torch.no_grad():
        fake = generator(latents)
    real_scores, fake_scores = score_pair(critic, real, fake)
    objective = loss.critic(real_scores, fake_scores)
    penalty = objective.new_zeros(())
    if penalty_scale > 0:
        penalty = penalty_scale * constraint.penalty(critic, real, fake, None, rng)
    optimiser.zero_grad(set_to_none=True)
    (objective + penalty).backward()  # type: ignore[no-untyped-call]
    gradient = gradient_norm(critic.parameters())
    optimiser.step()
    constraint.project(critic)
    return {"critic_loss": objective.detach(), "penalty": penalty.detach(), "critic_gradient": gradient}


def generator_step(
    critic: nn.Module,
    generator: nn.Module,
    optimiser: Optimizer,
    loss: Loss,
    *,
    latents: Tensor,
    real: Tensor | None = None,
) -> Numbers:
    """Bring the generator nearer to the data as the critic sees it.

    Args:
        critic: Scores; gets no gradient.
        generator: Takes the step.
        optimiser: Of the generator's parameters.
        loss: What the generator minimises.
        latents: (N, latent_dim), drawn for this step alone: never those of a critic's step.
        real: (N, *shape), for a paired loss.

    Returns:
        Scalars: ``generator_loss``, ``generator_gradient`` (norm over all parameters).
    """
    fake = generator(latents)
    if loss.paired and real is not None:
        real_scores, fake_scores = score_pair(critic, real, fake)
    else:
        real_scores = fake_scores = score(critic, fake)
    objective = loss.generator(real_scores, fake_scores)
    optimiser.zero_grad(set_to_none=True)
    # Asked for the generator's gradients only, autograd never computes those of the critic's weights.
    learning = [parameter for parameter in generator.parameters() if parameter.requires_grad]
    objective.backward(inputs=learning)  # type: ignore[no-untyped-call]
    gradient = gradient_norm(generator.parameters())
    optimiser.step()
    return {"generator_loss": objective.detach(), "generator_gradient": gradient}


@torch.no_grad()
def average_step(average: nn.Module, generator: nn.Module, *, decay: float) -> None:
    """Move the averaged generator: average <- decay * average + (1 - decay) * generator.

    Source: Yazici et al. 2019, "The unusual effectiveness of averaging in GAN training", eq. 1. Running
    statistics are averaged with the weights they belong to; counters are copied.
    """
    averaged: list[Tensor] = list(average.parameters())
    current: list[Tensor] = list(generator.parameters())
    for mean, value in zip(average.buffers(), generator.buffers(), strict=True):
        if mean.is_floating_point():
            averaged.append(mean)
            current.append(value)
        else:
            mean.copy_(value)
    torch._foreach_lerp_(averaged, current, 1 - decay)


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar."""
    norms = torch._foreach_norm([p.grad for p in parameters if p.grad is not None])
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total
