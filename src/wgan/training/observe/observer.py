"""All that a run sees of itself, put together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor

from wgan.core.randomness import isolated_global_rng
from wgan.data import Dataset
from wgan.training.objective import Numbers
from wgan.training.observe.histograms import Histograms, around_zero, together
from wgan.training.observe.probe_batch import draw_probe_batch, observing, quantiles, spread
from wgan.training.observe.sample_diversity import SampleDiversity, compared
from wgan.training.observe.scores import Scored, certified_bounds, gaps, scored, spreads
from wgan.training.observe.slopes import Slopes
from wgan.training.observe.weights import (
    Update,
    Weights,
    following,
    gradient_norm,
    layer_gradients,
    weight_layers,
)
from wgan.training.settings import TrainingSettings
from wgan.training.state import State

OBSERVED = 256
"""Samples of each kind behind the numbers of a log point."""


@final
class Observer:
    """Looks at a run, always at the same samples.

    Args:
        state: The run, whose networks and optimisers it keeps.
        dataset: Its data, on its device.
        latents: (N, latent_dim), never trained on, of which the first :data:`OBSERVED` are used.
        settings: The run's: its constraint says what it did to the weights and whether the critic can be
        certified.
    """

    def __init__(
        self,
        state: State,
        dataset: Dataset,
        latents: Tensor,
        settings: TrainingSettings,
    ) -> None:
        self._state, self._constraint = state, settings.constraint
        self._latents, self._train, self._held_out, self._labels = draw_probe_batch(
            dataset, latents[:OBSERVED], labelled=settings.conditional
        )
        self._layers = weight_layers(state.critic)
        self._weights = Weights(state.critic)
        self._slopes = Slopes(self._train, self._held_out, self._labels[1:])
        self._variety = SampleDiversity(
            self._held_out, spread(dataset.train, compared(dataset.shape), latents.device)
        )
        self._updates: dict[str, Update] = {}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow the step in the block, the last one before a log point."""
        state = self._state
        with following(state.critic_optimiser) as critic, following(state.generator_optimiser) as generator:
            self._updates = {"critic_update": critic, "generator_update": generator}
            yield

    def look(self) -> tuple[Numbers, Numbers, Histograms]:
        """Look at the state after the step that was followed.

        Returns:
            Numbers without which the run is lost where they are not finite, all others, and distributions.
        """
        state = self._state
        with observing(state.critic, state.generator), isolated_global_rng(self._latents.device):
            seen = scored(
                state.critic,
                state.generator,
                latents=self._latents,
                train=self._train,
                held_out=self._held_out,
                labels=self._labels,
            )
            vital = gaps(seen) | self._bounds(seen)
            weights = self._weights.look()
            others = self._networks(seen) | quantiles("critic_weights", weights) | self._samples(seen)
            scores = together(score_real=seen.real, score_held_out=seen.held_out, score_fake=seen.fake)
        return vital | self._norms(), others, scores | {"critic_weights": around_zero(weights)}

    def _bounds(self, seen: Scored) -> Numbers:
        finite = all(bool(torch.isfinite(part).all()) for part in (seen.fakes, seen.real, seen.held_out))
        # A critic that is told labels bounds the mean distance within classes, not that of the whole; and
        # with an augmentation that adapts, what is held out has had its say.
        augmenter = self._state.augmenter
        adapts = augmenter is not None and augmenter.settings.target > 0
        if not self._constraint.certified or not finite or adapts or self._labels[0] is not None:
            return {}
        return certified_bounds(self._state.critic, seen, self._held_out)

    def _norms(self) -> Numbers:
        return {
            "critic_gradient": gradient_norm(self._state.critic_optimiser),
            "generator_gradient": gradient_norm(self._state.generator_optimiser),
        }

    def _networks(self, seen: Scored) -> Numbers:
        clipped = self._constraint.clipped(self._state.critic)
        return {
            **spreads(seen),
            **self._slopes.look(self._state.critic, seen.fakes, seen.held_out),
            **layer_gradients("critic_gradient", self._layers),
            **({} if clipped is None else {"clipped": clipped}),
            **{name: update.ratio() for name, update in self._updates.items()},
            "critic_dead": seen.critic_units.dead(),
            "generator_dead": seen.generator_units.dead(),
        }

    def _samples(self, seen: Scored) -> Numbers:
        return self._variety.look(seen.fakes)
