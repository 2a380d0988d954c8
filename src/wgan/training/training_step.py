"""One step of a run: what is drawn for it, and in which order the networks learn."""

from __future__ import annotations

import time
from typing import final

import torch
from torch import Tensor

from wgan.core.randomness import local_rows
from wgan.data import Dataset, Split
from wgan.training.augment import ADAPTED_EVERY
from wgan.training.batches import BatchSampler
from wgan.training.distributed import World
from wgan.training.engine import Plan
from wgan.training.objective import Batch, Numbers, Objective
from wgan.training.settings import TrainingSettings
from wgan.training.state import State
from wgan.training.step import adapt_step, critic_step, generator_step

WARM_UP_STEPS, WARM_UP_EVERY, WARM_UP_CRITIC = 25, 500, 100
"""The original code's warm-up: 100 critic steps in each of the first 25 steps and in every 500th."""


@final
class TrainingStep:
    """One step of a run, as a function of the state, a plan and a seeded generator.

    Args:
        settings: The run's.
        objective: What the networks minimise.
        dataset: On the device.
        world: The processes that share each batch.
        latent_dim: Length of a latent.
        device: Where batches and latents are drawn.

    Attributes:
        waited: Seconds in which the networks waited for real samples.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        objective: Objective,
        dataset: Dataset,
        world: World,
        latent_dim: int,
        device: torch.device,
    ) -> None:
        self._settings, self._objective, self._world = settings, objective, world
        self._latent_dim, self._device = latent_dim, device
        self._train = self._sampler(dataset.train)
        self._held_out = self._sampler(dataset.held_out) if settings.augment.target else None
        self.waited = 0.0

    def plan(self, step: int) -> Plan:
        """What step number ``step``, counted from 0, does."""
        settings, every = self._settings, self._settings.penalty_every
        first = step * settings.n_critic
        turns = range(first, first + critic_steps(step, n_critic=settings.n_critic, warm_up=settings.warm_up))
        return Plan(
            penalties=tuple(0 if turn % every else every for turn in turns),
            adapts=self._held_out is not None and step % ADAPTED_EVERY == 0,
        )

    def longest_plan(self) -> Plan:
        """A plan with everything that a step outside of the warm-up may do."""
        return Plan((self._settings.penalty_every,) * self._settings.n_critic, self._held_out is not None)

    def __call__(self, state: State, plan: Plan, rng: torch.Generator) -> list[Numbers]:
        """Take the critic's steps, then the generator's; each draws its own batch and its own latents."""
        numbers = []
        for penalty_scale in plan.penalties:
            real = self._real(rng)
            numbers.append(
                critic_step(
                    state, self._objective, real, self._latents(rng), rng, penalty_scale=penalty_scale
                )
            )
        if plan.adapts:
            self._adapt(state, real, rng)
        latents = self._latents(rng)
        needs_real = self._objective.loss.paired or self._settings.conditional
        other = self._real(rng) if needs_real else None
        return [*numbers, generator_step(state, self._objective, latents, rng, real=other)]

    def _adapt(self, state: State, real: Batch, rng: torch.Generator) -> None:
        assert self._held_out is not None
        settings = self._settings
        held_out = self._held_out.draw(settings.batch_size, rng)
        images = ADAPTED_EVERY * settings.n_critic * settings.batch_size
        adapt_step(state, real, held_out, self._latents(rng), rng, images=images)

    def _sampler(self, split: Split) -> BatchSampler:
        return BatchSampler(
            split, labelled=self._settings.conditional, balanced=self._settings.balanced, device=self._device
        )

    def _real(self, rng: torch.Generator) -> Batch:
        start = time.perf_counter()
        batch = self._train.draw(self._world.share(self._settings.batch_size), rng)
        self.waited += time.perf_counter() - start
        return batch

    def _latents(self, rng: torch.Generator) -> Tensor:
        return local_rows(
            lambda count: torch.randn(count, self._latent_dim, generator=rng, device=self._device),
            self._world.share(self._settings.batch_size),
            rng,
        )


def critic_steps(step: int, *, n_critic: int, warm_up: bool) -> int:
    """Critic steps in step number ``step``, counted from 0."""
    warm = warm_up and (step < WARM_UP_STEPS or step % WARM_UP_EVERY == 0)
    return max(n_critic, WARM_UP_CRITIC) if warm else n_critic
