"""Latent directions for the sliders of the demo page."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from wgan.latents import latents

STEP = 0.5
"""Step of the finite differences; a smaller one would be lost in the rounding of an int8 model."""


def slider_directions(
    generate: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
    latent_dim: int,
    *,
    count: int = 8,
    points: int = 4,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    r"""The unit directions along which a generator's samples change most, the strongest first.

    They are the leading eigenvectors of the mean of J^T J over a few latents, J being the Jacobian of the
    samples, here by one-sided differences, so that any function has directions, int8 models included.
    Source: Wang, Ponce 2021, "A Geometric Analysis of Deep Generative Image Models and Its Applications",
    sections 2-3.

    Args:
        generate: From latents (N, latent_dim) to samples (N, \*shape).
        latent_dim: Length of a latent.
        count: Largest number of directions.
        points: Number of latents at which the Jacobian is computed.
        seed: Seed of these latents.

    Returns:
        (min(count, latent_dim), latent_dim) float32, orthonormal; the largest component of each is positive.
    """
    metric = np.zeros((latent_dim, latent_dim))
    for point in latents(points, latent_dim, seed):
        moved = np.concatenate([point[None], point + STEP * np.eye(latent_dim, dtype=np.float32)])
        samples = generate(moved).reshape(latent_dim + 1, -1).astype(np.float64)
        jacobian = (samples[1:] - samples[0]) / STEP
        metric += jacobian @ jacobian.T
    vectors = np.linalg.eigh(metric).eigenvectors.T[::-1][:count]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(1)[:, None], 1)
    directions: npt.NDArray[np.float32] = (vectors * np.sign(largest)).astype(np.float32)
    return directions
