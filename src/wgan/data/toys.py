"""Toys: vectors whose distribution is known, so that distances to it can be checked.

`ring8`, `grid25` and `swiss_roll` are those of Gulrajani et al. (2017), "Improved Training of Wasserstein
GANs", figure 2 (github.com/igul222/improved_wgan_training, gan_toy.py), with the same scales.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from wgan.data.dataset import Dataset, assemble
from wgan.data.storage import in_memory
from wgan.data.toy_distribution import ToyDistribution, mode_index

SAMPLES = 65_536
_SEED = 20_170_331


def two_gaussians() -> Dataset:
    """Samples of N(0, 1) with label 0 and of N(2, 1) with label 1, as many of each on average.

    The Wasserstein-1 distance between the two classes is exactly 2: one is the other, shifted.

    Returns:
        Vectors of dimension 1 with labels.
    """
    return _toy("two-gaussians", gaussian_mixture(torch.tensor([[0.0], [2.0]]), 1.0))


def two_clusters() -> Dataset:
    """Two Gaussians at (-1, 0) and (+1, 0), std 0.1: the smallest dataset on which a mode can be lost.

    Returns:
        Vectors of dimension 2; label 0 is the left cluster, 1 the right one.
    """
    return _toy("two-clusters", gaussian_mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), 0.1))


def ring8() -> Dataset:
    """Eight Gaussians on a circle of radius 2, std 0.02, all divided by sqrt(2).

    Returns:
        Vectors of dimension 2; labels are the mode, counted anticlockwise from (sqrt(2), 0).
    """
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    modes = 2 * torch.stack([angle.cos(), angle.sin()], 1) / math.sqrt(2)
    return _toy("ring8", gaussian_mixture(modes.float(), 0.02 / math.sqrt(2)))


def grid25() -> Dataset:
    """Twenty-five Gaussians at {-4, -2, 0, 2, 4} squared, std 0.05, all divided by 2.828.

    Returns:
        Vectors of dimension 2; labels are the mode, row by row in x, then y.
    """
    ticks = 2 * torch.arange(-2.0, 3.0)
    return _toy("grid25", gaussian_mixture(torch.cartesian_prod(ticks, ticks) / 2.828, 0.05 / 2.828))


def swiss_roll() -> Dataset:
    """The spiral (t cos t, t sin t), t = 1.5 pi (1 + 2u), with noise 0.25, all divided by 7.5.

    Returns:
        Vectors of dimension 2, without labels: the distribution has no modes.
    """
    return _toy("swiss-roll", ToyDistribution(modes=None, std=0.25 / 7.5, skeleton=_spiral))


def gaussian_mixture(modes: Tensor, std: float) -> ToyDistribution:
    """The equal mixture of isotropic Gaussians at `modes` (float32 (k, d)) with the given std."""
    return ToyDistribution(modes=modes, std=std, skeleton=partial(_mode_at, modes))


def _mode_at(modes: Tensor, uniform: Tensor) -> Tensor:
    return modes.to(uniform.device)[mode_index(uniform, len(modes))]


def _spiral(uniform: Tensor) -> Tensor:
    t = 1.5 * math.pi * (1 + 2 * uniform)
    return torch.stack([t * t.cos(), t * t.sin()], 1) / 7.5


def _toy(name: str, distribution: ToyDistribution) -> Dataset:
    # NumPy's legacy stream is frozen for good (NEP 19) and the same on every processor; torch's is not,
    # and a toy whose fingerprint changed with the machine could not be resumed on another one.
    state = np.random.RandomState(_SEED)
    uniform = torch.from_numpy(state.random_sample(SAMPLES))
    dimension = distribution.skeleton(uniform[:1]).shape[1]
    noise = torch.from_numpy(state.standard_normal((SAMPLES, dimension)))
    samples = distribution.transform(uniform, noise).float().numpy()
    labels = None if distribution.modes is None else mode_index(uniform, len(distribution.modes))
    return assemble(in_memory(samples), name=name, labels=labels, distribution=distribution)
