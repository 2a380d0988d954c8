"""The image of generated samples that a run draws at regular steps, always of the same latents."""

from __future__ import annotations

from typing import final

import torch
from PIL.Image import Image
from torch import Tensor, nn

from wgan.data import Dataset
from wgan.images import show
from wgan.networks import Condition, generate
from wgan.training.observe import spread, spread_labels

COUNTS = {True: 64, False: 2048}
"""Samples in an image, of images and of vectors."""
COLUMNS, MOST_ROWS = 8, 16
"""Layout of a conditional run's image: one row a class, one latent a column."""


@final
class Snapshot:
    """Draws what a generator makes of fixed latents: a grid of images, or a scatter plot of vectors.

    Args:
        dataset: The real samples, whose labels the fakes get, and beside which vectors are plotted.
        latents: (N, latent_dim), on the generator's device.
        condition: What the labels are, in a conditional run.
    """

    def __init__(self, dataset: Dataset, latents: Tensor, condition: Condition | None) -> None:
        self._dataset, self._columns = dataset, None
        self._latents, self._labels = latents[: COUNTS[dataset.image]], None
        if condition is not None and dataset.image and condition.classes:
            rows, self._columns = min(condition.classes, MOST_ROWS), COLUMNS
            self._labels = torch.arange(rows, device=latents.device).repeat_interleave(COLUMNS)
            self._latents = self._latents[:COLUMNS].repeat(rows, 1)
        elif condition is not None:
            self._labels = spread_labels(dataset.train, len(self._latents), latents.device)

    @torch.no_grad()
    def draw(self, generator: nn.Module) -> Image:
        """Draw the generator's samples."""
        samples = generate(generator, self._latents, self._labels).cpu().numpy()
        if self._dataset.image:
            return show(samples, columns=self._columns)
        real = spread(self._dataset.held_out, len(samples), torch.device("cpu"))
        return show(samples, real.numpy())
