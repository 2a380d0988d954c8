"""The way back: the latent whose sample is nearest to a given one."""

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

from wgan.core.files import write_atomically
from wgan.errors import InputError, check_whole
from wgan.networks import generate
from wgan.sampling import BATCH, LabelLike, Sampler

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], object]

ROWS = 64
"""Latents that are moved at once: their gradients need many times the memory of sampling."""
RATE = 0.2
"""Of Adam at first; it falls to zero with half a cosine."""


@final
@dataclass(frozen=True, eq=False)
class Inversion:
    r"""The nearest samples that were found, one for each of N given ones.

    Attributes:
        latents: (N, latent_dim) float32.
        samples: What the generator makes of them, (N, \*shape) float32.
        distance: From the given ones, (N,) float32: the Euclidean distance of all numbers of a sample.
        started: The same of the nearest random sample, before anything was moved.
        labels: int64 (N,) classes or float32 (N, k) attributes; None for a generator without labels.
    """

    latents: Floats
    samples: Floats
    distance: Floats
    started: Floats
    labels: npt.NDArray[Any] | None

    def save(self, path: str | PathLike[str]) -> None:
        """Write a .npz file of arrays ``latents``, ``samples``, ``distance`` and, if any, ``labels``.

        Raises:
            StorageError: The file system refuses.
        """
        arrays = {"latents": self.latents, "samples": self.samples, "distance": self.distance}
        labelled = arrays if self.labels is None else {**arrays, "labels": self.labels}
        write_atomically(Path(path), lambda file: np.savez(file, **labelled))


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
    progress: Progress = lambda done, total: None,
) -> Inversion:
    r"""Find the latents whose samples are nearest to the given ones.

    From each of the nearest of many random samples, Adam goes down the mean square difference plus ``prior``
    times the mean square of the latent's components, and the nearest sample on all these ways is taken: it is
    never farther than the nearest random one. The prior is, but for a factor, the negative log density of
    latents, and keeps the result where the generator was trained. Source, but for prior and starts: Zhu et
    al. 2016, "Generative Visual Manipulation on the Natural Image Manifold", section 4.1.

    Args:
        sampler: The generator.
        samples: (N, \*shape), images in [-1, 1].
        label: Of a conditional generator, see :meth:`wgan.Sampler.labels`; None: the random samples are of
            every class in turn, and each way keeps the class that it starts with.
        steps: Of Adam, on each way.
        starts: How many ways for each sample, at most ``candidates``.
        candidates: How many random samples.
        prior: Weight of the latent's own size, >= 0.
        seed: Of the random samples, in [0, 2^64).
        progress: Told how many of how many samples are done.

    Raises:
        InputError: The samples are not of the generator's shape, or not finite; there is no such label; a
            number is out of its range.
    """
    check_whole(steps=(steps, 1), starts=(starts, 1), candidates=(candidates, 1))
    if not 0 <= prior < np.inf:
        raise InputError(f"prior must be a finite number >= 0, not {prior}.")
    points = sampler.latents(candidates, seed=seed)
    labels = sampler.labels(candidates, label)
    targets = _checked(samples, sample_shape(sampler, label))
    nearest, started = _nearest(sampler, targets, points, labels, keep=min(starts, candidates))
    found, asked = [], []
    each = max(1, ROWS // nearest.shape[1])
    for start in range(0, len(targets), each):
        progress(start, len(targets))
        rows = nearest[start : start + each]
        by = None if labels is None else labels[rows.flatten()]
        latents, best = _descend(
            sampler, targets[start : start + each], points[rows.flatten()], by, steps=steps, prior=prior
        )
        found.append(latents)
        if by is not None:
            asked.append(by[best])
    progress(len(targets), len(targets))
    latents = np.concatenate(found)
    kept = np.concatenate(asked) if asked else None
    made = sampler.from_latents(latents, kept)
    distance = (made - targets).flatten(1).norm(dim=1)
    return Inversion(latents, made.numpy(), distance.numpy(), started.numpy(), kept)


def sample_shape(sampler: Sampler, label: LabelLike | None = None) -> tuple[int, ...]:
    """The shape of one sample, (C, H, W) or (d,); attributes need some as a label."""
    return tuple(sampler(1, label=label).shape[1:])


def _checked(samples: npt.ArrayLike, shape: tuple[int, ...]) -> Tensor:
    given = torch.from_numpy(np.asarray(samples, np.float32).copy())
    if given.shape[1:] != shape or len(given) == 0:
        wanted = ", ".join(map(str, shape))
        raise InputError(f"Samples {tuple(given.shape)} do not fit a generator of samples (N, {wanted}).")
    if not given.isfinite().all():
        raise InputError("Samples to invert must be finite numbers.")
    return given


def _nearest(
    sampler: Sampler, targets: Tensor, points: Floats, labels: npt.NDArray[Any] | None, *, keep: int
) -> tuple[npt.NDArray[np.int64], Tensor]:
    """Which points make the samples nearest to each target, (N, keep), and how far the nearest is, (N,)."""
    distances = torch.empty(len(targets), 0)
    indices = torch.empty(len(targets), 0, dtype=torch.int64)
    for start in range(0, len(points), BATCH):
        some = slice(start, start + BATCH)
        made = sampler.from_latents(points[some], None if labels is None else labels[some]).flatten(1)
        apart = torch.cdist(targets.flatten(1), made, compute_mode="donot_use_mm_for_euclid_dist")
        numbers = torch.arange(start, start + len(made)).expand(len(targets), -1)
        distances, indices = torch.cat([distances, apart], 1), torch.cat([indices, numbers], 1)
        distances, order = distances.topk(min(keep, distances.shape[1]), dim=1, largest=False)
        indices = indices.gather(1, order)
    return indices.numpy(), distances[:, 0]


def _descend(
    sampler: Sampler,
    targets: Tensor,
    points: Floats,
    labels: npt.NDArray[Any] | None,
    *,
    steps: int,
    prior: float,
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """From each point down to its target; the points (n * k, latent_dim) are those of n targets, k for each.

    Returns:
        The nearest latent that was passed for each target, (n, latent_dim), and the point where that way
        began, (n,).
    """
    device = next(sampler.generator.parameters()).device
    latents = torch.from_numpy(points).to(device).clone().requires_grad_()
    by = None if labels is None else torch.from_numpy(labels).to(device)
    ways = len(points) // len(targets)
    wanted = targets.flatten(1).to(device).repeat_interleave(ways, 0)
    nearest = torch.full((len(points),), torch.inf, device=device)
    best = latents.detach().clone()
    adam = torch.optim.Adam([latents], lr=RATE, betas=(0.9, 0.99))
    for step in range(steps + 1):
        error = (generate(sampler.generator, latents, by).float().flatten(1) - wanted).square().mean(1)
        nearer = error.detach() < nearest
        nearest = torch.where(nearer, error.detach(), nearest)
        best = torch.where(nearer[:, None], latents.detach(), best)
        if step == steps:
            break
        adam.param_groups[0]["lr"] = RATE * (1 + cos(pi * step / steps)) / 2
        loss = (error + prior * latents.square().mean(1)).sum()
        (latents.grad,) = torch.autograd.grad(loss, latents)
        adam.step()
    winners = nearest.reshape(-1, ways).argmin(1).cpu() + torch.arange(len(targets)) * ways
    return best.cpu()[winners].numpy(), winners.numpy()
