"""Which ways in the space of latents change a sample most."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from wgan.latents import draw_latents

Array = npt.NDArray[np.float32]

STEP = 0.5
"""How far a latent is moved: less would be lost among the steps of an int8 model."""


def directions(
    generate: Callable[[Array], Array], latent_dim: int, *, count: int = 8, points: int = 4, seed: int = 0
) -> Array:
    r"""The unit directions along which a generator's samples change most, the strongest first.

    They are the leading eigenvectors of the mean of J^T J over a few latents, J being the Jacobian of the
    samples; here of one-sided differences, so that whatever can be called has directions, int8 models too.
    Source: Wang, Ponce 2021, "A Geometric Analysis of Deep Generative Image Models and Its Applications",
    sections 2-3.

    Args:
        generate: From latents (N, latent_dim) to samples (N, \*shape).
        latent_dim: Length of a latent.
        count: How many, at most; there are no more than ``latent_dim``.
        points: At how many latents to look.
        seed: Of these latents.

    Returns:
        (min(count, latent_dim), latent_dim) float32, orthonormal; the largest component of each is positive.
    """
    metric = np.zeros((latent_dim, latent_dim))
    for point in draw_latents(points, latent_dim, seed):
        moved = np.concatenate([point[None], point + STEP * np.eye(latent_dim, dtype=np.float32)])
        samples = generate(moved).reshape(latent_dim + 1, -1).astype(np.float64)
        jacobian = (samples[1:] - samples[0]) / STEP
        metric += jacobian @ jacobian.T
    found = np.linalg.eigh(metric).eigenvectors.T[::-1][:count]
    largest = np.take_along_axis(found, np.abs(found).argmax(1)[:, None], 1)
    chosen: Array = (found * np.sign(largest)).astype(np.float32)
    return chosen
