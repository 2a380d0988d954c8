"""Latents as a function of a seed alone: the same on every machine and in every language.

Training draws its latents on the device. These are for fixed sample grids, samples, exported generators and
served images. NumPy's Philox counter and a Box-Muller transform in float64 need no torch, and are easy to
implement elsewhere.
"""

import numpy as np

from wgan.core.arrays import FloatArray
from wgan.errors import InputError


def draw_latents(count: int, latent_dim: int, seed: int = 0) -> FloatArray:
    """Draw standard normal latents; the first k rows are the same for every count >= k.

    Args:
        count: Number of latents, >= 0.
        latent_dim: Length of each latent, >= 1.
        seed: Random seed, in [0, 2^64).

    Returns:
        (count, latent_dim) float32.

    Raises:
        InputError: An argument is out of its range.
    """
    whole = all(isinstance(value, int | np.integer) for value in (count, latent_dim, seed))
    if not whole or count < 0 or latent_dim < 1 or not 0 <= seed < 2**64:
        raise InputError(
            "Latents need count >= 0, latent_dim >= 1 and a seed in [0, 2^64), all whole numbers, "
            f"not count {count!r}, latent_dim {latent_dim!r}, seed {seed!r}."
        )
    pairs = (latent_dim + 1) // 2
    words = np.random.Philox(key=seed).random_raw(count * pairs * 2).reshape(count, pairs, 2)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53  # in the open (0, 1)
    radius = np.sqrt(-2.0 * np.log(uniform[..., 0]))
    angle = 2.0 * np.pi * uniform[..., 1]
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return normal.reshape(count, 2 * pairs)[:, :latent_dim].astype(np.float32)
