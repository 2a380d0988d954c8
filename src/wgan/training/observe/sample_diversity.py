"""Diversity of the fakes, duplicates among them, precision and recall, and copies of training samples."""

from typing import final

import torch
from torch import Tensor

from wgan.training.objective import Numbers

MIN_SAMPLES = 6
"""Fewest held-out samples that have a fifth neighbour; with fewer there are none of these numbers."""
COMPARED = 2048
"""Training samples among which copies are searched, at most."""
MAX_VALUES = 2**23
"""Values in those samples, at most: of larger images there are fewer."""
COPY = 1 / 3
"""A copy is at most this share as far from the nearest sample as from the second nearest."""
_ROUND_OFF = 1e-6  # of squared distances, by the size of what was subtracted


@final
class SampleDiversity:
    """Compares fakes with real samples by Euclidean distances of flattened samples.

    What depends on real samples alone is computed once.

    Args:
        held_out: (K, *shape), the samples that fakes are compared with.
        train: (M, *shape), the samples among which copies are searched.
    """

    def __init__(self, held_out: Tensor, train: Tensor) -> None:
        self._centre = held_out.flatten(1).mean(0)
        self._held_out = held_out.flatten(1) - self._centre
        self._count = len(held_out)
        if self._count < MIN_SAMPLES:
            return
        within = squared_distances(self._held_out, self._held_out).fill_diagonal_(torch.inf)
        nearest = within.topk(5, largest=False).values
        self._usual = _median_distance(within)
        self._birthday = COPY**2 * torch.quantile(nearest[:, 0], 0.01, interpolation="higher")
        self._reach = nearest[:, 4]
        self._train = torch.unique(train.flatten(1), dim=0) - self._centre
        self._by_chance = self._copies(self._held_out)

    def look(self, fakes: Tensor) -> Numbers:
        """Compare as many fakes as there are held-out samples.

        Returns:
            Nothing with less than :data:`MIN_SAMPLES` held-out samples or fakes; otherwise

            ``diversity``: the median distance of two fakes, over that of two held-out samples.

            ``duplicates``: the share of fakes whose nearest other fake is at most a third as far as the
            nearest 1 % of held-out samples are from theirs, after the birthday test of Arora, Risteski, Zhang
            2018, "Do GANs learn the distribution? Some theory and empirics", section 3: under 0.01 if the
            distributions agree.

            ``precision_held_out``: the share of fakes nearer to a held-out sample than its fifth neighbour is
            (Kynkaanniemi et al. 2019, eq. 2).

            ``recall_held_out``: the share of held-out samples nearer to a fake than its third nearest other
            fake is (Kynkaanniemi et al. 2019, eq. 2); ``coverage_held_out``: the share of them that have a
            fake nearer than their own fifth neighbour (Naeem et al. 2020, eq. 5). An evaluation's precision,
            recall and coverage are others: of features, against the training split.

            ``memorised``: the share of fakes at most a third as far from the nearest of the training samples
            as from the second nearest, less the same share of held-out samples (the criterion of Yoon et al.
            2023, "Diffusion Probabilistic Models Generalize when They Fail to Memorize", section 3).
        """
        if min(self._count, len(fakes)) < MIN_SAMPLES:
            return {}
        fake = fakes[: self._count].flatten(1) - self._centre
        within = squared_distances(fake, fake).fill_diagonal_(torch.inf)
        across = squared_distances(fake, self._held_out)
        nearest = within.topk(3, largest=False).values
        numbers = {
            "duplicates": (nearest[:, 0] <= self._birthday).float().mean(),
            "recall_held_out": (across <= nearest[:, 2:]).any(0).float().mean(),
            "precision_held_out": (across < self._reach).any(1).float().mean(),
            "coverage_held_out": (across.amin(0) < self._reach).float().mean(),
        }
        if self._usual > 0:
            numbers["diversity"] = _median_distance(within) / self._usual
        if len(self._train) > 1:
            numbers["memorised"] = (self._copies(fake) - self._by_chance).clamp_min(0)
        return numbers

    def _copies(self, samples: Tensor) -> Tensor:
        if len(self._train) < 2:
            return torch.zeros((), device=samples.device)
        nearest = squared_distances(samples, self._train).topk(2, largest=False).values
        return (nearest[:, 0] <= COPY**2 * nearest[:, 1]).float().mean()


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances (N, M) of the rows of x and y; round-off of a copy's counts as 0."""
    size = x.square().sum(1)[:, None] + y.square().sum(1)
    squared = torch.addmm(size, x, y.mT, alpha=-2)
    return squared.masked_fill_(squared < _ROUND_OFF * size, 0)


def compared_samples(shape: tuple[int, ...]) -> int:
    """Number of training samples of a shape among which copies are searched."""
    return max(2, min(COMPARED, MAX_VALUES // max(1, torch.Size(shape).numel())))


def _median_distance(squared: Tensor) -> Tensor:
    """The median distance of two different samples, given (N, N) with anything on the diagonal."""
    n = len(squared)
    others = squared.flatten()[1:].view(n - 1, n + 1)[:, :-1]
    return others.median().sqrt()
