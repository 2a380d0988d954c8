"""Slopes of the critic, between real and fake and among real samples."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from wgan.lipschitz import mixes_samples, score
from wgan.training.objective import Numbers
from wgan.training.observe.probe_batch import UPPER, evaluating, golden, quantiles

INTERPOLATES = 64
"""Points between real and fake at which the slope is measured."""
TWO_MODES = (_DropoutNd, _NormBase, nn.RReLU)


@final
class Slopes:
    """The critic's slopes, at points that are the same at every log point but for the fakes.

    The critic is in evaluation mode: in training mode, noise or the rest of the batch would count as slope. A
    critic that mixes samples even then has no slopes.

    Args:
        train: (M, *shape), training samples.
        held_out: (K, *shape), held-out samples.
        labels: Of ``train``, which are those of the fakes one by one, and of ``held_out``, in a conditional
            run.
    """

    def __init__(
        self, train: Tensor, held_out: Tensor, labels: tuple[Tensor | None, Tensor | None] = (None, None)
    ) -> None:
        chosen = torch.arange(INTERPOLATES, device=train.device) * len(train) // INTERPOLATES
        self._real = train[chosen]
        self._labels = None if labels[0] is None else labels[0][chosen]
        self._held_out_labels = labels[1]
        one_each = (INTERPOLATES,) + (1,) * (train.dim() - 1)
        self._share = golden(INTERPOLATES).to(train).reshape(one_each)
        self._held_out = held_out
        self._pairs, self._distances = _nearest_pairs(held_out.flatten(1))

    def look(self, critic: nn.Module, fakes: Tensor, held_out_scores: Tensor) -> Numbers:
        """Quantiles of the slopes.

        Args:
            critic: As it trains.
            fakes: (N, *shape).
            held_out_scores: The held-out samples' scores in training mode, which are those of evaluation
                mode too for most critics.

        Returns:
            ``slope/50``, ``/95``, ``/max``: of |grad f(x)| at points between real and fake, as a gradient
            penalty takes them (Gulrajani et al. 2017, eq. 3). ``slope_pairs/50``, ``/95``, ``/max``: of
            |f(x) - f(x')| / |x - x'| for each held-out x and the nearest other held-out x': the local
            Lipschitz constant, bounded from below.
        """
        with evaluating(critic):
            if mixes_samples(critic):
                return {}
            numbers = quantiles("slope", self._between(critic, fakes), UPPER)
            if len(self._distances):
                if has_two_modes(critic):
                    held_out_scores = score(critic, self._held_out, self._held_out_labels)
                numbers |= quantiles("slope_pairs", self._along(held_out_scores), UPPER)
            return numbers

    def _between(self, critic: nn.Module, fakes: Tensor) -> Tensor:
        fake = fakes[torch.arange(INTERPOLATES, device=fakes.device) * len(fakes) // INTERPOLATES]
        points = (self._share * self._real + (1 - self._share) * fake).detach().requires_grad_()
        with torch.enable_grad():
            total = score(critic, points, self._labels).sum()
            (gradients,) = torch.autograd.grad(total, points, materialize_grads=True)
        slopes: Tensor = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
        return slopes

    def _along(self, scores: Tensor) -> Tensor:
        here, there = scores[self._pairs[:, 0]], scores[self._pairs[:, 1]]
        return (here - there).abs() / self._distances.to(scores.dtype)


def has_two_modes(critic: nn.Module) -> bool:
    """Whether the critic scores otherwise in evaluation than in training, as far as torch's layers tell."""
    return any(
        isinstance(module, TWO_MODES) or getattr(module, "mixes_samples", False) is True
        for module in critic.modules()
    )


def _nearest_pairs(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample's position and that of the nearest different one, (P, 2), and their distances (P,)."""
    if len(samples) < 2:
        return torch.empty(0, 2, dtype=torch.int64), torch.empty(0)
    distances = torch.cdist(samples, samples, compute_mode="donot_use_mm_for_euclid_dist")
    distance, other = distances.masked_fill(distances == 0, torch.inf).min(1)
    pairs = torch.stack([torch.arange(len(samples), device=samples.device), other], 1)
    different = distance.isfinite()
    return pairs[different], distance[different]
