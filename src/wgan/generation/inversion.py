"""Inversion: find the latent whose sample is nearest to a target sample."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wgan.core.arrays import AnyArray, FloatArray
from wgan.core.files import write_atomically
from wgan.errors import InputError, check_whole
from wgan.networks import generate
from wgan.sampling import BATCH, LabelLike, Sampler

ROWS = 64
"""Latents optimised at once: their gradients need many times the memory of sampling."""
LR = 0.2
"""First learning rate of Adam; it falls to zero with half a cosine."""


@final
@dataclass(frozen=True, eq=False)
class Inversion:
    r"""The nearest generated samples to N targets.

    Attributes:
        latents: (N, latent_dim) float32.
        samples: Generated samples of these latents, (N, \*shape) float32.
        distance: Euclidean distance from each target, (N,) float32.
        initial_distance: Distance of the nearest random sample, before the optimisation.
        labels: int64 (N,) classes or float32 (N, k) attributes; None for an unconditional generator.
    """

    latents: FloatArray
    samples: FloatArray
    distance: FloatArray
    initial_distance: FloatArray
    labels: AnyArray | None

    def save(self, path: str | PathLike[str]) -> None:
        """Write a .npz file of arrays ``latents``, ``samples``, ``distance`` and, if any, ``labels``.

        Raises:
            StorageError: The file cannot be written.
        """
        names = ["latents", "samples", "distance"] + ([] if self.labels is None else ["labels"])
        arrays: dict[str, Any] = {name: getattr(self, name) for name in names}
        write_atomically(Path(path), lambda file: np.savez(file, **arrays))


def invert(
    sampler: Sampler,
    samples: npt.ArrayLike,
    *,
    label: LabelLike | None = None,
    steps: int = 200,
    starts: int = 4,
    candidates: int = 4096,
    prior: float = 3e-3,
    seed: int = 0,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> Inversion:
    r"""Find the latents whose samples are nearest to target samples.

    Starting from each of the nearest of many random samples, Adam minimises the mean square difference plus
    ``prior`` times the mean square of the latent's components. The nearest sample of all these steps is
    returned, so it is never farther than the nearest random one. The prior is, up to a factor, the negative
    log density of latents: it keeps the result where the generator was trained.

    Source, without prior and several starts: Zhu et al. 2016, "Generative Visual Manipulation on the Natural
    Image Manifold", section 4.1.

    Args:
        sampler: The generator.
        samples: Targets (N, \*shape), images in [-1, 1].
        label: Label of a conditional generator, see :meth:`wgan.Sampler.labels`; None: the random samples
            are of all classes in turn, and each start keeps its class.
        steps: Steps of Adam from each start.
        starts: Number of starts for each target, at most ``candidates``.
        candidates: Number of random samples.
        prior: Weight of the latent's size, >= 0.
        seed: Random seed of the random samples, in [0, 2^64).
        on_progress: Called with the number of targets that are done, and of all.

    Raises:
        InputError: The samples are not of the generator's shape, or not finite; there is no such label; a
            number is out of its range.
    """
    check_whole(steps=(steps, 1), starts=(starts, 1), candidates=(candidates, 1))
    if not 0 <= prior < np.inf:
        raise InputError(f"prior must be a finite number >= 0, not {prior}.")
    points = sampler.latents(candidates, seed=seed)
    labels = sampler.labels(candidates, label)
    targets = _check_samples(samples, sample_shape(sampler, label))
    nearest, initial_distance = _nearest(sampler, targets, points, labels, keep=min(starts, candidates))
    found_latents, found_labels = [], []
    chunk = max(1, ROWS // nearest.shape[1])
    for start in range(0, len(targets), chunk):
        on_progress(start, len(targets))
        rows = nearest[start : start + chunk].flatten()
        conditions = None if labels is None else labels[rows]
        latents, best = _optimise(
            sampler, targets[start : start + chunk], points[rows], conditions, steps=steps, prior=prior
        )
        found_latents.append(latents)
        if conditions is not None:
            found_labels.append(conditions[best])
    on_progress(len(targets), len(targets))
    latents = np.concatenate(found_latents)
    conditions = np.concatenate(found_labels) if found_labels else None
    generated = sampler.from_latents(latents, conditions)
    distance = (generated - targets).flatten(1).norm(dim=1)
    return Inversion(latents, generated.numpy(), distance.numpy(), initial_distance.numpy(), conditions)


def sample_shape(sampler: Sampler, label: LabelLike | None = None) -> tuple[int, ...]:
    """Return the shape of one sample, (C, H, W) or (d,); a generator of attributes needs a label."""
    return tuple(sampler(1, label=label).shape[1:])


def _check_samples(samples: npt.ArrayLike, shape: tuple[int, ...]) -> Tensor:
    targets = torch.from_numpy(np.asarray(samples, np.float32).copy())
    if targets.shape[1:] != shape or len(targets) == 0:
        sides = ", ".join(map(str, shape))
        raise InputError(f"Samples {tuple(targets.shape)} do not fit a generator of samples (N, {sides}).")
    if not targets.isfinite().all():
        raise InputError("Samples to invert must be finite numbers.")
    return targets


def _nearest(
    sampler: Sampler, targets: Tensor, points: FloatArray, labels: AnyArray | None, *, keep: int
) -> tuple[npt.NDArray[np.int64], Tensor]:
    """Indices (N, keep) of the latents with the nearest samples to each target, and least distances (N,)."""
    distances = torch.empty(len(targets), 0)
    indices = torch.empty(len(targets), 0, dtype=torch.int64)
    for start in range(0, len(points), BATCH):
        rows = slice(start, start + BATCH)
        samples = sampler.from_latents(points[rows], None if labels is None else labels[rows]).flatten(1)
        new = torch.cdist(targets.flatten(1), samples, compute_mode="donot_use_mm_for_euclid_dist")
        numbers = torch.arange(start, start + len(samples)).expand(len(targets), -1)
        distances, indices = torch.cat([distances, new], 1), torch.cat([indices, numbers], 1)
        distances, order = distances.topk(min(keep, distances.shape[1]), dim=1, largest=False)
        indices = indices.gather(1, order)
    return indices.numpy(), distances[:, 0]


def _optimise(
    sampler: Sampler,
    targets: Tensor,
    points: FloatArray,
    labels: AnyArray | None,
    *,
    steps: int,
    prior: float,
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Optimise latents (n * k, latent_dim), k consecutive ones for each of n targets.

    Returns:
        The best latent of all steps for each target, (n, latent_dim), and the row of its start, (n,).
    """
    device = next(sampler.generator.parameters()).device
    latents = torch.from_numpy(points).to(device).clone().requires_grad_()
    conditions = None if labels is None else torch.from_numpy(labels).to(device)
    starts = len(points) // len(targets)
    expected = targets.flatten(1).to(device).repeat_interleave(starts, 0)
    nearest = torch.full((len(points),), torch.inf, device=device)
    best = latents.detach().clone()
    adam = torch.optim.Adam([latents], lr=LR, betas=(0.9, 0.99))
    for step in range(steps + 1):
        generated = generate(sampler.generator, latents, conditions).float().flatten(1)
        error = (generated - expected).square().mean(1)
        nearer = error.detach() < nearest
        nearest = torch.where(nearer, error.detach(), nearest)
        best = torch.where(nearer[:, None], latents.detach(), best)
        if step == steps:
            break
        adam.param_groups[0]["lr"] = LR * (1 + cos(pi * step / steps)) / 2
        loss = (error + prior * latents.square().mean(1)).sum()
        (latents.grad,) = torch.autograd.grad(loss, latents)
        adam.step()
    winners = nearest.reshape(-1, starts).argmin(1).cpu() + torch.arange(len(targets)) * starts
    return best.cpu()[winners].numpy(), winners.numpy()
