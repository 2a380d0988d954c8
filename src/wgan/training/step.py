"""The algorithm: one step of the critic, one of the generator.

Source: Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", algorithm 1, with the hooks of a
:class:`wgan.lipschitz.Constraint` where later papers differ. Nothing here logs, prints, saves or moves data;
the numbers that are returned are detached and stay on the device.
"""

import torch
from torch import Tensor

from wgan.lipschitz import score
from wgan.networks import generate
from wgan.training.objective import Batch, Numbers, Objective, critic_terms, generator_terms, total
from wgan.training.precision import computing_in
from wgan.training.state import State, trainable


def critic_step(
    state: State,
    objective: Objective,
    real: Batch,
    latents: Tensor,
    rng: torch.Generator,
    *,
    penalty_scale: float = 1.0,
) -> Numbers:
    """Take one optimiser step of the critic.

    Args:
        state: The networks and optimisers; the critic is wrapped by the constraint already, the generator
            gets no gradient.
        objective: What the critic minimises.
        real: Real samples, and the labels for which fakes are generated as well.
        latents: (N, latent_dim), drawn for this step alone.
        rng: Source of the penalty's and the augmentation's random numbers.
        penalty_scale: Factor on the penalty; 0 leaves it out, k in every k-th step is a lazy penalty.

    Returns:
        Scalars: ``critic_loss``, ``penalty``, ``critic_classification`` with a classifier, and
        ``augmentation``, the augmenter's strength.
    """
    samples, labels = real
    with torch.no_grad():
        with computing_in(objective.precision, latents.device):
            fake = generate(state.generator, latents, labels)
        if state.augmenter is not None:
            samples, fake = state.augmenter(samples, rng), state.augmenter(fake, rng)
    state.critic_optimiser.zero_grad(set_to_none=True)
    with computing_in(objective.precision, latents.device):
        terms = state.evaluate_critic(
            critic_terms,
            state.critic,
            objective=objective,
            real=samples,
            fake=fake,
            labels=labels,
            rng=rng,
            penalty_scale=penalty_scale,
        )
    # Outside of autocast: derivatives have the precision of their operation, and the penalty's is float32.
    total(terms).backward()  # type: ignore[no-untyped-call]
    state.critic_optimiser.step()
    objective.constraint.project(state.critic)
    if state.augmenter is not None:
        terms["augmentation"] = state.augmenter.strength.clone()
    return {name: term.detach() for name, term in terms.items()}


def generator_step(
    state: State,
    objective: Objective,
    latents: Tensor,
    rng: torch.Generator | None = None,
    *,
    real: Batch | None = None,
) -> Numbers:
    """Take one optimiser step of the generator.

    Args:
        state: The networks and optimisers; the critic gets no gradient.
        objective: What the generator minimises.
        latents: (N, latent_dim), drawn for this step alone, never those of a critic step.
        rng: Source of the augmentation's random numbers.
        real: Real samples, for a paired loss, and the labels of the fakes, in a conditional run.

    Returns:
        Scalars: ``generator_loss``, ``generator_classification`` with a classifier, and ``auxiliary_loss`` if
        there is one.
    """
    optimiser = state.generator_optimiser
    optimiser.zero_grad(set_to_none=True)
    with computing_in(objective.precision, latents.device):
        terms = state.evaluate_generator(
            generator_terms,
            state.generator,
            critic=state.critic,
            objective=objective,
            latents=latents,
            real=real,
            augmenter=state.augmenter,
            rng=rng,
        )
    # Asked for the generator's gradients only, autograd never computes those of the critic's weights.
    total(terms).backward(inputs=trainable(optimiser))  # type: ignore[no-untyped-call]
    optimiser.step()
    return {name: term.detach() for name, term in terms.items()}


@torch.no_grad()
def adapt_step(
    state: State,
    real: Batch,
    held_out: Batch,
    latents: Tensor,
    rng: torch.Generator,
    *,
    images: int,
) -> None:
    """Adapt the augmentation's strength towards its target; no network learns anything.

    Args:
        state: The networks and the augmenter.
        real: (N, *shape), from training.
        held_out: (M, *shape), never trained on.
        latents: (N, latent_dim), drawn for this step alone.
        rng: Source of the transforms' random numbers.
        images: Real images trained on since the last such step.
    """
    assert state.augmenter is not None
    fake = Batch(generate(state.generator, latents, real.labels), real.labels)
    seen, unseen, made = (
        score(state.critic, state.augmenter(samples, rng), labels).mean()
        for samples, labels in (real, held_out, fake)
    )
    state.augmenter.adapt(seen, unseen, made, images)
