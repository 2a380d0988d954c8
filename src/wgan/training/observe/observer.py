"""All numbers of a log point."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wgan.core.randomness import isolated_global_rng
from wgan.data import Dataset, DataSource, load
from wgan.errors import InputError
from wgan.latents import draw_latents
from wgan.lipschitz import Chain, Constraint
from wgan.training.objective import Numbers
from wgan.training.observe.histograms import Histograms, shared_bins, symmetric_bins
from wgan.training.observe.probe_batch import draw_probe_batch, observing, quantiles, spread
from wgan.training.observe.sample_diversity import SampleDiversity, compared_samples
from wgan.training.observe.scores import Scored, certified_bounds, gaps, scored, spreads
from wgan.training.observe.slopes import Slopes
from wgan.training.observe.weights import (
    Update,
    Weights,
    following,
    gradient_norm,
    layer_gradients,
    plain_numbers,
    weight_layers,
)

OBSERVED = 256
"""Samples of each kind that are measured at a log point."""


@final
class Observer:
    """Measures two networks while they train, always on the same samples; it changes neither of them.

    Example:
        >>> from wgan.networks import MLPCritic, MLPGenerator
        >>> generator, critic = MLPGenerator((2,), latent_dim=2), MLPCritic((2,))
        >>> row = Observer(generator, critic, "ring8").observe()  # in a loop of your own, now and then
        >>> {"gap", "recall_held_out", "critic_gradient"} <= row.keys()
        True

    A list of such rows, each with its ``step``, is what :func:`wgan.diagnose` reads.

    Args:
        generator: Maps latents (N, latent_dim) to samples (N, *shape).
        critic: Maps samples (N, *shape) to scores (N,) or (N, 1).
        data: A :class:`wgan.data.Dataset` on the networks' device, or anything that :func:`wgan.data.load`
            takes.
        constraint: What keeps the critic Lipschitz; it says how many weights it clipped, and whether the
            critic can be certified.
        latents: (N, latent_dim), never trained on, of which the first :data:`OBSERVED` are used; None:
            standard normal ones of the generator's ``latent_dim``.
        conditional: Whether the networks take labels.
        optimisers: Of the generator and of the critic, for the sizes of their updates.
        bracket: Whether W1 is bracketed where the critic can be certified; the held-out samples must not have
            influenced the training.

    Raises:
        InputError: The data cannot be loaded, or the length of a latent is unknown.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        data: Dataset | DataSource,
        *,
        constraint: Constraint | None = None,
        latents: Tensor | None = None,
        conditional: bool = False,
        optimisers: tuple[Optimizer, Optimizer] | None = None,
        bracket: bool = True,
    ) -> None:
        dataset = data if isinstance(data, Dataset) else load(data)
        self._generator, self._critic, self._optimisers = generator, critic, optimisers
        self._constraint = constraint or Chain()
        latents = standard_latents(generator) if latents is None else latents
        self._latents, self._train, self._held_out, self._labels = draw_probe_batch(
            dataset, latents[:OBSERVED], labelled=conditional
        )
        # A critic that takes labels bounds the mean distance within classes, not that of the whole.
        self._bracket = bracket and self._constraint.certified and not conditional
        self._layers = weight_layers(critic)
        self._weights = Weights(critic)
        self._slopes = Slopes(self._train, self._held_out, self._labels[1:])
        self._diversity = SampleDiversity(
            self._held_out, spread(dataset.train, compared_samples(dataset.shape), latents.device)
        )
        self._updates: dict[str, Update] = {}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow the step in the block, the last one before :meth:`look`, to measure its size."""
        if self._optimisers is None:
            yield
            return
        generators, critics = self._optimisers
        with following(critics) as critic, following(generators) as generator:
            self._updates = {"critic_update": critic, "generator_update": generator}
            yield

    def observe(self) -> dict[str, float | None]:
        """All numbers of this moment by name, None for one that is not finite."""
        vital, others, _ = self.look()
        return plain_numbers({**vital, **others})

    def look(self) -> tuple[Numbers, Numbers, Histograms]:
        """Measure the networks as they are, and the step that was followed.

        Returns:
            Numbers without which the run is lost where they are not finite, all others, and distributions.
        """
        with observing(self._critic, self._generator), isolated_global_rng(self._latents.device):
            seen = scored(
                self._critic,
                self._generator,
                latents=self._latents,
                train=self._train,
                held_out=self._held_out,
                labels=self._labels,
            )
            vital = gaps(seen) | self._bounds(seen)
            weights = self._weights.look()
            others = self._networks(seen) | quantiles("critic_weights", weights) | self._samples(seen)
            scores = shared_bins(score_real=seen.real, score_held_out=seen.held_out, score_fake=seen.fake)
        return vital | self._norms(), others, scores | {"critic_weights": symmetric_bins(weights)}

    def _bounds(self, seen: Scored) -> Numbers:
        finite = all(bool(torch.isfinite(part).all()) for part in (seen.fakes, seen.real, seen.held_out))
        return certified_bounds(self._critic, seen, self._held_out) if self._bracket and finite else {}

    def _norms(self) -> Numbers:
        return {
            "critic_gradient": gradient_norm(self._critic),
            "generator_gradient": gradient_norm(self._generator),
        }

    def _networks(self, seen: Scored) -> Numbers:
        clipped = self._constraint.clipped(self._critic)
        return {
            **spreads(seen),
            **self._slopes.look(self._critic, seen.fakes, seen.held_out),
            **layer_gradients("critic_gradient", self._layers),
            **({} if clipped is None else {"clipped": clipped}),
            **{name: update.ratio() for name, update in self._updates.items()},
            "critic_dead": seen.critic_units.dead(),
            "generator_dead": seen.generator_units.dead(),
        }

    def _samples(self, seen: Scored) -> Numbers:
        return self._diversity.look(seen.fakes)


def standard_latents(generator: nn.Module) -> Tensor:
    """Standard normal latents (OBSERVED, latent_dim) for a generator that says how long they are."""
    dim = getattr(generator, "latent_dim", None)
    if not isinstance(dim, int):
        raise InputError(f"{type(generator).__name__} has no attribute latent_dim; pass latents=.")
    device = next(generator.parameters()).device
    return torch.from_numpy(draw_latents(OBSERVED, dim)).to(device)
